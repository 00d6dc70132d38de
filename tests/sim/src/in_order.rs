//! Futures that one task drives: those that were woken at once go on in the order of their places.
//! Tokio's `watch` wakes its receivers in an order by chance, which no seed decides.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct InOrder {
    futures: Vec<Boxed>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken {
    places: Mutex<BTreeSet<usize>>,
    driver: Mutex<Option<Waker>>,
}

/// Wakes the future at one place.
struct Place {
    place: usize,
    woken: Arc<Woken>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.woken.places.lock().expect("places").insert(self.place);
        if let Some(driver) = self.woken.driver.lock().expect("driver").take() {
            driver.wake();
        }
    }
}

impl InOrder {
    pub fn new(futures: Vec<Boxed>) -> Self {
        let woken = Woken { places: Mutex::new((0..futures.len()).collect()), ..Woken::default() };
        Self { futures, woken: Arc::new(woken) }
    }
}

impl Future for InOrder {
    type Output = std::convert::Infallible;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        *self.woken.driver.lock().expect("driver") = Some(context.waker().clone());
        let places = std::mem::take(&mut *self.woken.places.lock().expect("places"));
        for place in places {
            let waker = Arc::new(Place { place, woken: Arc::clone(&self.woken) }).into();
            let polled = self.futures[place].as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending(), "devices never end");
        }
        Poll::Pending
    }
}

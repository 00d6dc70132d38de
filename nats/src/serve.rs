//! Answering service requests, as NATS micro services (`nats micro ls` shows them).
//!
//! Each method has a bound on how many requests run and a small bound on how many wait; what comes
//! beyond is refused at once with `overloaded`, so a slow method delays nobody else. A panic costs
//! its own request alone.
//!
//! Methods whose answers are large share a budget of bytes. A call takes the most that it may hold
//! before it runs, keeps the size of its answer until that is written to the connection, and waits
//! while there is not enough: so a slow connection fills no memory, and those that wait are bounded
//! as ever. Of that budget, and of the places of those that wait, one caller gets a share (`callers`).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service, ServiceExt};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use weft_proto::svc::{Method, decode_request, encode_reply};
use weft_proto::{ApiError, ErrorCode, NodeId};

use crate::bus::{Bus, SEND_TIMEOUT};
use crate::call::CALL_TIMEOUT;
use crate::callers::Callers;
use crate::error::Error;
use crate::metrics::HELD_BYTES;
use crate::subject::Subject;

/// Requests that may wait for each one that may run.
const WAITING_PER_RUNNING: usize = 4;
/// Most bytes that calls with large answers may hold at once, all methods together.
pub const HELD_BYTES_MAX: u32 = 64 << 20;
/// When a refused caller should ask again, in milliseconds.
const RETRY_AFTER_MS: u64 = 250;

pub struct Services {
    bus: Bus,
    version: String,
    /// By service name; the methods of one service are endpoints of one micro service.
    services: HashMap<&'static str, Service>,
    stop: CancellationToken,
    /// Dropped without a shutdown, it serves no more either.
    _stop_on_drop: DropGuard,
    tasks: TaskTracker,
    /// Of [`HELD_BYTES_MAX`].
    held: Arc<Semaphore>,
    callers: Callers,
}

/// Whose a call is; `None`: nobody's whose share is counted.
type CallerOf<M> = Arc<dyn Fn(&M) -> Option<String> + Send + Sync>;

impl Services {
    /// No service yet. `version` is the program's (semver); `$SRV.INFO` shows it.
    #[must_use]
    pub fn start(bus: &Bus, version: &str) -> Self {
        let stop = CancellationToken::new();
        Self {
            bus: bus.clone(),
            version: version.to_owned(),
            services: HashMap::new(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            tasks: TaskTracker::new(),
            held: Arc::new(Semaphore::new(HELD_BYTES_MAX as usize)),
            callers: Callers::default(),
        }
    }

    /// Serves `M`: at most `concurrency_max` handlers run at once, and four times as many requests
    /// wait. All processes that serve `M` share its requests.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a version that is not semver, [`Error::Timeout`], [`Error::Closed`].
    pub async fn handle<M, F, Fut>(
        &mut self,
        concurrency_max: usize,
        handler: F,
    ) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
    {
        self.handle_large(concurrency_max, 0, |_| None, handler).await
    }

    /// The same for a method that one node is asked by its name ([`Bus::call_at`]).
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle).
    pub async fn handle_at<M, F, Fut>(
        &mut self,
        node: &NodeId,
        concurrency_max: usize,
        handler: F,
    ) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
    {
        let subject = Subject::of_method_at::<M>(node);
        self.add(subject, (concurrency_max, 0), |_: &M| None, handler).await
    }

    /// The same for a method whose answers are large: a call holds at most `call_bytes_max`, of a
    /// budget that all such methods share, [`HELD_BYTES_MAX`]. `caller` names whose a call is: each
    /// caller gets a share of it, [`CALLER_BYTES_MAX`](crate::CALLER_BYTES_MAX).
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle).
    pub async fn handle_large<M, F, Fut>(
        &mut self,
        concurrency_max: usize,
        call_bytes_max: u32,
        caller: impl Fn(&M) -> Option<String> + Send + Sync + 'static,
        handler: F,
    ) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
    {
        let subject = Subject::Svc { service: M::SERVICE.into(), method: M::METHOD.into() };
        self.add(subject, (concurrency_max, call_bytes_max), caller, handler).await
    }

    async fn add<M, F, Fut>(
        &mut self,
        subject: Subject,
        (concurrency_max, call_bytes_max): (usize, u32),
        caller: impl Fn(&M) -> Option<String> + Send + Sync + 'static,
        handler: F,
    ) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
    {
        let subject = subject.to_wire()?;
        if !self.services.contains_key(M::SERVICE) {
            let client = self.bus.link().client();
            let start = client.service_builder().start(M::SERVICE, &self.version);
            let service = timeout(SEND_TIMEOUT, start)
                .await
                .map_err(|_| Error::Timeout("service start"))?
                .map_err(|_| Error::Malformed("service name or version"))?;
            self.services.insert(M::SERVICE, service);
        }
        let endpoint = self.services[M::SERVICE].endpoint_builder().name(M::METHOD).add(subject);
        let endpoint = timeout(SEND_TIMEOUT, endpoint)
            .await
            .map_err(|_| Error::Timeout("service endpoint"))?
            .map_err(|_| Error::Closed)?;
        let bounds = Bounds {
            admitted: Arc::new(Semaphore::new(concurrency_max * (1 + WAITING_PER_RUNNING))),
            running: Arc::new(Semaphore::new(concurrency_max)),
            held: Arc::clone(&self.held),
            call_bytes_max,
            callers: self.callers.clone(),
            bus: self.bus.clone(),
        };
        let (stop, tasks) = (self.stop.clone(), self.tasks.clone());
        let caller: CallerOf<M> = Arc::new(caller);
        self.tasks.spawn(serve(endpoint, bounds, (caller, Arc::new(handler)), stop, tasks));
        Ok(())
    }

    /// Runs a task until they are stopped.
    pub fn run_beside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// For what is served beside methods: it ends when these are stopped, and its tasks are waited for.
    pub(crate) fn parts(&self) -> (Bus, CancellationToken, TaskTracker) {
        (self.bus.clone(), self.stop.clone(), self.tasks.clone())
    }

    /// Takes no further requests, finishes those that were taken, and returns when all are
    /// answered and the server knows that nobody serves here any more. A request that the server
    /// had sent but that had not arrived is not answered: its caller hears
    /// [`ErrorCode::Unknown`] after its time-out.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for service in self.services.into_values() {
            let _ = service.stop().await;
        }
        // An error says that the connection is closed, and the subscriptions with it.
        let _ = self.bus.flush().await;
    }
}

#[derive(Clone)]
struct Bounds {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    held: Arc<Semaphore>,
    call_bytes_max: u32,
    callers: Callers,
    bus: Bus,
}

/// What a call holds of the budget, given back on drop.
struct Held(OwnedSemaphorePermit);

impl Held {
    /// `None` where the call's answers are small.
    async fn take(bounds: &Bounds) -> Option<Self> {
        if bounds.call_bytes_max == 0 {
            return None;
        }
        let held = Arc::clone(&bounds.held).acquire_many_owned(bounds.call_bytes_max).await.ok()?;
        HELD_BYTES.add(f64::from(bounds.call_bytes_max));
        Some(Self(held))
    }

    /// From here on it is the answer alone.
    fn shrink(&mut self, bytes: usize) {
        let rest = self.0.num_permits().saturating_sub(bytes);
        if let Some(rest) = self.0.split(rest) {
            drop(Self(rest));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.add(-(self.0.num_permits() as f64));
    }
}

async fn serve<M, F, Fut>(
    mut endpoint: Endpoint,
    bounds: Bounds,
    method: (CallerOf<M>, Arc<F>),
    stop: CancellationToken,
    tasks: TaskTracker,
) where
    M: Method + 'static,
    F: Fn(M) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
{
    loop {
        let request = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            request = endpoint.next() => request,
        };
        let Some(request) = request else { return };
        admit(request, &bounds, &method, &tasks).await;
    }
    // The server counted on this process for what it has sent already.
    let _ = timeout(SEND_TIMEOUT, endpoint.stop()).await;
    while let Some(request) = endpoint.next().await {
        admit(request, &bounds, &method, &tasks).await;
    }
}

async fn admit<M, F, Fut>(
    request: Request,
    bounds: &Bounds,
    (caller, handler): &(CallerOf<M>, Arc<F>),
    tasks: &TaskTracker,
) where
    M: Method + 'static,
    F: Fn(M) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<M::Reply, ApiError>> + Send + 'static,
{
    let message = match decode_request::<M>(&request.message.payload) {
        Ok(message) => message,
        Err(error) => return refuse::<M>(&request, error).await,
    };
    let overloaded = |message| {
        let error = ApiError::new(ErrorCode::Overloaded, message);
        error.retry_after_ms(RETRY_AFTER_MS)
    };
    let call = match caller(&message).map(|name| bounds.callers.begin(name)) {
        Some(None) => {
            return refuse::<M>(&request, overloaded("too many requests of this user")).await;
        }
        call => call.flatten(),
    };
    let Ok(admitted) = Arc::clone(&bounds.admitted).try_acquire_owned() else {
        return refuse::<M>(&request, overloaded("too many requests of this kind")).await;
    };
    let (bounds, handler) = (bounds.clone(), Arc::clone(handler));
    let taken_at = Instant::now();
    tasks.spawn(async move {
        let _admitted = admitted;
        let _share = match &call {
            Some(call) => call.room(bounds.call_bytes_max).await,
            None => None,
        };
        let Ok(_running) = bounds.running.acquire().await else { return };
        let mut held = Held::take(&bounds).await;
        // Its caller has given up: doing it now would surprise them.
        if taken_at.elapsed() >= CALL_TIMEOUT {
            return;
        }
        let reply = encode_reply(&run(message, handler.as_ref()).await);
        held.iter_mut().for_each(|held| held.shrink(reply.len()));
        respond::<M>(&request, reply).await;
        if held.is_some() {
            // Until then it waits in the client's queue. An error says that the connection ended, and
            // the queue with it, or that nothing moves: then the next call finds that out.
            let _ = timeout(SEND_TIMEOUT, bounds.bus.link().client().flush()).await;
        }
    });
}

async fn refuse<M: Method>(request: &Request, error: ApiError) {
    respond::<M>(request, encode_reply::<M::Reply>(&Err(error))).await;
}

async fn run<M, F, Fut>(message: M, handler: &F) -> Result<M::Reply, ApiError>
where
    M: Method,
    F: Fn(M) -> Fut,
    Fut: Future<Output = Result<M::Reply, ApiError>>,
{
    let handled = AssertUnwindSafe(async { handler(message).await }).catch_unwind().await;
    handled.unwrap_or_else(|_| {
        tracing::error!(service = M::SERVICE, method = M::METHOD, "a service handler panicked");
        Err(ApiError::new(ErrorCode::Internal, "a defect in the service"))
    })
}

async fn respond<M: Method>(request: &Request, reply: Vec<u8>) {
    match timeout(SEND_TIMEOUT, request.respond(Ok(reply.into()))).await {
        Ok(Ok(())) => {}
        // Too large, or no reply subject: the caller's time-out says the rest.
        Ok(Err(error)) => {
            tracing::warn!(service = M::SERVICE, method = M::METHOD, %error, "reply not sent");
        }
        Err(_) => {
            tracing::warn!(service = M::SERVICE, method = M::METHOD, "reply not sent in time")
        }
    }
}

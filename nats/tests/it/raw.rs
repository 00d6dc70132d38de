//! A NATS client that sends any bytes, as an attacker would, and keeps what the server says to it.

use std::collections::VecDeque;

use weft_harness::nats::{Nats, Said};

use crate::common::{Fixture, soon};

pub struct Raw {
    nats: Nats,
    subscriptions: u32,
    pub messages: VecDeque<(String, Vec<u8>)>,
    /// Errors of the server, in its words.
    pub errors: Vec<String>,
}

impl Raw {
    pub async fn connect(fixture: &Fixture, user: &str) -> Self {
        let nats = fixture.by_hand(user).await;
        Self { nats, subscriptions: 0, messages: VecDeque::new(), errors: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.nats.publish_raw(bytes).await.expect("write");
    }

    pub async fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.nats.subscribe(subject).await.expect("write");
    }

    pub async fn unsubscribe_last(&mut self) {
        self.send(format!("UNSUB {}\r\n", self.subscriptions).as_bytes()).await;
    }

    /// `headers` is the block as it goes out, nothing added.
    pub async fn publish(&mut self, subject: &[u8], reply: &str, headers: &[u8], payload: &[u8]) {
        self.nats.publish_block(subject, reply, headers, payload).await.expect("write");
    }

    /// Waits until the server has done all that was sent; takes in what came meanwhile.
    pub async fn sync(&mut self) {
        self.send(b"PING\r\n").await;
        while self.read_one().await != Some(Said::Pong) {}
    }

    pub async fn message(&mut self) -> (String, Vec<u8>) {
        while self.messages.is_empty() {
            self.read_one().await;
        }
        self.messages.pop_front().expect("one")
    }

    async fn read_one(&mut self) -> Option<Said> {
        match soon("a line", self.nats.said()).await {
            Ok(Said::Message(message)) => {
                let bytes = [message.headers.as_bytes(), &message.payload].concat();
                self.messages.push_back((message.subject, bytes));
                None
            }
            Ok(Said::Error(error)) => {
                self.errors.push(error);
                None
            }
            Ok(said) => Some(said),
            Err(error) => panic!("{error}: {:?}", self.errors),
        }
    }
}

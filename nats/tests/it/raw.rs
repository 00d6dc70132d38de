//! A NATS client that sends any bytes, as an attacker would.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::common::soon;

pub struct Raw {
    stream: BufReader<TcpStream>,
    next_sid: u64,
    pub messages: VecDeque<(String, Vec<u8>)>,
    /// Errors of the server, in its words.
    pub errors: Vec<String>,
}

impl Raw {
    pub async fn connect(port: u16, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let mut raw = Self {
            stream: BufReader::new(stream),
            next_sid: 1,
            messages: VecDeque::new(),
            errors: Vec::new(),
        };
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
             \"user\":\"{user}\",\"pass\":\"{user}-password\"}}\r\n"
        );
        raw.send(connect.as_bytes()).await;
        raw.sync().await;
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("write");
    }

    pub async fn subscribe(&mut self, subject: &str) {
        self.send(format!("SUB {subject} {}\r\n", self.next_sid).as_bytes()).await;
        self.next_sid += 1;
    }

    pub async fn unsubscribe_last(&mut self) {
        self.send(format!("UNSUB {}\r\n", self.next_sid - 1).as_bytes()).await;
    }

    /// `headers` is the block as it goes out, nothing added.
    pub async fn publish(&mut self, subject: &[u8], reply: &str, headers: &[u8], payload: &[u8]) {
        let mut bytes = if headers.is_empty() { b"PUB ".to_vec() } else { b"HPUB ".to_vec() };
        bytes.extend_from_slice(subject);
        bytes.extend_from_slice(format!(" {reply} ").as_bytes());
        if !headers.is_empty() {
            bytes.extend_from_slice(format!("{} ", headers.len()).as_bytes());
        }
        bytes.extend_from_slice(format!("{}\r\n", headers.len() + payload.len()).as_bytes());
        bytes.extend_from_slice(headers);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes).await;
    }

    /// Waits until the server has done all that was sent; takes in what came meanwhile.
    pub async fn sync(&mut self) {
        self.send(b"PING\r\n").await;
        while self.read_one().await != "PONG" {}
    }

    /// Waits for a message.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        while self.messages.is_empty() {
            soon("a message", self.read_one()).await;
        }
        self.messages.pop_front().expect("one")
    }

    async fn read_one(&mut self) -> String {
        let mut line = Vec::new();
        soon("a line", self.stream.read_until(b'\n', &mut line)).await.expect("read");
        assert!(!line.is_empty(), "the server closed the connection: {:?}", self.errors);
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "MSG" | "HMSG" => {
                let length: usize = words.last().expect("length").parse().expect("number");
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).await.expect("payload");
                bytes.truncate(length);
                self.messages.push_back((words[1].to_owned(), bytes));
            }
            "-ERR" => self.errors.push(line.clone()),
            _ => {}
        }
        words[0].to_owned()
    }
}

//! Who uploads and downloads, with a block of memory, however large a file is.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_harness::account::Login;
use weft_harness::files::Files;

/// What is written and read at once.
pub const BLOCK: usize = 1 << 20;

/// A block of bytes that are like no other file.
pub fn noise() -> Arc<[u8]> {
    (0..BLOCK as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    login: Arc<Login>,
    files: Files,
    block: Arc<[u8]>,
}

impl Client {
    pub fn new(address: SocketAddr, login: Login) -> Self {
        let files = Files::of(address, &login);
        Self { address, login: Arc::new(login), files, block: noise() }
    }

    /// Uploads a file of so many bytes: its path.
    pub async fn upload(&self, bytes: u64) -> Result<String> {
        let path = self.files.begin("file.bin", usize::try_from(bytes)?).await?;
        let mut stream = TcpStream::connect(self.address).await?;
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: files\r\nconnection: close\r\ntus-resumable: 1.0.0\r\n\
             authorization: Bearer {}\r\ncontent-type: application/offset+octet-stream\r\n\
             upload-offset: 0\r\ncontent-length: {bytes}\r\n\r\n",
            self.login.token
        );
        stream.write_all(head.as_bytes()).await?;
        for at in (0..bytes).step_by(BLOCK) {
            let block = &self.block[..BLOCK.min((bytes - at) as usize)];
            stream.write_all(block).await?;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 204"), "an upload of {bytes} bytes: {answer}");
        Ok(path)
    }

    pub async fn upload_bytes(&self, bytes: &[u8]) -> Result<String> {
        self.files.upload("photo.jpg", bytes).await
    }

    pub async fn has_thumbnails(&self, path: &str) -> Result<bool> {
        Ok(self.files.look(path).await?.1["thumbnails"].is_object())
    }

    /// Downloads a file: how many bytes came, which are those that went up.
    pub async fn download(&self, path: &str) -> Result<u64> {
        let (_, shown) = self.files.look(path).await?;
        let url = shown["url"].as_str().context("no address")?;
        let path = url.find("/f/").map(|at| &url[at..]).context("another address")?;
        let mut stream = TcpStream::connect(self.address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: files\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut buffer = vec![0; BLOCK];
        let mut head = Vec::new();
        let mut body = 0;
        loop {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(body);
            }
            let mut bytes = &buffer[..read];
            if body == 0 {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
                bytes = &head[end + 4..];
            }
            for part in bytes.chunks(BLOCK) {
                let at = (body % BLOCK as u64) as usize;
                let first = part.len().min(BLOCK - at);
                let fits = part[..first] == self.block[at..at + first]
                    && part[first..] == self.block[..part.len() - first];
                ensure!(fits, "other bytes than went up, after {body}");
                body += part.len() as u64;
            }
        }
    }
}

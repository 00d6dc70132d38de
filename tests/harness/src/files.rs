//! Uploads and downloads, as a client makes them.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::account::Login;
use crate::http::{Plain, request};

pub const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// A user at a files node.
#[derive(Clone, Debug)]
pub struct Files {
    address: SocketAddr,
    authorization: String,
}

impl Files {
    pub fn of(address: SocketAddr, login: &Login) -> Self {
        Self { address, authorization: format!("Bearer {}", login.token) }
    }

    /// A request of tus.
    pub async fn tus(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Plain> {
        let own = [("tus-resumable", "1.0.0"), ("authorization", self.authorization.as_str())];
        request(self.address, method, path, &[&own, headers].concat(), body).await
    }

    /// Begins an upload: its path.
    pub async fn begin(&self, name: &str, size: usize) -> Result<String> {
        let metadata = format!("filename {}", base64(name.as_bytes()));
        let length = size.to_string();
        let headers = [("upload-length", length.as_str()), ("upload-metadata", metadata.as_str())];
        let answer = self.tus("POST", "/v1/files", &headers, b"").await?;
        ensure!(answer.status == 201, "an upload of {size} bytes: {answer:?}");
        let location = answer.header("location").context("no location")?;
        let at = location.find("/v1/files/").context("another location")?;
        Ok(location[at..].to_owned())
    }

    /// The next bytes.
    pub async fn patch(&self, path: &str, offset: usize, bytes: &[u8]) -> Result<Plain> {
        let offset = offset.to_string();
        self.tus("PATCH", path, &[BYTES, ("upload-offset", &offset)], bytes).await
    }

    /// How far an upload is.
    pub async fn offset(&self, path: &str) -> Result<usize> {
        let answer = self.tus("HEAD", path, &[], b"").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.header("upload-offset").context("no offset")?.parse()?)
    }

    /// Uploads a file in one piece: its path.
    pub async fn upload(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.begin(name, bytes.len()).await?;
        let answer = self.patch(&path, 0, bytes).await?;
        ensure!(answer.status == 204, "{name}: {answer:?}");
        Ok(path)
    }

    /// What a file is: the caller's own, or with a query (`?room=…&seq=…`) a message's.
    pub async fn look(&self, path: &str) -> Result<(u16, Value)> {
        let headers = [("authorization", self.authorization.as_str())];
        let answer = request(self.address, "GET", path, &headers, b"").await?.json()?;
        Ok((answer.status, answer.body))
    }

    /// Reads an address, without a token.
    pub async fn read(&self, url: &Value, headers: &[(&str, &str)]) -> Result<Plain> {
        let url = url.as_str().context("no address")?;
        let path = url.find("/f/").map(|at| &url[at..]).context("another address")?;
        request(self.address, "GET", path, headers, b"").await
    }
}

/// Standard base64, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place > part.len() { '=' } else { letter });
        }
    }
    text
}

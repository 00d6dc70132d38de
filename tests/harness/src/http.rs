//! A small HTTP/1.1 client: one request, one connection. Enough for `/v1/…`, and proof that no
//! library is needed to speak to Weft.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// argon2 on a busy machine of two cores takes its time.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The whole head, in lower case.
    pub head: String,
    /// The body as JSON; `Null` where it is empty, a string where it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The code of an error answer, or "".
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// A request with a JSON body (`Null`: none).
pub async fn call(
    edge: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Result<Answer> {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    call_raw(edge, method, path, token, &bytes).await
}

/// A request with any body.
pub async fn call_raw(
    edge: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> Result<Answer> {
    let token = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    request(edge, method, path, &headers, body).await?.json()
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Plain {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Plain {
    /// A header's value; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// As one whose body is JSON, or text.
    pub fn json(self) -> Result<Answer> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let body = match text.as_str() {
            "" => Value::Null,
            _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        Ok(Answer { status: self.status, head: self.head.to_lowercase(), body })
    }
}

/// A request with any headers and any body.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Plain> {
    let bytes = timeout(LIMIT, exchange(address, method, path, headers, body))
        .await
        .with_context(|| format!("no answer to {method} {path} within {LIMIT:?}"))?
        .with_context(|| format!("{method} {path} at {address}"))?;
    read_answer(&bytes).with_context(|| format!("the answer to {method} {path}"))
}

async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    // A server that refuses a body for its size may answer and close before it has read all of it.
    let written = stream.write_all(body).await;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Err(error) if answer.is_empty() => Err(error.into()),
        _ if answer.is_empty() => {
            written?;
            bail!("the connection was closed without an answer")
        }
        _ => Ok(answer),
    }
}

fn read_answer(bytes: &[u8]) -> Result<Plain> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").context("no end of the head")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut body = bytes[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
    let chunked = lines.any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    if chunked {
        body = unchunk(&body)?;
    }
    Ok(Plain { status: status.parse()?, head: head.to_owned(), body })
}

fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").context("no chunk size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end])?.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let rest = &bytes[end + 2..];
        body.extend_from_slice(rest.get(..size).context("a short chunk")?);
        bytes = rest.get(size + 2..).context("a short chunk")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_both_framings() {
        let plain = b"HTTP/1.1 404 Not Found\r\ncontent-length: 34\r\n\r\n{\"error\":{\"code\":\"no_such_room\"}}";
        let read = |bytes| read_answer(bytes).and_then(Plain::json).expect("answer");
        let answer = read(plain);
        assert_eq!((answer.status, answer.code()), (404, "no_such_room"));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
        assert_eq!(read(chunked).body[1], 2);
        assert!(read(b"HTTP/1.1 204 No Content\r\n\r\n").body.is_null());
    }
}

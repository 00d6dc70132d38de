//! Accounts and tokens over HTTP: a few requests before the measurement, so the smallest client
//! that will do.

use std::net::SocketAddr;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::Error;

/// Each sign-up and login costs an argon2id hash.
const CONCURRENCY: usize = 4;
const PASSWORD: &str = "only for the benchmark";

/// Makes the accounts and logs them in. Their access tokens, in the order of `users`.
pub async fn sign_up_all(edge: SocketAddr, users: &[String]) -> Result<Vec<String>, Error> {
    stream::iter(users).map(|user| sign_up(edge, user)).buffered(CONCURRENCY).try_collect().await
}

async fn sign_up(edge: SocketAddr, user: &str) -> Result<String, Error> {
    let account = json!({ "user": user, "password": PASSWORD });
    post(edge, "/v1/accounts", &account).await?;
    let login = json!({ "user": user, "password": PASSWORD, "device": "bench" });
    let tokens = post(edge, "/v1/login", &login).await?;
    let token = tokens["token"].as_str();
    token.map(str::to_owned).ok_or_else(|| Error::Failed("a login gave no token".to_owned()))
}

async fn post(edge: SocketAddr, path: &str, body: &Value) -> Result<Value, Error> {
    let failed = |reason: &str| Error::Failed(format!("POST {path}: {reason}"));
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {edge}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(edge).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|error| failed(&error.to_string()))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| failed("no answer"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        return Err(failed(&format!("{status} {}", body.trim())));
    }
    serde_json::from_str(body).map_err(|error| failed(&error.to_string()))
}

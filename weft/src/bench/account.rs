//! Accounts and tokens over HTTP: a few requests before the measurement.

use std::net::SocketAddr;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::error::Error;
use crate::http;

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
    let answer = http::request(&edge.to_string(), "POST", path, &body.to_string()).await;
    let (status, body) = answer.map_err(|error| failed(&error.to_string()))?;
    if !(200..300).contains(&status) {
        return Err(failed(&format!("{status} {}", body.trim())));
    }
    serde_json::from_str(&body).map_err(|error| failed(&error.to_string()))
}

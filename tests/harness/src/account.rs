//! Users and the tokens of their devices, over HTTP.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::history;
use crate::http::{self, Answer};
use crate::system::unique;

/// The password of every user of a test.
pub const PASSWORD: &str = "correct horse";

/// A device that is logged in.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub device: String,
    pub token: String,
    /// When the access token ends, Unix milliseconds.
    pub expires_at_ms: u64,
    pub refresh_token: String,
}

impl Login {
    /// The device's name in a [`history`].
    pub fn name(&self) -> history::Device {
        format!("{}/{}", self.user, self.device).into()
    }

    /// A request with this device's token.
    pub async fn call(
        &self,
        edge: SocketAddr,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        http::call(edge, method, path, Some(&self.token), body).await
    }

    /// Trades the refresh token for new tokens.
    pub async fn refresh(&self, edge: SocketAddr) -> Result<Self> {
        let body = json!({ "refresh_token": self.refresh_token });
        tokens(&http::call(edge, "POST", "/v1/refresh", None, &body).await?)
    }
}

pub async fn sign_up(edge: SocketAddr, user: &str) -> Result<()> {
    let body = json!({ "user": user, "password": PASSWORD });
    let answer = http::call(edge, "POST", "/v1/accounts", None, &body).await?;
    ensure!(answer.status == 201, "sign-up of {user}: {answer:?}");
    ensure!(answer.body["user"] == user, "sign-up of {user}: {answer:?}");
    Ok(())
}

/// Makes users without a device, four at once: each costs core a password hash. Their names.
pub async fn crowd(edge: SocketAddr, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|_| unique("crowd")).collect();
    stream::iter(&names).map(|name| sign_up(edge, name)).buffered(4).try_collect::<()>().await?;
    Ok(names)
}

/// Makes users, each with a device that is logged in, in the order of their names. `at_once`: each
/// costs its edge two password hashes.
pub async fn sign_up_all(edge: SocketAddr, names: &[String], at_once: usize) -> Result<Vec<Login>> {
    stream::iter(names).map(|name| new_device(edge, name)).buffered(at_once).try_collect().await
}

async fn new_device(edge: SocketAddr, name: &str) -> Result<Login> {
    sign_up(edge, name).await?;
    login(edge, name, "device").await
}

pub async fn login(edge: SocketAddr, user: &str, device: &str) -> Result<Login> {
    let body = json!({ "user": user, "password": PASSWORD, "device": device });
    tokens(&http::call(edge, "POST", "/v1/login", None, &body).await?)
}

pub fn tokens(answer: &Answer) -> Result<Login> {
    let field = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
    let login = Login {
        user: field("user"),
        device: field("device"),
        token: field("token"),
        expires_at_ms: answer.body["expires_at"].as_u64().unwrap_or_default(),
        refresh_token: field("refresh_token"),
    };
    let complete = !login.user.is_empty()
        && !login.device.is_empty()
        && !login.token.is_empty()
        && !login.refresh_token.is_empty()
        && login.expires_at_ms > 0;
    ensure!(answer.status == 200 && complete, "no tokens: {answer:?}");
    Ok(login)
}

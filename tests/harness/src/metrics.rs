//! What a part tells at `/metrics`, read back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::http;

/// The metrics of a part at one moment.
#[derive(Debug, Default)]
pub struct Metrics {
    pub kinds: BTreeMap<String, String>,
    /// Values by name and labels, as they are written: `weft_edge_acks_total{result="ok"}`.
    pub values: BTreeMap<String, f64>,
}

impl Metrics {
    pub async fn of(admin: SocketAddr) -> Result<Self> {
        let answer = http::call(admin, "GET", "/metrics", None, &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let mut metrics = Self::default();
        for line in answer.body.as_str().unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["#", "TYPE", name, kind] => {
                    metrics.kinds.insert(name.to_owned(), kind.to_owned());
                }
                [name, value] if !name.starts_with('#') => {
                    metrics.values.insert(name.to_owned(), value.parse()?);
                }
                _ => {}
            }
        }
        Ok(metrics)
    }

    /// A value; 0 where it is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or_default()
    }
}

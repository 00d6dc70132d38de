//! The result: one JSON object, and histograms on the way to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use weft_runtime::lock;

/// Latencies up to a minute, in ns, to three digits.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Latencies of all connections. Cheap to clone.
#[derive(Clone)]
pub struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Default for Latencies {
    fn default() -> Self {
        let mut histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .unwrap_or_else(|error| unreachable!("fixed bounds: {error:?}"));
        histogram.auto(true);
        Self(Arc::new(Mutex::new(histogram)))
    }
}

impl Latencies {
    pub fn record_us(&self, latency_us: u64) {
        self.record_ns(latency_us.saturating_mul(1_000));
    }

    pub fn record(&self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    fn record_ns(&self, latency_ns: u64) {
        let mut histogram = lock(&self.0);
        // It grows as needed.
        let _ = histogram.record(latency_ns.max(1));
    }

    /// In ms.
    pub fn quantiles(&self) -> Quantiles {
        self.quantiles_in(Duration::from_millis(1))
    }

    pub fn quantiles_in(&self, unit: Duration) -> Quantiles {
        let histogram = lock(&self.0);
        let unit_ns = unit.as_nanos() as f64;
        let at = |quantile| round(histogram.value_at_quantile(quantile) as f64 / unit_ns);
        Quantiles { p50: at(0.5), p99: at(0.99), max: round(histogram.max() as f64 / unit_ns) }
    }
}

/// Of latencies; in ms, where their name says nothing else.
#[derive(Serialize, Clone, Copy, Default, Debug)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Processor time per message, in µs.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct CpuPerMessage {
    pub edge: f64,
    pub core: f64,
    pub nats: f64,
    pub bench: f64,
}

impl CpuPerMessage {
    /// Of processor time in µs: edges, core, nats-server, this process.
    pub fn new(cpu_us: [u64; 4], messages: u64) -> Self {
        let [edge, core, nats, bench] = cpu_us.map(|us| round(us as f64 / messages.max(1) as f64));
        Self { edge, core, nats, bench }
    }
}

pub fn print(report: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

/// To three digits after the point.
pub fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_milliseconds() {
        let latencies = Latencies::default();
        for latency_us in 1..=1_000 {
            latencies.record_us(latency_us);
        }
        let quantiles = latencies.quantiles();
        assert_eq!((quantiles.p50, quantiles.p99), (0.5, 0.99));
        assert_eq!(quantiles.max, 1.0);
        let in_us = latencies.quantiles_in(Duration::from_micros(1));
        assert!((499.0..=501.0).contains(&in_us.p50), "{in_us:?}");
        latencies.record(Duration::from_secs(600));
        assert!(latencies.quantiles().max >= 590_000.0);
    }
}

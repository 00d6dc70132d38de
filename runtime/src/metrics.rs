//! Numbers for whoever looks after a running part, in Prometheus's form.
//!
//! A metric is a `static` of its crate's `metrics.rs`, with its name and its help in words; the crate's
//! `METRICS` lists all of them. What a process counts is what it [installs](Exporter::install), once,
//! before anything counts; without that, counting does nothing. The static keeps its handle, so on the
//! way of a message counting is an atomic operation: no lookup, no allocation. Labels take few values:
//! a number of a partition, a code; never a user, a room or an address.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// From half a millisecond to a minute: where people wait.
pub const LATENCY_BUCKETS_S: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];
/// How many of something go together.
pub const COUNT_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

/// Samples of histograms wait in memory until somebody takes them: at the latest then.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Grows, and begins at 0 with the process. Its name ends in `_total`.
    Counter,
    /// A value of now.
    Gauge,
    /// How often values were how large. Its name ends in its unit: `_seconds`, `_bytes`; none where
    /// it counts things.
    Histogram,
}

/// What is known of a metric without running it.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// `weft_<part>_<what>_<unit>`
    pub name: &'static str,
    pub kind: MetricKind,
    /// One sentence for an operator, without a full stop.
    pub help: &'static str,
    pub label: Option<&'static str>,
    /// All values of the label, where they are known before: each is there from the start.
    pub label_values: &'static [&'static str],
    /// Of a histogram: the upper bounds.
    pub buckets: &'static [f64],
}

impl Description {
    const fn new(name: &'static str, kind: MetricKind, help: &'static str) -> Self {
        Self { name, kind, help, label: None, label_values: &[], buckets: &[] }
    }
}

/// One metric of a crate's list.
pub trait Metric: Sync {
    fn description(&self) -> &Description;

    /// Makes its handles, so that it is there, as 0, before anything was counted.
    fn begin(&self);
}

/// A counter without labels.
pub struct Counter(Description, OnceLock<metrics::Counter>);

impl Counter {
    /// For a `static`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Description::new(name, MetricKind::Counter, help), OnceLock::new())
    }

    fn handle(&self) -> &metrics::Counter {
        self.1.get_or_init(|| metrics::counter!(self.0.name))
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.handle().increment(count);
    }
}

impl Metric for Counter {
    fn description(&self) -> &Description {
        &self.0
    }

    fn begin(&self) {
        self.handle();
    }
}

/// Counters by one label, whose values are known.
pub struct CounterBy(Description, OnceLock<Vec<metrics::Counter>>);

impl CounterBy {
    /// For a `static`. What is none of `values` counts as the last of them: `other`, where there can be such.
    #[must_use]
    pub const fn new(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        let mut description = Description::new(name, MetricKind::Counter, help);
        description.label = Some(label);
        description.label_values = values;
        Self(description, OnceLock::new())
    }

    fn handles(&self) -> &[metrics::Counter] {
        self.1.get_or_init(|| {
            let Description { name, label, label_values, .. } = self.0;
            let label = label.unwrap_or_default();
            label_values.iter().map(|value| metrics::counter!(name, label => *value)).collect()
        })
    }

    pub fn increment(&self, value: &str) {
        self.add(value, 1);
    }

    pub fn add(&self, value: &str, count: u64) {
        let values = self.0.label_values;
        let place = values.iter().position(|known| *known == value);
        let last = values.len().saturating_sub(1);
        if let Some(counter) = self.handles().get(place.unwrap_or(last)) {
            counter.increment(count);
        }
    }
}

impl Metric for CounterBy {
    fn description(&self) -> &Description {
        &self.0
    }

    fn begin(&self) {
        self.handles();
    }
}

/// A gauge without labels.
pub struct Gauge(Description, OnceLock<metrics::Gauge>);

impl Gauge {
    /// For a `static`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Description::new(name, MetricKind::Gauge, help), OnceLock::new())
    }

    fn handle(&self) -> &metrics::Gauge {
        self.1.get_or_init(|| metrics::gauge!(self.0.name))
    }

    pub fn set(&self, value: f64) {
        self.handle().set(value);
    }

    pub fn increment(&self) {
        self.add(1.0);
    }

    pub fn decrement(&self) {
        self.add(-1.0);
    }

    /// So many more, or fewer.
    pub fn add(&self, value: f64) {
        self.handle().increment(value);
    }
}

impl Metric for Gauge {
    fn description(&self) -> &Description {
        &self.0
    }

    fn begin(&self) {
        self.handle();
    }
}

/// Gauges by one label whose values are known only while it runs, as a partition's number. There are
/// few, and who has one keeps its handle.
pub struct GaugeBy(Description);

impl GaugeBy {
    /// For a `static`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, label: &'static str) -> Self {
        let mut description = Description::new(name, MetricKind::Gauge, help);
        description.label = Some(label);
        Self(description)
    }

    #[must_use]
    pub fn of(&self, value: impl ToString) -> GaugeHandle {
        let label = self.0.label.unwrap_or_default();
        GaugeHandle(metrics::gauge!(self.0.name, label => value.to_string()))
    }
}

/// One gauge of a [`GaugeBy`]; 0 from its drop on, since nobody knows more.
pub struct GaugeHandle(metrics::Gauge);

impl GaugeHandle {
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }
}

impl Drop for GaugeHandle {
    fn drop(&mut self) {
        self.0.set(0.0);
    }
}

impl Metric for GaugeBy {
    fn description(&self) -> &Description {
        &self.0
    }

    fn begin(&self) {}
}

/// A histogram without labels.
pub struct Histogram(Description, OnceLock<metrics::Histogram>);

impl Histogram {
    /// For a `static`. `buckets`: the upper bounds.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Self {
        let mut description = Description::new(name, MetricKind::Histogram, help);
        description.buckets = buckets;
        Self(description, OnceLock::new())
    }

    fn handle(&self) -> &metrics::Histogram {
        self.1.get_or_init(|| metrics::histogram!(self.0.name))
    }

    pub fn record(&self, value: f64) {
        self.handle().record(value);
    }

    /// Takes a time in, as seconds.
    pub fn record_time(&self, time: Duration) {
        self.record(time.as_secs_f64());
    }
}

impl Metric for Histogram {
    fn description(&self) -> &Description {
        &self.0
    }

    fn begin(&self) {
        self.handle();
    }
}

/// A crate's metrics.
pub type List = [&'static dyn Metric];

/// Renders what this process counts. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

impl Exporter {
    /// Has these metrics counted from now on. A second call in one process changes nothing and gives
    /// the first one's exporter.
    #[must_use]
    pub fn install(lists: &[&'static List]) -> Self {
        static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
        let metrics = || lists.iter().copied().flatten();
        let handle = INSTALLED.get_or_init(|| {
            let mut builder = PrometheusBuilder::new();
            for Description { name, buckets, .. } in metrics().map(|metric| metric.description()) {
                if !buckets.is_empty() {
                    let matcher = Matcher::Full((*name).to_owned());
                    // It fails for a histogram without buckets alone.
                    builder = builder.set_buckets_for_metric(matcher, buckets).unwrap_or_default();
                }
            }
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // It fails where another recorder was set, which is nobody's to do but this line's.
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::error!("metrics are counted elsewhere: this process tells none");
            }
            for metric in metrics() {
                let Description { name, kind, help, .. } = *metric.description();
                match kind {
                    MetricKind::Counter => metrics::describe_counter!(name, help),
                    MetricKind::Gauge => metrics::describe_gauge!(name, help),
                    MetricKind::Histogram => metrics::describe_histogram!(name, help),
                }
                metric.begin();
            }
            handle
        });
        Self(handle.clone())
    }

    /// All of it, in Prometheus's text form.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Takes samples in, though nobody asks for them.
    pub async fn keep(self, stop: CancellationToken) {
        while tokio::time::timeout(UPKEEP_EVERY, stop.cancelled()).await.is_err() {
            self.0.run_upkeep();
        }
    }
}

/// A table of metrics for people, a line each.
#[must_use]
pub fn markdown(list: &List) -> String {
    let line = |metric: &&'static dyn Metric| {
        let Description { name, kind, help, label, label_values, .. } = metric.description();
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let values: Vec<_> = label_values.iter().map(|value| format!("`{value}`")).collect();
        let label = match label {
            Some(label) if values.is_empty() => format!("; by `{label}`"),
            Some(label) => format!("; by `{label}`: {}", values.join(", ")),
            None => String::new(),
        };
        format!("| `{name}` | {kind} | {help}{label} |\n")
    };
    list.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static SENT: Counter = Counter::new("weft_test_sent_total", "What was sent");
    static ENDS: CounterBy =
        CounterBy::new("weft_test_ends_total", "Ends", "code", &["1000", "other"]);
    static OPEN: Gauge = Gauge::new("weft_test_open", "What is open");
    static BACKLOG: GaugeBy = GaugeBy::new("weft_test_backlog", "What waits", "partition");
    static WAIT: Histogram =
        Histogram::new("weft_test_wait_seconds", "How long it waited", LATENCY_BUCKETS_S);
    static METRICS: &List = &[&SENT, &ENDS, &OPEN, &BACKLOG, &WAIT];

    #[test]
    fn what_is_counted_is_rendered_and_what_is_not_is_there_as_zero() {
        let exporter = Exporter::install(&[METRICS]);
        let empty = exporter.render();
        for line in [
            "# HELP weft_test_sent_total What was sent",
            "# TYPE weft_test_wait_seconds histogram",
            "weft_test_sent_total 0",
            "weft_test_ends_total{code=\"1000\"} 0",
            "weft_test_open 0",
            "weft_test_wait_seconds_count 0",
        ] {
            assert!(empty.lines().any(|it| it == line), "{line} in {empty}");
        }
        SENT.add(3);
        ENDS.increment("4444");
        OPEN.set(2.0);
        OPEN.decrement();
        let backlog = BACKLOG.of(7);
        backlog.set(9.0);
        WAIT.record_time(Duration::from_millis(15));
        // A second install is the first one's.
        let text = Exporter::install(&[]).render();
        for line in [
            "weft_test_sent_total 3",
            "weft_test_ends_total{code=\"other\"} 1",
            "weft_test_open 1",
            "weft_test_backlog{partition=\"7\"} 9",
            "weft_test_wait_seconds_bucket{le=\"0.01\"} 0",
            "weft_test_wait_seconds_bucket{le=\"0.02\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        drop(backlog);
        let text = exporter.render();
        assert!(text.contains("weft_test_backlog{partition=\"7\"} 0"), "{text}");
        assert!(
            markdown(METRICS)
                .contains("| `weft_test_backlog` | gauge | What waits; by `partition` |")
        );
    }
}

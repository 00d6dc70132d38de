//! Which metrics a part tells. docs/metrics.md lists them, and a test keeps it so.

use weft_runtime::metrics::{Exporter, List};

const EDGE: &[&List] = &[weft_edge::METRICS, weft_nats::METRICS];
const CORE: &[&List] = &[weft_core::METRICS, weft_storage::METRICS, weft_nats::METRICS];
const PRESENCE: &[&List] = &[weft_presence::METRICS, weft_nats::METRICS];
const FILES: &[&List] = &[weft_files::METRICS, weft_nats::METRICS];

const SEARCH: &[&List] = &[weft_search::METRICS, weft_nats::METRICS];

pub fn edge() -> Exporter {
    Exporter::install(EDGE)
}

pub fn core() -> Exporter {
    Exporter::install(CORE)
}

pub fn presence() -> Exporter {
    Exporter::install(PRESENCE)
}

const INTEGRATIONS: &[&List] = &[weft_integrations::METRICS, weft_nats::METRICS];

pub fn integrations() -> Exporter {
    Exporter::install(INTEGRATIONS)
}

const PUSH: &[&List] = &[weft_push::METRICS, weft_nats::METRICS];

pub fn push() -> Exporter {
    Exporter::install(PUSH)
}

pub fn search() -> Exporter {
    Exporter::install(SEARCH)
}

pub fn files() -> Exporter {
    Exporter::install(FILES)
}

/// Has all of them counted, in one process.
pub fn dev() -> Exporter {
    Exporter::install(&[
        weft_edge::METRICS,
        weft_core::METRICS,
        weft_storage::METRICS,
        weft_presence::METRICS,
        weft_search::METRICS,
        weft_push::METRICS,
        weft_integrations::METRICS,
        weft_files::METRICS,
        weft_nats::METRICS,
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use weft_runtime::metrics::{MetricKind, markdown};

    use super::*;

    const SECTIONS: &[(&str, &str, &List)] = &[
        ("An edge", "edge", weft_edge::METRICS),
        ("Core", "core", weft_core::METRICS),
        ("The embedded store", "core", weft_storage::METRICS),
        ("Presence", "presence", weft_presence::METRICS),
        ("Search", "search", weft_search::METRICS),
        ("Push", "push", weft_push::METRICS),
        ("Integrations", "integrations", weft_integrations::METRICS),
        ("Files", "files", weft_files::METRICS),
        (
            "The connection to NATS",
            "edge core presence search push integrations files",
            weft_nats::METRICS,
        ),
    ];

    /// `WEFT_BLESS=1 cargo test -p weft --bins documented` writes it anew.
    #[test]
    fn each_metric_is_documented() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let text = std::fs::read_to_string(&path).expect("docs/metrics.md");
        let (head, _) = text.split_once("\n## ").expect("sections");
        let mut made = head.to_owned();
        for (title, roles, list) in SECTIONS {
            made += &format!("\n## {title}\n\nOf: {roles}\n\n| name | kind | what it says |\n");
            made += "| --- | --- | --- |\n";
            made += &markdown(list);
        }
        if std::env::var_os("WEFT_BLESS").is_some() {
            std::fs::write(&path, &made).expect("docs/metrics.md");
        } else {
            assert!(text == made, "docs/metrics.md is to be made anew, with WEFT_BLESS=1");
        }
    }

    #[test]
    fn names_are_as_prometheus_has_them() {
        let mut names = BTreeSet::new();
        for metric in SECTIONS.iter().flat_map(|(_, _, list)| list.iter()) {
            let it = metric.description();
            assert!(names.insert(it.name), "{} is there twice", it.name);
            assert!(it.name.starts_with("weft_"), "{}", it.name);
            assert!(it.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", it.name);
            assert_eq!(it.kind == MetricKind::Counter, it.name.ends_with("_total"), "{}", it.name);
            assert!(!it.help.is_empty() && !it.help.ends_with('.'), "{}", it.name);
            assert_eq!(it.kind == MetricKind::Histogram, !it.buckets.is_empty(), "{}", it.name);
            assert!(it.buckets.is_sorted(), "{}", it.name);
            let mut values = BTreeSet::new();
            assert!(it.label_values.iter().all(|value| values.insert(value)), "{}", it.name);
        }
    }
}

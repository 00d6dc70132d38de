//! The longest time without an ack: as it was, and where faults alone do not explain it.

use std::time::Duration;

/// A span of time, in the recorder's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

/// A fault that kept the senders of some edges from being answered.
#[derive(Clone, Copy, Debug)]
pub struct CutOff {
    pub span: Span,
    /// Which edges, a bit each.
    pub edges: u32,
}

/// When no sender of any edge could be answered.
pub fn all_cut_off(faults: &[CutOff], all: u32) -> Vec<Span> {
    let mut times: Vec<Duration> =
        faults.iter().flat_map(|fault| [fault.span.from, fault.span.to]).collect();
    times.sort_unstable();
    times.dedup();
    let is_all = |from: Duration| {
        let active = faults.iter().filter(|f| f.span.from <= from && from < f.span.to);
        active.fold(0, |edges, fault| edges | fault.edges) == all
    };
    let spans = times.windows(2).map(|times| Span { from: times[0], to: times[1] });
    spans.filter(|span| is_all(span.from)).collect()
}

/// The longest piece of `within` that has no ack in it and none of the spans in `without`.
pub fn longest(within: Span, acks: &[Duration], without: &[Span]) -> Duration {
    let acks = acks.iter().map(|at| Span { from: *at, to: *at });
    let mut ends: Vec<Span> = acks.chain(without.iter().copied()).collect();
    ends.push(Span { from: within.to, to: within.to });
    ends.sort_unstable_by_key(|span| span.from);
    let (mut since, mut longest) = (within.from, Duration::ZERO);
    for span in ends {
        longest = longest.max(span.from.min(within.to).saturating_sub(since));
        since = since.max(span.to);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u64, to: u64) -> Span {
        Span { from: Duration::from_secs(from), to: Duration::from_secs(to) }
    }

    fn seconds(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn all_are_cut_off_where_faults_together_leave_no_edge() {
        let fault = |from, to, edges| CutOff { span: span(from, to), edges };
        let faults = [fault(1, 5, 0b01), fault(3, 8, 0b10), fault(20, 21, 0b11), fault(6, 7, 0)];
        assert_eq!(all_cut_off(&faults, 0b11), [span(3, 5), span(20, 21)]);
        assert_eq!(all_cut_off(&[], 0b11), []);
    }

    #[test]
    fn the_longest_time_counts_from_the_end_of_what_explains_it() {
        let acks = seconds(&[1, 2, 10, 11]);
        let raw = longest(span(0, 14), &acks, &[]);
        assert_eq!(raw, Duration::from_secs(8));
        let explained = longest(span(0, 14), &acks, &[span(3, 6), span(5, 8)]);
        assert_eq!(explained, Duration::from_secs(3), "after the last ack");
        assert_eq!(
            longest(span(0, 14), &acks, &[span(3, 9), span(11, 20)]),
            Duration::from_secs(1)
        );
        assert_eq!(longest(span(0, 5), &[], &[]), Duration::from_secs(5));
    }
}

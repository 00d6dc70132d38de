//! Takes one of the edge's rules out, so that a test can show that the simulation would notice.
//! Without the feature `sabotage`, which only the simulation and this crate's own tests have, no rule
//! can be taken out.

/// A rule that can be taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Feeds hand notices on to their sessions.
    NoticesHandedOn,
    /// What does not fit into a mailbox ends its session.
    FullMailboxEnds,
    /// What is missing is read before the entry after it is put out.
    RepairFirst,
    /// A cursor is told after the notices of the audit that moved it.
    NoticesBeforeCursor,
    /// What is committed counts as safe only where it was audited.
    AuditedIsSafe,
    /// A command is published again by evidence.
    EvidenceFirst,
    /// A command names the one before it in its room, while that one is unanswered.
    PredecessorNamed,
    /// Who has turned off read receipts is not told how far a group's members have read.
    ReceiptsHidden,
    /// Auditing does not panic.
    AuditingHolds,
}

#[cfg(feature = "sabotage")]
thread_local! {
    static TAKEN_OUT: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Takes the rule out, or puts all back, for the edges on this thread.
#[cfg(feature = "sabotage")]
pub fn take_out(rule: Option<Rule>) {
    TAKEN_OUT.set(rule);
}

#[cfg(feature = "sabotage")]
pub(crate) fn is_out(rule: Rule) -> bool {
    TAKEN_OUT.get() == Some(rule)
}

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is_out(_: Rule) -> bool {
    false
}

//! Takes one of the owner's rules out, so that a test can show that the simulation would notice.
//! Without the feature `sabotage`, which only this crate's own tests have, no rule can be taken out.

/// A rule that can be taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Answers are sent after the commit that covers them.
    AnswersAfterCommit,
    /// Resends are looked up before every other check.
    ResendsFirst,
    /// Client ids are remembered until a lookup that began after their commit has taken over.
    Pipelining,
    /// What a session sent after another command is not applied before it.
    SessionOrder,
    /// Nothing is committed while the clocks differ by minutes.
    ClocksAgree,
    /// Planning does not panic: taken out, it does so on the text [`POISON`].
    PlanningHolds,
    /// A head is that of its room's last entry: taken out, it is not after the text [`MISPLACED`].
    HeadsFollow,
    /// Who has reacted is told by what is planned, too.
    ReactionsPlanned,
    /// A message's row is changed as it is planned, not as it is committed: of reactions.
    CountsPlanned,
    /// A deletion takes what the message's edits say.
    EditsDeleted,
    /// What is written anew keeps its position.
    PlacesKept,
    /// A mark counts from when it is planned.
    MarksPlanned,
    /// Of a mark that moves again, only the newest place is told.
    ChangesOnce,
    /// The journal names the marks that a commit has moved.
    MarksJournaled,
    /// What counts as unread is told to the own devices alone.
    UnreadIsOwn,
    /// Who has not seen a draft's newest version does not change it.
    DraftVersions,
    /// Nobody is told a mark where one of them has turned off read receipts.
    ReceiptsHidden,
    /// Who blocks whom is told by what is planned, too.
    BlocksPlanned,
    /// What becomes of a scheduled message is told by what is planned, too.
    SchedulesPlanned,
    /// Where one of the two of a direct room blocks the other, neither is told of the other's marks.
    BlocksHideMarks,
    /// In a room that is closed nothing is said.
    ClosedIsObeyed,
}

#[cfg(feature = "sabotage")]
thread_local! {
    static TAKEN_OUT: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Takes the rule out, or puts all back, for the owners on this thread.
#[cfg(feature = "sabotage")]
pub fn take_out(rule: Option<Rule>) {
    TAKEN_OUT.set(rule);
}

#[cfg(feature = "sabotage")]
pub(super) fn is_out(rule: Rule) -> bool {
    TAKEN_OUT.get() == Some(rule)
}

#[cfg(not(feature = "sabotage"))]
pub(super) const fn is_out(_: Rule) -> bool {
    false
}

/// See [`Rule::PlanningHolds`].
#[cfg(feature = "sabotage")]
pub const POISON: &str = "poison";

#[cfg(feature = "sabotage")]
pub(super) fn panic_on(body: &weft_proto::Body) {
    let text = match body {
        weft_proto::Body::Text(message) => &message.text,
        weft_proto::Body::Edit(edit) => &edit.text,
        _ => return,
    };
    let is_poison = text == POISON;
    assert!(!is_poison || !is_out(Rule::PlanningHolds), "poison, on purpose");
}

#[cfg(not(feature = "sabotage"))]
pub(super) const fn panic_on(_: &weft_proto::Body) {}

/// See [`Rule::HeadsFollow`].
#[cfg(feature = "sabotage")]
pub const MISPLACED: &str = "misplaced";

/// How far the head is off after this entry.
#[cfg(feature = "sabotage")]
pub(super) fn misplaced(body: &weft_proto::Body) -> u64 {
    let is_meant = matches!(body, weft_proto::Body::Text(weft_proto::kind::Text { text, .. }) if text == MISPLACED);
    u64::from(is_meant && is_out(Rule::HeadsFollow))
}

#[cfg(not(feature = "sabotage"))]
pub(super) const fn misplaced(_: &weft_proto::Body) -> u64 {
    0
}

//! How far something is, for people: on a terminal alone.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weft_storage::export::ExportCounts;

/// How often it is drawn in a second.
const DRAWS_PER_S: u8 = 10;

/// A bar on standard error; nothing where that is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// One that knows its end.
    pub fn until(what: &'static str, lines: u64) -> Self {
        Self::new(
            what,
            ProgressBar::new(lines),
            "{msg} {wide_bar} {human_pos} of {human_len} lines, {eta} left",
        )
    }

    /// One that does not.
    pub fn without_end(what: &'static str) -> Self {
        Self::new(what, ProgressBar::no_length(), "{msg} {spinner} {human_pos} lines")
    }

    fn new(what: &'static str, bar: ProgressBar, form: &str) -> Self {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S));
        // The forms are constants: where one is wrong the default is shown.
        bar.set_style(ProgressStyle::with_template(form).unwrap_or(ProgressStyle::default_bar()));
        bar.set_message(what);
        Self(bar)
    }

    /// This many lines are done.
    pub fn at(&self, lines: u64) {
        self.0.set_position(lines);
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// What an export holds, in words.
pub fn describe(counts: &ExportCounts) -> String {
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    let letters = match of("dead_letter") {
        0 => String::new(),
        letters => format!(", {letters} dead letters"),
    };
    let (accounts, devices) = (of("account"), of("device"));
    let (rooms, entries) = (of("room"), of("entry"));
    format!("{accounts} accounts, {devices} devices, {rooms} rooms, {entries} entries{letters}")
}

//! What the library's errors mean here.

use foundationdb::FdbError;

use crate::error::Error;

/// The caller set a time limit, or an operator locked the database (a restore does): both pass.
const PASSING: [i32; 2] = [1_031, 1_038];

/// The error in the store's words.
pub fn describe(error: FdbError) -> Error {
    let text = format!("FoundationDB error {}: {error}", error.code());
    if error.is_maybe_committed() {
        Error::Unknown(text)
    } else if error.is_retryable() || PASSING.contains(&error.code()) {
        Error::Unavailable(text)
    } else {
        Error::Failed(text)
    }
}

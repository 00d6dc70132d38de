//! Who is here. Never on the way of a message.
//!
//! | module | duty |
//! | --- | --- |
//! | [`merge`] | the keys of all edges come to one status per user: pure |
//! | [`ledger`] | what was published, with versions, and whose duty that is: pure |
//! | [`shown`] | what others see |

pub mod ledger;
pub mod merge;
pub mod shown;

//! What holds where users have not said it themselves, and what they may not say otherwise: as administrators and operators set
//! it (`weft.svc.admin.…`, `weft.svc.operator.…`).

use std::fmt;

use prost::Message;

use super::{Empty, Method, WrittenMessages};
use crate::consent::{AddBy, Strangers};

redacted! {
    GetDefaults {}
    SetDefault { add_by, strangers, messages }
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetDefaults {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(GetDefaults, "admin", "get_defaults", Defaults);
operator!(OperatorGetDefaults, GetDefaults);

#[derive(Clone, PartialEq, Message)]
pub struct Defaults {
    #[prost(enumeration = "AddBy", tag = "1")]
    pub add_by: i32,
    #[prost(enumeration = "Strangers", tag = "2")]
    pub strangers: i32,
    /// What becomes of messages when accounts are deleted.
    #[prost(enumeration = "WrittenMessages", tag = "3")]
    pub messages: i32,
}

/// Changes one of them: the one that is there.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetDefault {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(enumeration = "AddBy", optional, tag = "2")]
    pub add_by: Option<i32>,
    #[prost(enumeration = "Strangers", optional, tag = "3")]
    pub strangers: Option<i32>,
    /// Why, for the administrators' log.
    #[prost(string, tag = "4")]
    pub reason: String,
    #[prost(enumeration = "WrittenMessages", optional, tag = "5")]
    pub messages: Option<i32>,
}
method!(SetDefault, "admin", "set_default", Empty);
operator!(OperatorSetDefault, SetDefault);

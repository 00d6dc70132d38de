//! Who may make an account, and invitations to do so: as administrators and operators set it (`weft.svc.admin.…`,
//! `weft.svc.operator.…`).

use std::fmt;

use prost::Message;

use super::{Empty, Links, Method};
use crate::sign_up::SignUpMode;

redacted! {
    GetSignUp {}
    SetSignUp { mode }
    MakeInvitation { expires_ms, uses }
    Invitation { id }
    ListInvitations {}
    RemoveInvitation { id }
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetSignUp {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(GetSignUp, "admin", "get_sign_up", SignUp);
operator!(OperatorGetSignUp, GetSignUp);

#[derive(Clone, PartialEq, Message)]
pub struct SignUp {
    #[prost(enumeration = "SignUpMode", tag = "1")]
    pub mode: i32,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetSignUp {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(enumeration = "SignUpMode", tag = "2")]
    pub mode: i32,
    /// Why, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
}
method!(SetSignUp, "admin", "set_sign_up", Empty);
operator!(OperatorSetSignUp, SetSignUp);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MakeInvitation {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Unix milliseconds; 0: it does not expire.
    #[prost(uint64, tag = "2")]
    pub expires_ms: u64,
    /// How many accounts may be made by it, from 1.
    #[prost(uint32, tag = "3")]
    pub uses: u32,
    /// Why, for the administrators' log.
    #[prost(string, tag = "4")]
    pub reason: String,
}
method!(MakeInvitation, "admin", "make_invitation", Invitation);
operator!(OperatorMakeInvitation, MakeInvitation);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Invitation {
    /// What it is known by without its secret.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The secret. It is told here and nowhere else.
    #[prost(string, tag = "2")]
    pub invitation: String,
}

/// Lists the invitations by which accounts can be made.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListInvitations {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(ListInvitations, "admin", "invitations", Links);
operator!(OperatorListInvitations, ListInvitations);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RemoveInvitation {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub id: String,
    /// Why, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
}
method!(RemoveInvitation, "admin", "remove_invitation", Empty);
operator!(OperatorRemoveInvitation, RemoveInvitation);

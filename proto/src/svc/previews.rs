//! What `weft files` asks core for to make previews of links (`weft.svc.previews.…`): it alone may. It learns addresses, and of the
//! texts that have them nothing else.

use prost::Message;

use super::{Empty, File, Method};
use crate::kind::LinkPreview;

/// Asks which links a part of a partition's journal has brought that are to have a preview. Those of messages that are older than some
/// minutes are left out.
///
/// Errors: `bad_request`, for a partition that there is not.
#[derive(Clone, PartialEq, Message)]
pub struct FindLinks {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// Of commits after this one.
    #[prost(uint64, tag = "2")]
    pub after: u64,
}
method!(FindLinks, "previews", "links", FoundLinks);

#[derive(Clone, PartialEq, Message)]
pub struct FoundLinks {
    /// The store's id: 8 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    /// Up to which commit it speaks: ask on after it.
    #[prost(uint64, tag = "2")]
    pub through: u64,
    /// There are more now.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// What came after can't be told any more.
    #[prost(bool, tag = "4")]
    pub expired: bool,
    #[prost(message, repeated, tag = "5")]
    pub links: Vec<FoundLink>,
}

/// A link that is to have a preview.
#[derive(Clone, PartialEq, Message)]
pub struct FoundLink {
    #[prost(string, tag = "1")]
    pub room: String,
    /// The message's.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Of the edit whose text has it; none: the message's first text has it.
    #[prost(uint64, optional, tag = "3")]
    pub edit: Option<u64>,
    /// As the text has it.
    #[prost(string, tag = "4")]
    pub url: String,
}

/// Begins the file of an image that previews will show. It is nobody's.
///
/// Errors: `bad_request`.
#[derive(Clone, PartialEq, Message)]
pub struct BeginImage {
    #[prost(uint64, tag = "1")]
    pub size: u64,
}
method!(BeginImage, "previews", "image", File);

/// Gives a message the preview of its link. The room's owner decides whether it still has that link; where it has not, or has a
/// preview, nothing happens.
///
/// Errors: `bad_request`, `too_long`; `not_found`, where the message has no such link.
#[derive(Clone, PartialEq, Message)]
pub struct PutPreview {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    #[prost(uint64, optional, tag = "3")]
    pub edit: Option<u64>,
    /// Of its image, the id alone.
    #[prost(message, optional, tag = "4")]
    pub link: Option<LinkPreview>,
}
method!(PutPreview, "previews", "put", Empty);

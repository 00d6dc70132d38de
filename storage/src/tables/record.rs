//! The form of stored records: a version byte, then prost.

use prost::Message;

use crate::error::Error;

/// The version of every record's encoding. Fields are added under new tags; this changes only
/// where an old reader would be wrong about a new record.
const VERSION: u8 = 1;

pub(super) fn encode(record: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.encoded_len());
    bytes.push(VERSION);
    // Encoding into a vector can't run out of room.
    bytes.extend_from_slice(&record.encode_to_vec());
    bytes
}

pub(super) fn decode<M: Message + Default>(table: &str, bytes: &[u8]) -> Result<M, Error> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            M::decode(rest).map_err(|error| Error::Corrupt(format!("{table}: {error}")))
        }
        Some((version, _)) => Err(Error::Corrupt(format!(
            "{table}: record version {version}, this Weft reads {VERSION}"
        ))),
        None => Err(Error::Corrupt(format!("{table}: empty record"))),
    }
}

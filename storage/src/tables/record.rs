//! The form of stored records: a version byte, then prost.

use prost::Message;

use weft_proto::Position;

use crate::batch::POSITION_BYTES;
use crate::error::Error;

/// The version of every record's encoding. Fields are added under new tags; this changes only
/// where an old reader would be wrong about a new record.
pub(super) const VERSION: u8 = 1;

pub(super) fn encode(record: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.encoded_len());
    bytes.push(VERSION);
    record.encode(&mut bytes).expect("a vector grows");
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

/// As [`decode`], and refuses a record with more in it than this Weft knows: whoever writes it
/// anew would lose that in silence.
pub(super) fn decode_whole<M: Message + Default>(table: &str, bytes: &[u8]) -> Result<M, Error> {
    let record: M = decode(table, bytes)?;
    if encode(&record) == bytes {
        return Ok(record);
    }
    Err(Error::Corrupt(format!("{table}: the record has a field that this Weft does not know")))
}

/// The position and the record of a row that has its commit's position before the record.
pub(super) fn split_position<'a>(
    table: &str,
    bytes: &'a [u8],
) -> Result<(Position, &'a [u8]), Error> {
    bytes
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, record)| Some((Position::from_slice(position)?, record)))
        .ok_or_else(|| Error::Corrupt(format!("{table}: too short")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Old {
        #[prost(string, tag = "1")]
        name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct New {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        mood: String,
    }

    #[test]
    fn a_record_is_whole_where_nothing_of_it_is_unknown() {
        let new = |mood: &str| encode(&New { name: "a".into(), mood: mood.into() });
        assert!(decode::<Old>("t", &new("sad")).is_ok());
        assert!(decode_whole::<Old>("t", &new("sad")).is_err());
        assert_eq!(decode_whole::<Old>("t", &new("")).expect("whole").name, "a");
    }
}

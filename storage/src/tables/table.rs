//! What a table tells an export: the shape of its keys and rows. Whoever implements [`Table`] has a
//! table that is carried, row by row, once [`Tag::carried`] names it.

use std::marker::PhantomData;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use weft_proto::{DeviceId, Partition, Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::record;
use crate::engine::Snapshot;
use crate::error::Error;

/// Some rows with their keys.
pub type Page<T> = Vec<(<T as Table>::Key, <T as Table>::Row)>;

/// A table whose rows an export carries as they are.
pub trait Table: Sized + 'static {
    const TAG: Tag;
    /// The type of its lines, and its name for people.
    const NAME: &'static str;
    /// How many rows are read at once: fewer where a row may be large.
    const ROWS_AT_ONCE: usize = 1_000;
    /// The stored form has its commit's position before the row. An export carries no positions, and nobody
    /// has a row of what changed in a store that an import fills: so there it is before everything.
    const IS_POSITIONED: bool = false;
    /// What a row is found by: the parts of the stored key, in its order.
    type Key: KeyPart + Serialize + DeserializeOwned + Send;
    type Row: Stored + Send;

    fn key(key: &Self::Key) -> Bytes {
        key.write(Key::new(Self::TAG)).build()
    }

    fn read_key(key: &[u8]) -> Result<Self::Key, Error> {
        Self::Key::read(&mut KeyReader::new(Self::TAG, key)?)
    }

    /// The next rows after a key (`None`: the first ones); none: there are no further ones.
    fn page(
        snapshot: &dyn Snapshot,
        after: Option<&Self::Key>,
    ) -> impl Future<Output = Result<Page<Self>, Error>> {
        async move {
            let mut range = Key::new(Self::TAG).prefix_range();
            if let Some(key) = after {
                range.start = next_key(&Self::key(key));
            }
            let rows = snapshot.scan(range, Self::ROWS_AT_ONCE, false).await?;
            let read = |(key, value): &(Bytes, Bytes)| {
                let row = if Self::IS_POSITIONED {
                    record::split_position(Self::NAME, value)?.1
                } else {
                    value
                };
                Ok((Self::read_key(key)?, Self::Row::from_stored(Self::NAME, row)?))
            };
            rows.iter().map(read).collect()
        }
    }

    /// What is stored for a row: a pair, or several where it is stored in parts.
    fn pairs(key: &Self::Key, row: &Self::Row) -> Vec<(Bytes, Bytes)> {
        let mut stored = row.to_stored();
        if Self::IS_POSITIONED {
            stored = before_everything(&stored);
        }
        vec![(Self::key(key), stored)]
    }

    /// The partition that a row belongs to.
    fn partition(_key: &Self::Key) -> Option<Partition> {
        None
    }
}

/// A row's stored form, with the position that it has where an import has written it.
pub(super) fn before_everything(row: &[u8]) -> Bytes {
    [&Position::MIN.0[..], row].concat().into()
}

/// A row's stored form, and its form in a line.
pub trait Stored: Serialize + DeserializeOwned {
    fn to_stored(&self) -> Bytes;

    /// Reads the stored form; refuses one with more in it than this Weft knows.
    fn from_stored(table: &str, bytes: &[u8]) -> Result<Self, Error>;
}

impl<M: Message + Default + Serialize + DeserializeOwned> Stored for M {
    fn to_stored(&self) -> Bytes {
        record::encode(self).into()
    }

    fn from_stored(table: &str, bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(table, bytes)
    }
}

/// A part of a key, or all of it.
pub trait KeyPart: Sized {
    /// Adds it to a key.
    fn write(&self, key: Key) -> Key;

    /// Takes it from the front of a key.
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error>;
}

/// A name in a key that is no id of its own type: anything without a zero byte.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('\0') { Err("a name has no zero byte") } else { Ok(Self(text)) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl KeyPart for Name {
    fn write(&self, key: Key) -> Key {
        key.name(&self.0)
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
        Ok(Self(reader.name()?.to_owned()))
    }
}

macro_rules! ids {
    ($($id:ty),+) => {$(
        impl KeyPart for $id {
            fn write(&self, key: Key) -> Key {
                key.name(self.as_str())
            }

            fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
                let corrupt = |error| Error::Corrupt(format!("malformed key: {error}"));
                Self::new(reader.name()?).map_err(corrupt)
            }
        }
    )+};
}
ids!(UserId, RoomId, DeviceId);

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl KeyPart for $number {
            fn write(&self, key: Key) -> Key {
                key.raw(&self.to_be_bytes())
            }

            fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
        }
    )+};
}
numbers!(u16, u32, u64);

impl<A: KeyPart, B: KeyPart> KeyPart for (A, B) {
    fn write(&self, key: Key) -> Key {
        self.1.write(self.0.write(key))
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
        Ok((A::read(reader)?, B::read(reader)?))
    }
}

/// A row of a file: of a table that need not be known by its type.
pub struct Row {
    pub tag: Tag,
    /// The stored key: of one table they ascend.
    pub key: Bytes,
    pub partition: Option<Partition>,
    /// What is stored for it.
    pub pairs: Vec<(Bytes, Bytes)>,
}

/// A [`Table`] as a value.
#[async_trait(?Send)]
pub trait AnyTable: Sync {
    /// [`Table::NAME`].
    fn name(&self) -> &'static str;

    /// The lines of the next rows after a stored key, and the last one's key; none: there are no
    /// further ones.
    async fn lines(
        &self,
        snapshot: &dyn Snapshot,
        after: Option<&Bytes>,
    ) -> Result<Option<(Vec<Vec<u8>>, Bytes)>, Error>;

    /// Reads a line; else why it can't be.
    fn read(&self, line: &str) -> Result<Row, String>;
}

/// The [`AnyTable`] of a [`Table`].
pub struct Of<T>(PhantomData<fn() -> T>);

impl<T> Of<T> {
    /// It has nothing in it.
    pub const NEW: Self = Self(PhantomData);
}

/// A line with a key and a row.
#[derive(Serialize)]
struct Line<'a, K, R> {
    #[serde(rename = "type")]
    name: &'a str,
    key: &'a K,
    row: &'a R,
}

/// A [`Line`] that was read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyed<K, R> {
    #[serde(rename = "type")]
    _name: IgnoredAny,
    /// What the row is found by.
    pub key: K,
    pub row: R,
}

/// The text of a line.
pub fn line<K: Serialize, R: Serialize>(name: &str, key: &K, row: &R) -> Vec<u8> {
    serde_json::to_vec(&Line { name, key, row }).expect("plain fields serialise")
}

#[async_trait(?Send)]
impl<T: Table> AnyTable for Of<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    async fn lines(
        &self,
        snapshot: &dyn Snapshot,
        after: Option<&Bytes>,
    ) -> Result<Option<(Vec<Vec<u8>>, Bytes)>, Error> {
        let after = after.map(|key| T::read_key(key)).transpose()?;
        let page = T::page(snapshot, after.as_ref()).await?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        let lines = page.iter().map(|(key, row)| line(T::NAME, key, row)).collect();
        Ok(Some((lines, T::key(last))))
    }

    fn read(&self, line: &str) -> Result<Row, String> {
        let Keyed::<T::Key, T::Row> { key, row, .. } =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        let partition = T::partition(&key);
        Ok(Row { tag: T::TAG, key: T::key(&key), partition, pairs: T::pairs(&key, &row) })
    }
}

//! Builds and reads keys.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::Position;

use super::Tag;
use crate::error::Error;

#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(tag: Tag) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(tag as u8);
        Self(bytes)
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        debug_assert!(!name.as_bytes().contains(&0), "names have no zero byte");
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self
    }

    pub(super) fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    pub(super) fn u16(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn position(self, position: Position) -> Self {
        self.raw(&position.0)
    }

    pub(super) fn build(self) -> Bytes {
        Bytes::from(self.0)
    }

    /// All keys that begin with this one.
    pub(super) fn prefix_range(self) -> Range<Bytes> {
        let mut end = self.0.clone();
        // A tag is never 0xff, so there is always a byte to raise.
        while end.pop_if(|byte| *byte == 0xff).is_some() {}
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Bytes::from(self.0)..Bytes::from(end)
    }
}

/// The first key that can come after this one.
pub(super) fn next_key(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Reads a key from its front.
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    pub(super) fn new(tag: Tag, key: &'a [u8]) -> Result<Self, Error> {
        match key.split_first() {
            Some((first, rest)) if *first == tag as u8 => Ok(Self(rest)),
            _ => Err(corrupt(key)),
        }
    }

    pub(super) fn name(&mut self) -> Result<&'a str, Error> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(|| corrupt(self.0))?;
        let name = std::str::from_utf8(&self.0[..end]).map_err(|_| corrupt(self.0))?;
        self.0 = &self.0[end + 1..];
        Ok(name)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| corrupt(self.0))?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn position(&mut self) -> Result<Position, Error> {
        Ok(Position(self.array()?))
    }
}

fn corrupt(key: &[u8]) -> Error {
    Error::Corrupt(format!("malformed key {:02x?}", &key[..key.len().min(32)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let key = Key::new(Tag::Log).name("alice~bob").u64(7).u8(1).build();
        let mut reader = KeyReader::new(Tag::Log, &key).expect("tag");
        assert_eq!(reader.name().expect("name"), "alice~bob");
        assert_eq!(reader.u64().expect("seq"), 7);
        assert_eq!(reader.u8().expect("part"), 1);
        assert!(reader.u8().is_err());
        assert!(KeyReader::new(Tag::Head, &key).is_err());
    }

    #[test]
    fn a_prefix_range_holds_its_keys_alone() {
        let range = Key::new(Tag::Log).name("a").prefix_range();
        let inside = Key::new(Tag::Log).name("a").u64(u64::MAX).build();
        let outside = Key::new(Tag::Log).name("a0").u64(0).build();
        assert!(range.contains(&inside));
        assert!(!range.contains(&outside));
        let range = Key::new(Tag::Journal).u16(0xffff).prefix_range();
        assert!(range.contains(&Key::new(Tag::Journal).u16(0xffff).u64(u64::MAX).build()));
        assert!(!range.contains(&Key::new(Tag::Log).u16(0).build()));
    }
}

//! An enumeration's number as its word, for serde: `serialize_with`, `deserialize_with`. A number
//! whose word this Weft does not know stays a number, so that nothing of a newer one is lost.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the word.
///
/// # Errors
/// Those of the serializer.
pub fn write<E, S>(number: &i32, serializer: S) -> Result<S::Ok, S::Error>
where
    E: TryFrom<i32> + Serialize,
    S: Serializer,
{
    match E::try_from(*number) {
        Ok(word) => word.serialize(serializer),
        Err(_) => serializer.serialize_i32(*number),
    }
}

/// Reads a word, or a number.
///
/// # Errors
/// Those of the deserializer; a word that is none.
pub fn read<'de, E, D>(deserializer: D) -> Result<i32, D::Error>
where
    E: DeserializeOwned + Into<i32>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<E> {
        Number(i32),
        Word(E),
    }
    Ok(match Either::<E>::deserialize(deserializer)? {
        Either::Number(number) => number,
        Either::Word(word) => word.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::Role;

    #[derive(Serialize, Deserialize)]
    struct Row {
        #[serde(serialize_with = "super::write::<Role, _>")]
        #[serde(deserialize_with = "super::read::<Role, _>")]
        role: i32,
    }

    #[test]
    fn words_are_read_back_and_unknown_numbers_stay() {
        for (role, text) in [(Role::Owner.into(), r#"{"role":"owner"}"#), (99, r#"{"role":99}"#)] {
            assert_eq!(serde_json::to_string(&Row { role }).expect("text"), text);
            assert_eq!(serde_json::from_str::<Row>(text).expect("row").role, role);
        }
        assert!(serde_json::from_str::<Row>(r#"{"role":"king"}"#).is_err());
    }
}

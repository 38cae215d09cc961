//! What an event's stored bytes are in JSON. The log does not read either; whoever opens it says how one becomes the other.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value};

/// Why bytes or JSON could not be turned into each other.
pub type Reason = Box<dyn std::error::Error + Send + Sync>;

/// An event as clients of the server see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Json {
    /// The event's data: one JSON text, kept byte for byte.
    pub data: Bytes,
    /// Its custom metadata, beside what the log itself puts there: `occurredAtMicroseconds`, `recordedAtMicroseconds` and `tags`.
    /// `$correlationId` and `$causationId` mean to the server what they say.
    pub metadata: Map<String, Value>,
}

/// An event's bytes as every engine keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Envelope.
    pub metadata: Bytes,
    /// Payload.
    pub payload: Bytes,
}

/// Turns stored bytes into JSON and back.
///
/// `to_stored` must answer the very bytes that `to_json` was given: the tree's leaves are made of them. An append whose bytes do not
/// come back is refused before anything is written.
pub trait Transcode: Send + Sync + 'static {
    /// The JSON of an event of this stored type.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    fn to_json(&self, kind: &str, stored: &Stored) -> Result<Json, Reason>;

    /// The stored bytes of an event of this stored type. `json.metadata` is without what the log put there.
    ///
    /// # Errors
    /// Says what is wrong with the JSON, or that the type is unknown.
    fn to_stored(&self, kind: &str, json: Json) -> Result<Stored, Reason>;
}

/// Any bytes as text, four in five characters: for tests, and for logs whose events are not JSON at heart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Transcode for Plain {
    fn to_json(&self, _kind: &str, stored: &Stored) -> Result<Json, Reason> {
        let mut metadata = Map::new();
        metadata.insert(BYTES.to_owned(), Value::String(to_text(&stored.metadata)));
        let data = serde_json::to_vec(&serde_json::json!({ BYTES: to_text(&stored.payload) }))?;
        Ok(Json { data: data.into(), metadata })
    }

    fn to_stored(&self, _kind: &str, json: Json) -> Result<Stored, Reason> {
        let bytes = |from: &Map<String, Value>| -> Result<Bytes, Reason> {
            let text = from.get(BYTES).and_then(Value::as_str).ok_or("`bytes` is missing")?;
            Ok(from_text(text).ok_or("`bytes` is not what bytes are written as")?.into())
        };
        Ok(Stored { metadata: bytes(&json.metadata)?, payload: bytes(&serde_json::from_slice(&json.data)?)? })
    }
}

const BYTES: &str = "bytes";

/// 85 characters that JSON never escapes.
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Which digit a byte is, and 85 for those that are none: large events are read by it.
static VALUES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let mut values = [85; 256];
    for (value, &digit) in (0..).zip(DIGITS) {
        values[usize::from(digit)] = value;
    }
    values
});

fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 4 * 5 + 5);
    for group in bytes.chunks(4) {
        let mut word = [0; 4];
        word[..group.len()].copy_from_slice(group);
        let mut word = u32::from_be_bytes(word);
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(word % 85) as usize];
            word /= 85;
        }
        // A group of n bytes is told by its first n + 1 digits.
        text.extend(digits[..=group.len()].iter().map(|&d| char::from(d)));
    }
    text
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, values) = (Vec::with_capacity(text.len() / 5 * 4 + 4), &*VALUES);
    for group in text.as_bytes().chunks(5) {
        let mut word = 0_u64;
        for n in 0..5 {
            // Digits left out count as the highest: what they add is cut off with the bytes that are not there.
            let digit = group.get(n).map_or(84, |&byte| values[usize::from(byte)]);
            if digit == 85 {
                return None;
            }
            word = word * 85 + u64::from(digit);
        }
        let word = u32::try_from(word).ok()?.to_be_bytes();
        bytes.extend_from_slice(&word[..group.len().checked_sub(1).filter(|&n| n > 0)?]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_back_from_their_text(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let text = to_text(&bytes);
            prop_assert_eq!(text.len(), bytes.len() / 4 * 5 + bytes.len() % 4 + usize::from(bytes.len() % 4 > 0));
            prop_assert!(!text.contains(['"', '\\']));
            prop_assert_eq!(from_text(&text), Some(bytes));
        }
    }

    #[test]
    fn text_that_no_bytes_are_written_as_is_refused() {
        for text in ["\"0000", "0", "#####", "城南"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn an_event_comes_back_from_its_json() {
        let stored =
            Stored { metadata: Bytes::from_static(b"\0\xffm"), payload: Bytes::from_static(b"payload") };
        let json = Plain.to_json("x", &stored).unwrap();
        assert_eq!(Plain.to_stored("x", json.clone()).unwrap(), stored);
        assert!(Plain.to_stored("x", Json { data: Bytes::from_static(b"{}"), ..json.clone() }).is_err());
        assert!(Plain.to_stored("x", Json { data: Bytes::from_static(b"{"), ..json }).is_err());
    }
}

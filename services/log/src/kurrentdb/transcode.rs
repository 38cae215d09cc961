//! What an event's stored bytes are in JSON. The log does not read either; whoever opens it says how one becomes the other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

/// Any bytes as base64: for tests, and for logs whose events are not JSON at heart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Transcode for Plain {
    fn to_json(&self, _kind: &str, stored: &Stored) -> Result<Json, Reason> {
        let mut metadata = Map::new();
        metadata.insert(BYTES.to_owned(), Value::String(STANDARD.encode(&stored.metadata)));
        let data = serde_json::to_vec(&serde_json::json!({ BYTES: STANDARD.encode(&stored.payload) }))?;
        Ok(Json { data: data.into(), metadata })
    }

    fn to_stored(&self, _kind: &str, json: Json) -> Result<Stored, Reason> {
        let bytes = |from: &Map<String, Value>| -> Result<Bytes, Reason> {
            let text = from.get(BYTES).and_then(Value::as_str).ok_or("`bytes` is missing")?;
            Ok(STANDARD.decode(text)?.into())
        };
        Ok(Stored { metadata: bytes(&json.metadata)?, payload: bytes(&serde_json::from_slice(&json.data)?)? })
    }
}

const BYTES: &str = "bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_from_its_json() {
        let stored =
            Stored { metadata: Bytes::from_static(b"\0\xffm"), payload: Bytes::from_static(b"payload") };
        let json = Plain.to_json("x", &stored).unwrap();
        assert_eq!(Plain.to_stored("x", json.clone()).unwrap(), stored);
        assert!(Plain.to_stored("x", Json { data: Bytes::from_static(b"{}"), ..json.clone() }).is_err());
        for data in [r#"{"bytes":"城南"}"#, r#"{"bytes":"AB=C"}"#, r#"{"bytes":7}"#, "{"] {
            let other = Json { data: Bytes::from_static(data.as_bytes()), ..json.clone() };
            assert!(Plain.to_stored("x", other).is_err(), "{data}");
        }
    }
}

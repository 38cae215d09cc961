//! What events look like on an engine that keeps JSON: the canonical JSON of the public contract, of payload and metadata apart.

use duban_codec::{
    decode_metadata, metadata_from_json, metadata_to_json, payload_from_json, payload_to_json,
};
use duban_log::kurrentdb::{Json, Reason, Stored, Transcode};
use serde_json::{Map, Value};

/// What clients of the engine follow from event to event.
const CORRELATION: &str = "$correlationId";
const CAUSATION: &str = "$causationId";

/// Canonical JSON, byte for byte the stored protobuf when it is read back.
#[derive(Clone, Copy, Debug, Default)]
pub struct CanonicalJson;

impl Transcode for CanonicalJson {
    fn to_json(&self, kind: &str, stored: &Stored) -> Result<Json, Reason> {
        let data = payload_to_json(kind, &stored.payload)?;
        let mut metadata: Map<String, Value> = serde_json::from_str(&metadata_to_json(&stored.metadata)?)?;
        let read = decode_metadata(&stored.metadata)?;
        // Whatever a command begins is correlated by the command.
        let correlation = read.lineage.correlation.unwrap_or(read.command.0);
        metadata.insert(CORRELATION.to_owned(), Value::String(correlation.to_string()));
        if let Some(causation) = read.lineage.causation {
            metadata.insert(CAUSATION.to_owned(), Value::String(causation.0.to_string()));
        }
        Ok(Json { data: data.into(), metadata })
    }

    fn to_stored(&self, kind: &str, json: Json) -> Result<Stored, Reason> {
        let payload = payload_from_json(kind, std::str::from_utf8(&json.data)?)?;
        let mut metadata = json.metadata;
        metadata.retain(|name, _| !name.starts_with('$'));
        let metadata = metadata_from_json(&Value::Object(metadata).to_string())?;
        Ok(Stored { metadata: metadata.into(), payload: payload.into() })
    }
}

#[cfg(test)]
mod tests {
    use duban_codec::sample::{self, Gen};
    use duban_codec::types;

    use super::*;

    #[test]
    fn stored_bytes_come_back_from_their_json_and_json_from_its_bytes() {
        for seed in 0..64 {
            for kind in types::ALL {
                let parts = sample::parts(kind, &mut Gen::wild(seed)).unwrap();
                let stored = Stored { metadata: parts.metadata.clone(), payload: parts.payload.clone() };
                let json = CanonicalJson.to_json(kind, &stored).unwrap();
                let again = CanonicalJson.to_stored(kind, json.clone()).unwrap();
                assert_eq!(again, stored, "{kind}, seed {seed}");
                assert_eq!(CanonicalJson.to_json(kind, &again).unwrap(), json, "{kind}, seed {seed}");
            }
        }
    }

    #[test]
    fn every_event_says_what_it_is_correlated_by() {
        for seed in 0..64 {
            let parts = sample::parts(types::ORDER_ACCEPTED, &mut Gen::wild(seed)).unwrap();
            let stored = Stored { metadata: parts.metadata.clone(), payload: parts.payload };
            let json = CanonicalJson.to_json(types::ORDER_ACCEPTED, &stored).unwrap();
            let read = decode_metadata(&parts.metadata).unwrap();
            let correlation = read.lineage.correlation.unwrap_or(read.command.0).to_string();
            assert_eq!(json.metadata[CORRELATION], Value::String(correlation));
            let causation = read.lineage.causation.map(|id| Value::String(id.0.to_string()));
            assert_eq!(json.metadata.get(CAUSATION), causation.as_ref());
        }
    }
}

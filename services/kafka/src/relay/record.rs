//! What an event looks like in Kafka: CloudEvents 1.0 in binary mode, the event's canonical JSON as the value.

use duban_log::Recorded;
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use uuid::Uuid;

use crate::{KafkaError, Names};

/// A record that waits to be sent.
#[derive(Debug)]
pub(super) struct Record {
    /// The topic.
    pub(super) topic: String,
    /// The ticket's id: what stands after the stream's kind; the whole name where it has no id.
    pub(super) key: String,
    /// The event's JSON.
    pub(super) value: String,
    /// Headers, by name.
    pub(super) headers: Vec<(&'static str, String)>,
    /// When the event was recorded, in milliseconds since 1970.
    pub(super) recorded_at_ms: i64,
}

impl Record {
    /// The record of an event. Texts in it stay sealed.
    pub(super) fn of(event: &Recorded, names: &Names, source: &str) -> Result<Self, KafkaError> {
        let undecodable = |source| KafkaError::Undecodable { event: event.id, source };
        let envelope = duban_codec::to_event(&duban_projections::stored(event)).map_err(undecodable)?;
        let value = duban_codec::to_json(&envelope).map_err(undecodable)?;
        let stream = event.stream.as_str();
        let key = key(stream).to_owned();
        let mut headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", envelope.id),
            ("ce_source", source.to_owned()),
            ("ce_type", envelope.r#type),
            ("ce_subject", stream.to_owned()),
            ("ce_partitionkey", key.clone()),
            ("ce_revision", event.revision.to_string()),
            ("ce_position", event.position.to_string()),
            ("content-type", "application/json".to_owned()),
        ];
        // What JSON can say, a moment can.
        if let Ok(at) = Timestamp::from_microsecond(event.occurred_at) {
            headers.push(("ce_time", at.to_string()));
        }
        if let Some(metadata) = envelope.metadata.filter(|metadata| !metadata.trace_context.is_empty()) {
            headers.push(("ce_traceparent", metadata.trace_context));
        }
        let topic = names.of_stream(stream).to_owned();
        Ok(Self { topic, key, value, headers, recorded_at_ms: event.recorded_at.div_euclid(1_000) })
    }

    /// About how much memory it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.value.len() + 512
    }

    /// The headers as the client takes them.
    pub(super) fn client_headers(&self) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_bytes()) })
        })
    }
}

const UUID_TEXT: usize = 36;

fn key(stream: &str) -> &str {
    let id = stream.len().checked_sub(UUID_TEXT).and_then(|at| stream.get(at..));
    id.filter(|id| Uuid::try_parse(id).is_ok()).unwrap_or(stream)
}

#[cfg(test)]
mod tests {
    use duban_log::{Position, StreamName};

    use super::*;

    #[test]
    fn the_key_is_the_id_behind_the_kind_or_the_whole_name() {
        let id = "6f1dc1a0-7d3c-4b8e-9f0e-0123456789ab";
        assert_eq!(key(&format!("fault-{id}")), id);
        assert_eq!(key(&format!("call-audit-{id}")), id);
        assert_eq!(key("office"), "office");
        assert_eq!(
            key("policy-a-name-that-is-long-and-is-not-an-id-at-all"),
            "policy-a-name-that-is-long-and-is-not-an-id-at-all"
        );
    }

    #[test]
    fn an_event_is_a_cloud_event_whose_value_reads_back_as_the_event() {
        for kind in duban_codec::types::ALL {
            let parts = duban_codec::sample::parts(kind, &mut duban_codec::sample::Gen::plain(7)).unwrap();
            let event = Recorded {
                position: Position::new(41),
                stream: StreamName::new(parts.stream.as_str()).unwrap(),
                revision: parts.revision,
                id: parts.id,
                kind: parts.kind.into(),
                occurred_at: parts.occurred_at,
                recorded_at: parts.recorded_at,
                tags: parts.tags.clone(),
                metadata: parts.metadata.clone(),
                payload: parts.payload.clone(),
            };
            let names = Names::of(&duban_engine::sidecar::kafka_config::KafkaConfig::at("b"));
            let record = Record::of(&event, &names, "urn:duban:duban").unwrap();
            let again = duban_codec::from_event(duban_codec::from_json(&record.value).unwrap()).unwrap();
            assert_eq!((again.id, &again.payload, again.position), (event.id, &event.payload, Some(41)));
            let header =
                |name| record.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| &**value);
            assert_eq!(header("ce_id"), Some(&*event.id.to_string()));
            assert_eq!(header("ce_type"), Some(&*event.kind));
            assert_eq!(header("ce_specversion"), Some("1.0"));
            assert_eq!(header("ce_subject"), Some(event.stream.as_str()));
            assert_eq!(header("ce_revision"), Some(&*event.revision.to_string()));
            let time: Timestamp = header("ce_time").unwrap().parse().unwrap();
            assert_eq!(time.as_microsecond(), event.occurred_at);
        }
    }
}

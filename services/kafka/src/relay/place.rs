//! How far the relay has come: kept in Kafka, beside what it has published.
//!
//! It lives and dies with the events that it speaks of: a cluster that was set up anew gets everything again, and any server of a log
//! can go on where another stopped. It may lag, and never leads: it is written after the events before it are acknowledged. What it
//! names is an event, not only a position, so that another log is noticed, and the same log in another engine is not mistaken for one.

use duban_engine::sidecar::kafka_config::KafkaConfig;
use duban_log::{Direction, EventLog, Position, StreamName};
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::window::Mark;
use crate::client::{self, ASK_MAX, Heard};
use crate::{KafkaError, Names};

/// The key of the one record that counts.
pub(super) const KEY: &str = "relay";

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    event: Uuid,
    stream: String,
    revision: String,
    position: String,
}

/// What to keep of a mark.
pub(super) fn to_text(mark: &Mark) -> String {
    let place = Place {
        event: mark.event,
        stream: mark.stream.to_string(),
        revision: mark.revision.to_string(),
        position: mark.position.to_string(),
    };
    // A plain struct of texts: nothing in it can fail.
    serde_json::to_string(&place).unwrap_or_default()
}

fn from_text(text: &[u8]) -> Option<Mark> {
    let place: Place = serde_json::from_slice(text).ok()?;
    Some(Mark {
        position: Position::new(place.position.parse().ok()?),
        event: place.event,
        stream: StreamName::new(place.stream).ok()?,
        revision: place.revision.parse().ok()?,
    })
}

impl ConsumerContext for Heard {}

/// Reads what was kept last, and finds it in the log; none where nothing was.
pub(super) async fn find(
    config: &KafkaConfig,
    names: &Names,
    log: &dyn EventLog,
) -> Result<Option<Position>, KafkaError> {
    let (of, topic) = (client::any(config), names.relay.clone());
    let kept = tokio::task::spawn_blocking(move || last(of, &topic)).await??;
    let Some(kept) = kept else { return Ok(None) };
    let mark = from_text(&kept).ok_or_else(|| KafkaError::Checkpoint { topic: names.relay.clone() })?;
    let found = log.read_stream(&mark.stream, mark.revision, Direction::Forward, 1).await?;
    match found.first().filter(|event| event.id == mark.event && event.revision == mark.revision) {
        Some(event) => Ok(Some(event.position)),
        None => Err(KafkaError::AnotherLog { topic: names.relay.clone(), event: mark.event }),
    }
}

/// The last record of the topic's one partition.
fn last(mut of: rdkafka::ClientConfig, topic: &str) -> Result<Option<Vec<u8>>, ClientError> {
    // No group is joined; the client asks for a name all the same.
    of.set("group.id", "duban-relay").set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    let consumer: BaseConsumer<Heard> = BaseConsumer::from_config_and_context(&of, Heard)?;
    let (low, high) = consumer.fetch_watermarks(topic, 0, ASK_MAX)?;
    if high <= low {
        return Ok(None);
    }
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(topic, 0, Offset::Offset(high - 1))?;
    consumer.assign(&at)?;
    let read = consumer
        .poll(ASK_MAX)
        .ok_or(ClientError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))??;
    Ok(Some(read.payload().unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_anything_else_is_refused() {
        let mark = Mark {
            position: Position::new(u64::MAX),
            event: Uuid::from_u128(7),
            stream: StreamName::new("fault-1").unwrap(),
            revision: 3,
        };
        let text = to_text(&mark);
        assert_eq!(from_text(text.as_bytes()), Some(mark));
        for other in ["", "{}", "7", &text.replace("event", "evenT"), &text.replace('3', "x")] {
            assert_eq!(from_text(other.as_bytes()), None, "{other}");
        }
    }
}

//! Facts that cannot be taken in: kept as they came, with the reason and where they lay.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use duban_engine::retry::doubling;
use duban_engine::sidecar::kafka_config::KafkaConfig;
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use super::{Received, record_id};
use crate::client::{self, Heard};
use crate::{KafkaError, Names};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why a fact cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For programs: `MALFORMED`, or why the rules refuse it, as gRPC callers read it.
    pub code: &'static str,
    /// For people. It never repeats what the fact says.
    pub detail: String,
}

/// The topic of dead letters.
pub(super) struct DeadLetters {
    config: Arc<KafkaConfig>,
    topic: String,
    producer: Mutex<Option<FutureProducer<Heard>>>,
}

impl DeadLetters {
    pub(super) fn new(config: Arc<KafkaConfig>) -> Self {
        let topic = Names::of(&config).dead_letter;
        Self { config, topic, producer: Mutex::default() }
    }

    /// Puts a record there, however long it takes. A record that was put there before its offset was committed may lie there twice, with the
    /// same `ce_id`.
    pub(super) async fn keep(&self, received: &Received, reason: &Reason) {
        let mut pauses = doubling(RETRY_FIRST, RETRY_MAX).build();
        while let Err(error) = self.put(received, reason).await {
            tracing::warn!(%error, "a fact cannot be put into the dead-letter topic just now: trying again");
            // A producer that failed once may never go on.
            drop(self.producer.lock().take());
            tokio::time::sleep(pauses.next().unwrap_or(RETRY_MAX)).await;
        }
    }

    async fn put(&self, received: &Received, reason: &Reason) -> Result<(), KafkaError> {
        let producer = self.producer()?;
        let Received { topic, partition, offset, .. } = received;
        let headers = [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", record_id(topic, *partition, *offset).to_string()),
            ("ce_source", format!("urn:duban:{}", self.config.prefix)),
            ("ce_type", "duban.fact.refused.v1".to_owned()),
            ("duban_reason", reason.code.to_owned()),
            ("duban_detail", reason.detail.clone()),
            ("duban_topic", topic.clone()),
            ("duban_partition", partition.to_string()),
            ("duban_offset", offset.to_string()),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic).headers(headers);
        record.key = received.key.as_deref();
        record.payload = received.value.as_deref();
        producer.send(record, Timeout::Never).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    fn producer(&self) -> Result<FutureProducer<Heard>, KafkaError> {
        let mut producer = self.producer.lock();
        match &*producer {
            Some(producer) => Ok(producer.clone()),
            None => Ok(producer
                .insert(FutureProducer::from_config_and_context(&client::producer(&self.config), Heard)?)
                .clone()),
        }
    }
}

//! The producer, and what it reports back.

use duban_engine::sidecar::kafka_config::KafkaConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;

use super::record::Record;
use crate::client::{self, Heard};
use crate::{KafkaError, Names};

/// The number under which the relay's own place is sent; events count from 0.
const PLACE: usize = usize::MAX;

/// What became of a record.
#[derive(Debug)]
pub(super) enum Report {
    /// The event of this number has arrived.
    Arrived(usize),
    /// How far the relay has come is kept.
    PlaceKept,
    /// A record will never arrive by this producer.
    Failed(ClientError),
}

struct Reporting(mpsc::UnboundedSender<Report>);

impl ClientContext for Reporting {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::heard(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        Heard.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reporting {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let report = match result {
            Ok(_) if number == PLACE => Report::PlaceKept,
            Ok(_) => Report::Arrived(number),
            Err((error, _)) => Report::Failed(error.clone()),
        };
        // Nobody listens to a producer that was given up.
        let _ = self.0.send(report);
    }
}

/// A producer, and its reports: as many as there are records under way, which the window bounds.
pub(super) struct Outbox {
    producer: Option<ThreadedProducer<Reporting>>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
}

impl Outbox {
    pub(super) fn open(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let (tell, reports) = mpsc::unbounded_channel();
        let producer = ThreadedProducer::from_config_and_context(&client::producer(config), Reporting(tell))?;
        Ok(Self { producer: Some(producer), reports })
    }

    /// Hands a record over; false where the client has no room for it now.
    pub(super) fn send(&self, record: &Record, number: usize) -> Result<bool, KafkaError> {
        let out = BaseRecord::with_opaque_to(&record.topic, number)
            .key(record.key.as_str())
            .payload(record.value.as_str())
            .timestamp(record.recorded_at_ms)
            .headers(record.client_headers());
        self.hand_over(out)
    }

    /// Hands over how far the relay has come; false where the client has no room for it now.
    pub(super) fn keep_place(&self, names: &Names, place: &str) -> Result<bool, KafkaError> {
        self.hand_over(BaseRecord::with_opaque_to(&names.relay, PLACE).key(super::place::KEY).payload(place))
    }

    fn hand_over(&self, record: BaseRecord<'_, str, str, usize>) -> Result<bool, KafkaError> {
        let Some(producer) = &self.producer else { return Ok(false) };
        match producer.send(record) {
            Ok(()) => Ok(true),
            Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error.into()),
        }
    }
}

impl Drop for Outbox {
    /// Whatever is under way is given up: who wants it to arrive waits for its report. The client's own end waits for its threads, which
    /// must not hold up others.
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(producer))),
            Err(_) => drop(producer),
        }
    }
}

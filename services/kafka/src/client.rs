//! How clients are made: what is configured about the connection, and what the promises rest on.

use std::time::Duration;

use duban_engine::sidecar::kafka_config::KafkaConfig;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// How long one question to a broker may take.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(10);

/// The largest record, in bytes: the largest event, twice over for JSON.
pub(crate) const RECORD_BYTES_MAX: u32 = 4 << 20;

/// What every client shares.
pub(crate) fn any(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("client.id", "duban").set("reconnect.backoff.max.ms", "2000");
    for (key, value) in &config.properties {
        client.set(key, value);
    }
    client.set("bootstrap.servers", &config.brokers);
    client
}

/// A producer that loses nothing, doubles nothing and keeps the order, for as long as it lives: it waits for brokers without an end,
/// and stops for good where it could only go on with a gap.
pub(crate) fn producer(config: &KafkaConfig) -> ClientConfig {
    let mut client = any(config);
    client
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        .set("compression.type", "zstd")
        // As Kafka's own clients choose a partition, so that others may write beside us.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144");
    client
}

/// A consumer in a group, whose offsets are committed by hand.
pub(crate) fn consumer(config: &KafkaConfig) -> ClientConfig {
    let mut client = any(config);
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("fetch.message.max.bytes", RECORD_BYTES_MAX.to_string())
        .set("queued.max.messages.kbytes", "65536");
    client
}

/// Passes on what librdkafka says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard;

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        heard(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka cannot be reached as it should");
    }
}

pub(crate) fn heard(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::warn!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}

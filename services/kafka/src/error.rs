//! What may stand in the way.

use duban_codec::CodecError;
use rdkafka::error::{KafkaError as Client, RDKafkaErrorCode};

/// Why something with Kafka did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// Kafka, or the way to it.
    #[error("Kafka: {0}")]
    Client(#[from] Client),
    /// A topic is not there and cannot be made.
    #[error("topic {topic} cannot be made: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// What Kafka said.
        code: RDKafkaErrorCode,
    },
    /// The log cannot be read now.
    #[error("the log cannot be read")]
    Log(#[from] duban_log::Error),
    /// An event cannot be put into JSON.
    #[error("event {event} cannot be published")]
    Undecodable {
        /// Its id.
        event: uuid::Uuid,
        /// Why.
        source: CodecError,
    },
    /// How far the relay had come is not a place in this log.
    #[error(
        "topic {topic} says that the relay had come to event {event}, which is not in this log: it is another log's; give this one a kafka.prefix of its own, or empty that topic to publish everything once more"
    )]
    AnotherLog {
        /// The relay's own topic.
        topic: String,
        /// The event.
        event: uuid::Uuid,
    },
    /// How far the relay had come cannot be read.
    #[error("what topic {topic} says about how far the relay has come cannot be read")]
    Checkpoint {
        /// The relay's own topic.
        topic: String,
    },
    /// A thread of the client ended badly.
    #[error("a part of the client ended badly")]
    Task(#[from] tokio::task::JoinError),
}

impl KafkaError {
    /// Whether trying again by itself can help. What is wrong with the log or with what it holds stays wrong.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Client(_) | Self::Topic { .. } | Self::Log(_) | Self::Task(_) => true,
            Self::Undecodable { .. } | Self::AnotherLog { .. } | Self::Checkpoint { .. } => false,
        }
    }
}

//! `[kafka]`: where the brokers are, what the topics are called, and what the server does there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

/// What the properties of `[kafka.properties]` may begin with. All else is the server's to decide: acknowledgements, idempotence and
/// offsets are what its promises rest on.
const CONNECTION: &[&str] =
    &["security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "client.", "socket.", "reconnect."];

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to begin with, `host:port` separated by commas.
    pub brokers: String,
    /// Whether events are relayed out.
    #[serde(default = "yes")]
    pub relay: bool,
    /// Whether facts of other systems are taken in.
    #[serde(default = "yes")]
    pub facts: bool,
    /// What every topic's name begins with, unless `[kafka.topics]` names it.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The group under which facts are read; servers of one log share it.
    #[serde(default = "group")]
    pub group: String,
    /// How long a starting server waits, at most, until the facts that lie there are taken in, before its timers start.
    #[serde(default = "facts_wait")]
    pub facts_wait_seconds_max: u64,
    /// Partitions of a topic that the server makes.
    #[serde(default = "partitions")]
    pub partitions: u32,
    /// Replicas of a topic that the server makes; three, or as many as there are brokers, where absent.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// How long a topic of events that the server makes keeps them; for ever, where absent.
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// `[kafka.topics]`
    #[serde(default)]
    pub topics: KafkaTopics,
    /// `[kafka.properties]`: librdkafka's, about the connection only: `security.protocol`, `sasl.*`, `ssl.*` and the like.
    #[serde(default, serialize_with = "without_secrets")]
    pub properties: BTreeMap<String, String>,
}

/// `[kafka.topics]`: names other than those that follow from the prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTopics {
    /// Out: complaints' events; `PREFIX.complaint.v1`.
    pub complaint: Option<String>,
    /// Out: faults' events; `PREFIX.fault.v1`.
    pub fault: Option<String>,
    /// Out: installs' events; `PREFIX.install.v1`.
    pub install: Option<String>,
    /// Out: events of all other streams; `PREFIX.office.v1`.
    pub office: Option<String>,
    /// The relay's own: how far it has come; `PREFIX.relay.v1`.
    pub relay: Option<String>,
    /// In: milestones of the 97 install system; `PREFIX.facts.install.v1`.
    pub facts_install: Option<String>,
    /// In: results of the 112 line tester; `PREFIX.facts.line-test.v1`.
    pub facts_line_test: Option<String>,
    /// In: arrears paid and service restored, from billing; `PREFIX.facts.billing.v1`.
    pub facts_billing: Option<String>,
    /// Facts that cannot be taken in, with the reason; `PREFIX.facts.dead-letter.v1`.
    pub facts_dead_letter: Option<String>,
}

fn prefix() -> String {
    "duban".to_owned()
}

fn yes() -> bool {
    true
}

fn group() -> String {
    "duban-facts".to_owned()
}

fn facts_wait() -> u64 {
    30
}

fn partitions() -> u32 {
    12
}

/// Why a configuration of Kafka cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConfigError {
    /// Kafka without brokers.
    #[error("kafka.brokers is empty: name at least one broker as `host:port`, or drop [kafka]")]
    NoBrokers,
    /// A property of Kafka's client that the server decides itself.
    #[error(
        "kafka.properties.{0} is not about the connection: drop it; security.*, sasl.*, ssl.*, client.*, socket.* and reconnect.* may be set"
    )]
    Property(String),
    /// A limit that makes no sense.
    #[error("{field} is {value}, and must be from {min} to {max}")]
    Limit {
        /// Its name in the file.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

/// Whoever prints a configuration does not mean to print a password.
fn without_secrets<S: Serializer>(properties: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    let secret = |key: &str| key.contains("password") || key.contains("secret") || key.contains("key.pem");
    to.collect_map(properties.iter().map(|(key, value)| (key, if secret(key) { "(hidden)" } else { value })))
}

impl KafkaConfig {
    /// One that says nothing but where the brokers are.
    #[must_use]
    pub fn at(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            relay: true,
            facts: true,
            prefix: prefix(),
            group: group(),
            facts_wait_seconds_max: facts_wait(),
            partitions: partitions(),
            replicas: None,
            retention_days: None,
            topics: KafkaTopics::default(),
            properties: BTreeMap::new(),
        }
    }

    /// Checks what no type can say.
    ///
    /// # Errors
    /// [`KafkaConfigError`] says what to change.
    pub fn check(&self) -> Result<(), KafkaConfigError> {
        if self.brokers.trim().is_empty() {
            return Err(KafkaConfigError::NoBrokers);
        }
        let limits = [
            ("kafka.partitions", u64::from(self.partitions), 1, 10_000),
            ("kafka.replicas", u64::from(self.replicas.unwrap_or(1)), 1, 32),
            ("kafka.retention_days", u64::from(self.retention_days.unwrap_or(1)), 1, 36_500),
            ("kafka.facts_wait_seconds_max", self.facts_wait_seconds_max, 0, 3_600),
        ];
        for (field, value, min, max) in limits {
            if !(min..=max).contains(&value) {
                return Err(KafkaConfigError::Limit { field, value, min, max });
            }
        }
        match self.properties.keys().find(|key| !CONNECTION.iter().any(|begins| key.starts_with(begins))) {
            Some(key) => Err(KafkaConfigError::Property(key.clone())),
            None => Ok(()),
        }
    }
}

//! The topics: what they are called, and how one is made that is not there.

use duban_engine::sidecar::kafka_config::KafkaConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::types::RDKafkaErrorCode;

use crate::KafkaError;
use crate::client::{self, ASK_MAX, Heard, RECORD_BYTES_MAX};

/// The topics' names, as they are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Complaints' events.
    pub complaint: String,
    /// Faults' events.
    pub fault: String,
    /// Installs' events.
    pub install: String,
    /// All other streams' events.
    pub office: String,
    /// How far the relay has come.
    pub relay: String,
    /// Milestones.
    pub facts_install: String,
    /// Line tests.
    pub facts_line_test: String,
    /// Arrears and restoration.
    pub facts_billing: String,
    /// Facts that cannot be taken in.
    pub dead_letter: String,
}

impl Names {
    /// The names of a configuration.
    #[must_use]
    pub fn of(config: &KafkaConfig) -> Self {
        let named =
            |name: &Option<String>, end: &str| name.clone().unwrap_or(format!("{}.{end}.v1", config.prefix));
        let topics = &config.topics;
        Self {
            complaint: named(&topics.complaint, "complaint"),
            fault: named(&topics.fault, "fault"),
            install: named(&topics.install, "install"),
            office: named(&topics.office, "office"),
            relay: named(&topics.relay, "relay"),
            facts_install: named(&topics.facts_install, "facts.install"),
            facts_line_test: named(&topics.facts_line_test, "facts.line-test"),
            facts_billing: named(&topics.facts_billing, "facts.billing"),
            dead_letter: named(&topics.facts_dead_letter, "facts.dead-letter"),
        }
    }

    /// The topic that a stream's events go to.
    #[must_use]
    pub fn of_stream(&self, stream: &str) -> &str {
        match stream.split_once('-') {
            Some(("complaint", _)) => &self.complaint,
            Some(("fault", _)) => &self.fault,
            Some(("install", _)) => &self.install,
            _ => &self.office,
        }
    }

    /// What the relay writes.
    pub(crate) fn out(&self) -> Vec<Wanted<'_>> {
        let events = [&self.complaint, &self.fault, &self.install, &self.office];
        let events = events.map(|name| Wanted { name, keeps: Keeps::Events });
        events.into_iter().chain([Wanted { name: &self.relay, keeps: Keeps::LastOnly }]).collect()
    }

    /// What facts are read from, and where they go if they cannot be taken in.
    pub(crate) fn facts(&self) -> Vec<Wanted<'_>> {
        let facts = [&self.facts_install, &self.facts_line_test, &self.facts_billing, &self.dead_letter];
        facts.map(|name| Wanted { name, keeps: Keeps::Facts }).into()
    }
}

/// A topic that must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'n> {
    name: &'n str,
    keeps: Keeps,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// Events, as long as configured.
    Events,
    /// One record, the last.
    LastOnly,
    /// What other systems said, and what could not be taken in of it: a month.
    Facts,
}

const DAY_MS: u64 = 86_400_000;

/// Makes the topics that are not there. One that is there is left as it is.
pub(crate) async fn ensure(config: &KafkaConfig, wanted: &[Wanted<'_>]) -> Result<(), KafkaError> {
    let admin = AdminClient::from_config_and_context(&client::any(config), Heard)?;
    let admin = tokio::task::spawn_blocking(move || {
        let known = admin.inner().fetch_metadata(None, ASK_MAX).map(|metadata| {
            let topics = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>();
            (metadata.brokers().len(), topics)
        });
        known.map(|known| (admin, known))
    });
    let (admin, (brokers, known)) = admin.await??;
    let brokers = u32::try_from(brokers).unwrap_or(u32::MAX).max(1);
    let replicas = config.replicas.unwrap_or(brokers.min(3));
    let in_sync = replicas.saturating_sub(1).max(1).to_string();
    let retention = |days: Option<u32>| match days {
        Some(days) => (u64::from(days) * DAY_MS).to_string(),
        None => "-1".to_owned(),
    };
    let (events_ms, facts_ms) = (retention(config.retention_days), retention(Some(31)));
    let largest = RECORD_BYTES_MAX.to_string();
    let (partitions, replicas) = (signed(config.partitions), signed(replicas));
    let missing: Vec<_> = wanted
        .iter()
        .filter(|wanted| !known.iter().any(|name| name == wanted.name))
        .map(|wanted| {
            let partitions = if wanted.keeps == Keeps::LastOnly { 1 } else { partitions };
            let topic = NewTopic::new(wanted.name, partitions, TopicReplication::Fixed(replicas))
                .set("min.insync.replicas", &in_sync)
                .set("max.message.bytes", &largest);
            match wanted.keeps {
                Keeps::Events => topic.set("retention.ms", &events_ms),
                Keeps::Facts => topic.set("retention.ms", &facts_ms),
                Keeps::LastOnly => topic.set("cleanup.policy", "compact"),
            }
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let options = AdminOptions::new().operation_timeout(Some(ASK_MAX)).request_timeout(Some(ASK_MAX));
    for made in admin.create_topics(&missing, &options).await? {
        match made {
            Ok(topic) => tracing::info!(topic, partitions, replicas, "a topic was made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(KafkaError::Topic { topic, code }),
        }
    }
    Ok(())
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_topic_follows_from_its_prefix_and_names_may_be_given() {
        let mut config = KafkaConfig::at("b:9092");
        let names = Names::of(&config);
        assert_eq!(names.of_stream("complaint-0-1"), "duban.complaint.v1");
        assert_eq!(names.of_stream("fault-1"), "duban.fault.v1");
        assert_eq!(names.of_stream("install-1"), "duban.install.v1");
        for other in ["office", "customer-1", "problem-1", "notice-1"] {
            assert_eq!(names.of_stream(other), "duban.office.v1");
        }
        config.prefix = "henan".into();
        config.topics.facts_line_test = Some("tester112.results".into());
        let names = Names::of(&config);
        assert_eq!(names.fault, "henan.fault.v1");
        assert_eq!(
            (&*names.facts_line_test, &*names.dead_letter),
            ("tester112.results", "henan.facts.dead-letter.v1")
        );
    }
}

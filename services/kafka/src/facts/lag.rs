//! How much lies in the facts' topics that the group has not answered yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use duban_engine::sidecar::kafka_config::KafkaConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaError;
use crate::client::{self, ASK_MAX, Heard};

/// Where partitions end: the offset that the next record gets.
pub(super) type Ends = BTreeMap<(String, i32), i64>;

/// Asks brokers, in threads of its own.
#[derive(Clone)]
pub(super) struct Probe(Arc<BaseConsumer<Heard>>);

impl Probe {
    pub(super) async fn open(config: Arc<KafkaConfig>) -> Result<Self, KafkaError> {
        // It joins no group: it asks what that of the configuration has committed.
        let open = move || BaseConsumer::from_config_and_context(&client::consumer(&config), Heard);
        Ok(Self(Arc::new(tokio::task::spawn_blocking(open).await??)))
    }

    /// Where the topics end now. A topic that is not there has no partitions.
    pub(super) async fn ends(&self, topics: Vec<String>) -> Result<Ends, KafkaError> {
        let consumer = Arc::clone(&self.0);
        let ask = move || {
            let metadata = consumer.fetch_metadata(None, ASK_MAX)?;
            let mut ends = Ends::new();
            for topic in
                metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name()))
            {
                for partition in topic.partitions() {
                    let (_, high) = consumer.fetch_watermarks(topic.name(), partition.id(), ASK_MAX)?;
                    ends.insert((topic.name().to_owned(), partition.id()), high);
                }
            }
            Ok::<_, KafkaError>(ends)
        };
        tokio::task::spawn_blocking(ask).await?
    }

    /// How many records before these ends are not answered.
    pub(super) async fn behind(&self, ends: Ends) -> Result<u64, KafkaError> {
        let consumer = Arc::clone(&self.0);
        let ask = move || {
            let mut asked = TopicPartitionList::new();
            for (topic, partition) in ends.keys() {
                asked.add_partition(topic, *partition);
            }
            let mut behind = 0;
            for committed in consumer.committed_offsets(asked, ASK_MAX)?.elements() {
                let place = (committed.topic().to_owned(), committed.partition());
                let Some(end) = ends.get(&place) else { continue };
                let next = match committed.offset() {
                    Offset::Offset(next) => next,
                    // Nothing was committed there: all that is still kept is new.
                    _ => consumer.fetch_watermarks(&place.0, place.1, ASK_MAX)?.0,
                };
                behind += u64::try_from(end - next).unwrap_or(0);
            }
            Ok::<_, KafkaError>(behind)
        };
        tokio::task::spawn_blocking(ask).await?
    }
}

//! What a reader of Kafka sees: everything, in its order, with the repeats.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use uuid::Uuid;

/// How long one look for more waits.
const LOOK: Duration = Duration::from_millis(20);

/// How long a question to brokers may take.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Everything that was read of some topics of events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Each event's first copy: a hash of its value.
    pub(super) values: HashMap<Uuid, u64>,
    /// Per stream, the events by the order of their first copies.
    pub(super) streams: HashMap<String, Vec<Uuid>>,
    /// Copies beyond the first.
    pub(super) copies: u64,
    /// What is wrong with a record by itself.
    pub(super) problems: Vec<String>,
}

/// Reads in a thread of its own, from the beginning, until it is told to end.
pub(super) struct Reader {
    distinct: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Reader {
    pub(super) fn start(brokers: &str, topics: Vec<String>) -> Self {
        let (distinct, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (brokers, counted, ended) = (brokers.to_owned(), Arc::clone(&distinct), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            let consumer = loop {
                // The topics are the server's to make.
                if let Some(consumer) = assigned(&brokers, &topics) {
                    break consumer;
                }
                if ended.load(Ordering::Relaxed) {
                    return seen;
                }
            };
            while !ended.load(Ordering::Relaxed) {
                // Brokers come and go in this test; an error is no end, and what is there is read after it.
                if let Some(Ok(message)) = consumer.poll(LOOK) {
                    seen.take(&message);
                    counted.store(seen.values.len() as u64, Ordering::Relaxed);
                }
            }
            seen
        });
        Self { distinct, end, thread }
    }

    /// Events seen until now, each counted once.
    pub(super) fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }

    /// Ends; answers everything that was seen.
    pub(super) fn end(self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader does not panic")
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", brokers)
        .set("group.id", "kafka-real")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("reconnect.backoff.max.ms", "1000");
    client
}

/// A consumer of all partitions of these topics, from their beginnings; none where one is not there yet.
fn assigned(brokers: &str, topics: &[String]) -> Option<BaseConsumer> {
    let consumer: BaseConsumer = client(brokers).create().ok()?;
    let metadata = consumer.fetch_metadata(None, ASK_MAX).ok()?;
    let mut assigned = TopicPartitionList::new();
    for name in topics {
        let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
        for partition in topic.partitions() {
            assigned.add_partition_offset(name, partition.id(), Offset::Beginning).ok()?;
        }
    }
    consumer.assign(&assigned).ok()?;
    Some(consumer)
}

impl Seen {
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let mut headers: BTreeMap<&str, &str> = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            let value = header.value.and_then(|value| std::str::from_utf8(value).ok());
            headers.insert(header.key, value.unwrap_or_default());
        }
        let id = headers.get("ce_id").and_then(|id| Uuid::try_parse(id).ok());
        let (Some(id), Some(stream)) = (id, headers.get("ce_subject")) else {
            self.problems.push(format!("a record of {} has no id or no subject", message.topic()));
            return;
        };
        let value = hash(message.payload().unwrap_or_default());
        match self.values.insert(id, value) {
            None => self.streams.entry((*stream).to_owned()).or_default().push(id),
            Some(first) => {
                self.copies += 1;
                if first != value {
                    self.problems.push(format!("event {id} came twice, and not the same"));
                }
            }
        }
    }
}

/// What tells one value from another.
pub(super) fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A letter that could not be delivered.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) value: Option<Vec<u8>>,
    pub(super) reason: String,
    pub(super) place: (String, String, String),
}

/// The dead-letter topic as it is now: letters by the command's id, and copies beyond the first.
pub(super) fn letters(brokers: &str, topic: &str) -> (HashMap<String, Letter>, u64) {
    let consumer = assigned(brokers, &[topic.to_owned()]).expect("the dead-letter topic is there");
    let metadata = consumer.fetch_metadata(Some(topic), ASK_MAX).expect("brokers answer");
    let mut missing: HashMap<i32, i64> = HashMap::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ASK_MAX).expect("brokers answer");
        if high > low {
            missing.insert(partition.id(), high);
        }
    }
    let (mut letters, mut copies) = (HashMap::new(), 0);
    while !missing.is_empty() {
        let message = consumer.poll(ASK_MAX).expect("what is there can be read").expect("brokers answer");
        let mut headers: HashMap<&str, String> = HashMap::new();
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            headers
                .insert(header.key, String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned());
        }
        let said = |name| headers.get(name).cloned().unwrap_or_default();
        let letter = Letter {
            value: message.payload().map(<[u8]>::to_vec),
            reason: said("duban_reason"),
            place: (said("duban_topic"), said("duban_partition"), said("duban_offset")),
        };
        copies += u64::from(letters.insert(said("ce_id"), letter).is_some());
        if missing.get(&message.partition()).is_some_and(|high| message.offset() + 1 >= *high) {
            missing.remove(&message.partition());
        }
    }
    (letters, copies)
}

/// What a group has answered.
pub(super) struct Answers {
    consumer: BaseConsumer,
    topics: Vec<String>,
}

impl Answers {
    pub(super) fn of(brokers: &str, group: &str, topics: Vec<String>) -> Self {
        // It joins no group: it asks what this one has committed.
        let consumer = client(brokers).set("group.id", group).create().expect("a consumer can be made");
        Self { consumer, topics }
    }

    /// Records answered until now; none where brokers do not say.
    pub(super) fn count(&self) -> Option<u64> {
        let metadata = self.consumer.fetch_metadata(None, ASK_MAX).ok()?;
        let mut asked = TopicPartitionList::new();
        for topic in
            metadata.topics().iter().filter(|topic| self.topics.iter().any(|name| name == topic.name()))
        {
            for partition in topic.partitions() {
                asked.add_partition(topic.name(), partition.id());
            }
        }
        let committed = self.consumer.committed_offsets(asked, ASK_MAX).ok()?;
        let committed = committed.elements();
        let next = committed.iter().map(|partition| match partition.offset() {
            Offset::Offset(next) => u64::try_from(next).unwrap_or(0),
            _ => 0,
        });
        Some(next.sum())
    }
}

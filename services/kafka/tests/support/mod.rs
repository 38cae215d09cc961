//! A log, a runner over it, and a cluster of brokers in this process.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duban_aggregates::ids::{CustomerId, TicketId};
use duban_aggregates::ticket::{self, Ticket};
use duban_aggregates::words::Kind;
use duban_codec::Lineage;
use duban_codec::sample::{self, Gen};
use duban_engine::drain::Drain;
use duban_engine::runner::{Aggregate, Bounds, Rules, Runner};
use duban_engine::sidecar::SidecarHost;
use duban_engine::sidecar::kafka_config::KafkaConfig as Config;
use duban_engine::tasks::Supervisor;
use duban_engine::time::VirtualClock;
use duban_log::{Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Recorded, StreamName};
use duban_sample_tickets::walker::Walker;
use duban_vault::keys::KeyStore;
use duban_vault::seal::Sealer;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use uuid::Uuid;

/// Longer than anything here may take; a test that hangs says so instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// Brokers, and the topics that a configuration names.
pub fn cluster(partitions: i32) -> (Cluster, Config) {
    let cluster = MockCluster::new(3).unwrap();
    let config = Config::at(cluster.bootstrap_servers());
    for topic in topics(&config) {
        let partitions = if topic == "duban.relay.v1" { 1 } else { partitions };
        cluster.create_topic(&topic, partitions, 3).unwrap();
    }
    (cluster, config)
}

fn topics(config: &Config) -> Vec<String> {
    let names = duban_kafka::Names::of(config);
    vec![
        names.complaint,
        names.fault,
        names.install,
        names.office,
        names.relay,
        names.facts_install,
        names.facts_line_test,
        names.facts_billing,
        names.dead_letter,
    ]
}

pub struct World {
    pub log: Arc<dyn EventLog>,
    pub host: SidecarHost,
    pub directory: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::bounded(Bounds::default())
    }

    pub fn bounded(bounds: Bounds) -> Self {
        Self::over(Arc::new(MemoryLog::new()), tempfile::tempdir().unwrap(), bounds)
    }

    /// A world over a log, with its keys in a directory.
    pub fn over(log: Arc<dyn EventLog>, keys: tempfile::TempDir, bounds: Bounds) -> Self {
        let sealer = Sealer::new(Arc::new(KeyStore::open(keys.path(), None).unwrap()));
        let clock = VirtualClock::new("2026-04-01T01:00:00Z".parse().unwrap());
        let runner = Arc::new(Runner::new(
            Arc::clone(&log),
            Arc::new(clock),
            Rules::cn_national(),
            sealer.keys().own_ids(),
            bounds,
        ));
        let drain = Drain::default();
        let host = SidecarHost { runner, sealer, tasks: Supervisor::new(drain.clone()), drain };
        Self { log, host, directory: keys }
    }

    /// The same log and keys under another server's life.
    pub fn next_life(&self) -> SidecarHost {
        let drain = Drain::default();
        SidecarHost { tasks: Supervisor::new(drain.clone()), drain, ..self.host.clone() }
    }

    /// Events of every type, in so many streams, one after the other.
    pub async fn fill(&self, seed: u64, streams: u64, events: usize) {
        let mut g = Gen::plain(seed);
        let names: Vec<_> = (0..streams)
            .map(|n| match n % 5 {
                4 => format!("customer-{}", Uuid::from_u128((u128::from(seed) << 64) | u128::from(n))),
                kind => {
                    let kind = ["complaint", "fault", "install", "fault"][usize::try_from(kind).unwrap()];
                    format!("{kind}-{}", Uuid::from_u128((u128::from(seed) << 64) | u128::from(n)))
                }
            })
            .collect();
        let mut revisions: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for number in 0..events {
            let kind = duban_codec::types::ALL[number % duban_codec::types::ALL.len()];
            let parts = sample::parts(kind, &mut g).unwrap();
            let name = g.pick(&names);
            let last = revisions.entry(name.clone()).or_default();
            let event = NewEvent {
                id: Uuid::from_u128((u128::from(seed) << 64) | 1 << 63 | number as u128),
                kind: Arc::from(parts.kind),
                occurred_at: parts.occurred_at,
                recorded_at: parts.recorded_at,
                tags: parts.tags,
                metadata: parts.metadata,
                payload: parts.payload,
            };
            let stream = StreamName::new(name.as_str()).unwrap();
            let appended = self.log.append(&stream, Expected::after(*last), vec![event]).await.unwrap();
            *last = Some(appended.last_revision);
        }
    }

    /// A ticket that was just taken in.
    pub async fn ticket(&self, kind: Kind, seed: u64) -> TicketId {
        let customer = CustomerId(Uuid::from_u128(0xc0ff_ee00 + u128::from(seed)));
        let sealer = self.host.sealer.customer(customer).await.unwrap();
        let seal = |text: &str| sealer.seal(text).unwrap();
        let mut walker = Walker::new(seed);
        loop {
            let history = walker.history(customer, &seal);
            let first = history[0].0.command;
            let mut state: Option<Ticket> = None;
            let mut events = Vec::new();
            for (meta, event) in history.iter().take_while(|(meta, _)| meta.command == first) {
                state = ticket::evolve(state, event, meta);
                let (stored, payload) = duban_codec::encode_ticket(event);
                events.push(NewEvent {
                    id: meta.id.0,
                    kind: Arc::from(stored),
                    occurred_at: meta.occurred_at.as_microsecond(),
                    recorded_at: meta.recorded_at.as_microsecond(),
                    tags: state.as_ref().map(|state| Aggregate::tags(state, event)).unwrap_or_default(),
                    metadata: duban_codec::encode_metadata(meta, &Lineage::default(), "cn-national-1"),
                    payload: payload.into(),
                });
            }
            let state = state.unwrap();
            if state.kind() == kind && state.is_open() {
                let stream = StreamName::new(format!("{}-{}", kind.name(), state.id())).unwrap();
                self.log.append(&stream, Expected::NoStream, events).await.unwrap();
                return state.id();
            }
        }
    }

    pub async fn events(&self) -> Vec<Recorded> {
        events(&*self.log).await
    }

    /// A ticket's events of its facts: type, command, actor.
    pub async fn facts_of(&self, ticket: TicketId) -> Vec<(String, Uuid, String)> {
        let all = self.events().await;
        let own = all.iter().filter(|event| event.stream.as_str().ends_with(&ticket.to_string()));
        own.map(|event| (event, duban_codec::decode_metadata(&event.metadata).unwrap()))
            .filter(|(_, metadata)| metadata.actor.role == duban_aggregates::words::Role::Import)
            .filter(|(event, _)| event.kind.starts_with("fault.") || event.kind.starts_with("install."))
            .map(|(event, metadata)| (event.kind.to_string(), metadata.command.0, metadata.actor.id.0))
            .collect()
    }
}

pub async fn events(log: &dyn EventLog) -> Vec<Recorded> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = log.read_all(from, Direction::Forward, &Filter::all(), 10_000).await.unwrap();
        all.extend(page.events);
        from = page.next;
        if page.end {
            return all;
        }
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Read {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        }
    }

    pub fn id(&self) -> &str {
        &self.headers["ce_id"]
    }
}

/// Reads topics from their beginnings to their ends as they are now.
pub fn read_all(config: &Config, topics: &[&str]) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assigned = TopicPartitionList::new();
    let mut missing: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap();
            assigned.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
            if high > low {
                missing.insert(((*topic).to_owned(), partition.id()), high);
            }
        }
    }
    consumer.assign(&assigned).unwrap();
    let (mut read, until) = (Vec::new(), Instant::now() + PATIENCE);
    while !missing.is_empty() {
        assert!(
            Instant::now() < until,
            "{} records were read, and these are missing: {missing:?}",
            read.len()
        );
        let Some(Ok(message)) = consumer.poll(Duration::from_secs(1)) else { continue };
        let record = Read::of(&message);
        let place = (record.topic.clone(), record.partition);
        if missing.get(&place).is_some_and(|high| record.offset + 1 >= *high) {
            missing.remove(&place);
        }
        read.push(record);
    }
    read
}

pub const OUT: [&str; 4] = ["duban.complaint.v1", "duban.fault.v1", "duban.install.v1", "duban.office.v1"];

/// A consumer that dedupes by event id sees each event of the log once, and a stream's in order. Answers how many copies there were.
#[track_caller]
pub fn check_whole(log: &[Recorded], read: &[Read]) -> usize {
    let mut seen = std::collections::HashSet::new();
    let mut streams: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in read {
        if seen.insert(record.id()) {
            streams.entry(&record.headers["ce_subject"]).or_default().push(record.id());
        }
    }
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in log {
        expected.entry(event.stream.as_str()).or_default().push(event.id.to_string());
    }
    assert_eq!(streams.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (stream, ids) in &expected {
        assert_eq!(streams[stream], *ids, "{stream}");
    }
    read.len() - seen.len()
}

/// Writes as another system would.
pub fn writer(config: &Config) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .create()
        .unwrap()
}

/// Writes one record; answers where it lies.
pub async fn write(writer: &FutureProducer, topic: &str, key: &str, value: &str) -> (i32, i64) {
    let record = FutureRecord::to(topic).key(key).payload(value);
    let delivered = writer.send(record, PATIENCE).await.unwrap();
    (delivered.partition, delivered.offset)
}

//! Facts in: what the 97 install system, the 112 line tester and billing say becomes ordinary commands.
//!
//! A record's command id follows from where it lies, so that a record that is read again answers what it answered. Its offset is committed
//! after its command was answered, or after it lies in the dead-letter topic with the reason. Where the log cannot be used just now, its ticket
//! waits and so does everything behind it: the order in a ticket is that of the partition.

mod dead_letter;
mod fact;
mod lag;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, Retryable};
use duban_aggregates::ids::{CommandId, TicketId};
use duban_codec::Lineage;
use duban_engine::retry::doubling;
use duban_engine::runner::{Ask, RunError};
use duban_engine::sidecar::SidecarHost;
use duban_engine::sidecar::kafka_config::KafkaConfig;
use duban_vault::keys::KeysError;
use duban_vault::own_ids::OwnIds;
use futures::{FutureExt as _, StreamExt as _};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::dead_letter::Reason;
pub use self::fact::Source;

use self::dead_letter::DeadLetters;
use self::fact::Fact;
use self::lag::Probe;
use crate::client::{self, Heard};
use crate::{KafkaError, Names, Switch, topics};

/// Records taken at a time: answered together, committed together.
const BATCH: usize = 500;

/// Tickets worked on at once.
const AT_ONCE: usize = 64;

/// Between two tries of a fact that could not be taken in just now, and between two sessions where one failed.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How often the lag is looked at.
const LAG_EVERY: Duration = Duration::from_secs(15);

/// How often a starting server looks whether it has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Longer trace contexts are somebody's mistake; they are stored in every event.
const TRACE_BYTES_MAX: usize = 256;

/// How the taking in stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactsStatus {
    /// Facts answered since this server started, those among them that had been taken in before.
    pub taken_in: u64,
    /// Facts put into the dead-letter topic since this server started.
    pub dead_letters: u64,
    /// Records that lie there and are not answered, by all servers; none where that is not known.
    pub lag: Option<u64>,
    /// Sessions that failed since this server started.
    pub failures: u64,
}

/// The id of a record, under which its dead letter goes out.
#[must_use]
pub fn record_id(topic: &str, partition: i32, offset: i64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:duban:fact:{topic}-{partition}-{offset}").as_bytes())
}

/// The id of the command that a record becomes, which no caller can claim before it comes.
#[must_use]
pub fn command_id(ids: &OwnIds, topic: &str, partition: i32, offset: i64) -> Uuid {
    ids.command(record_id(topic, partition, offset).as_bytes(), b"fact")
}

/// A record, out of the client's hands.
#[derive(Clone, Debug)]
struct Received {
    source: Source,
    topic: String,
    partition: i32,
    offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    trace_context: String,
}

/// What becomes of a record.
enum Told {
    Fact(Fact),
    Malformed(Reason),
}

/// The server is stopping, and a fact waits.
struct Stopping;

/// Takes facts in.
pub struct Facts {
    config: Arc<KafkaConfig>,
    names: Names,
    host: SidecarHost,
    switch: Switch,
    dead_letters: DeadLetters,
    status: watch::Sender<FactsStatus>,
}

struct Reading;

impl ClientContext for Reading {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::heard(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        Heard.error(error, reason);
    }
}

impl ConsumerContext for Reading {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::info!(%error, "answered facts could not be committed: they are read again, to no effect");
        }
    }
}

impl Facts {
    /// Takes facts into a server's log.
    #[must_use]
    pub fn new(config: Arc<KafkaConfig>, host: SidecarHost, switch: Switch) -> Self {
        let (names, dead_letters) = (Names::of(&config), DeadLetters::new(Arc::clone(&config)));
        Self { config, names, host, switch, dead_letters, status: watch::Sender::default() }
    }

    /// How it stands, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FactsStatus> {
        self.status.subscribe()
    }

    /// Takes facts in until the server stops, whenever it is switched on.
    pub async fn run(&self) {
        tokio::select! {
            () = self.take_in_all() => {}
            never = self.watch_lag() => match never {},
        }
    }

    /// Waits until everything that lies in the topics now is answered, but no longer than this.
    pub async fn caught_up(&self, patience: Duration) {
        match tokio::time::timeout(patience, self.answered()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "what facts lie in Kafka is not known: the timers start without them");
            }
            Err(_) => {
                let seconds = patience.as_secs();
                tracing::warn!(
                    seconds,
                    "facts in Kafka are not all taken in yet: the timers start all the same"
                );
            }
        }
    }

    async fn answered(&self) -> Result<(), KafkaError> {
        let probe = Probe::open(Arc::clone(&self.config)).await?;
        let ends = probe.ends(self.topics()).await?;
        loop {
            let mut status = self.status.subscribe();
            let behind = probe.behind(ends.clone()).await?;
            if behind == 0 {
                return Ok(());
            }
            self.status.send_modify(|status| status.lag = Some(behind));
            // Offsets are committed a little after the status moves, so looking again must not hang on it alone.
            let _ = tokio::time::timeout(LOOK_EVERY, status.changed()).await;
        }
    }

    fn topics(&self) -> Vec<String> {
        let Names { facts_install, facts_line_test, facts_billing, .. } = &self.names;
        [facts_install, facts_line_test, facts_billing].map(Clone::clone).into()
    }

    fn source(&self, topic: &str) -> Option<Source> {
        match topic {
            topic if topic == self.names.facts_install => Some(Source::InstallSystem),
            topic if topic == self.names.facts_line_test => Some(Source::LineTester),
            topic if topic == self.names.facts_billing => Some(Source::Billing),
            _ => None,
        }
    }

    async fn watch_lag(&self) -> std::convert::Infallible {
        let mut probe = None;
        loop {
            tokio::time::sleep(LAG_EVERY).await;
            let lag = self.lag(&mut probe).await;
            if let Err(error) = &lag {
                tracing::debug!(%error, "the facts' lag is not known");
                probe = None;
            }
            let lag = lag.ok();
            if let Some(lag) = lag.filter(|lag| *lag > 0) {
                tracing::info!(lag, "facts in Kafka wait to be taken in");
            }
            self.status.send_modify(|status| status.lag = lag);
        }
    }

    async fn lag(&self, probe: &mut Option<Probe>) -> Result<u64, KafkaError> {
        let probe = match probe {
            Some(probe) => probe,
            none => none.insert(Probe::open(Arc::clone(&self.config)).await?),
        };
        let ends = probe.ends(self.topics()).await?;
        probe.behind(ends).await
    }

    async fn take_in_all(&self) {
        let fresh = || doubling(RETRY_FIRST, RETRY_MAX).build();
        let mut pauses = fresh();
        while self.switch.on(&self.host.drain).await {
            let before = self.status.borrow().taken_in;
            let Err(error) = Box::pin(self.session()).await else {
                pauses = fresh();
                continue;
            };
            if self.status.borrow().taken_in > before {
                pauses = fresh();
            }
            self.status.send_modify(|status| status.failures += 1);
            tracing::warn!(%error, "facts cannot be read from Kafka just now: trying again");
            tokio::select! {
                () = self.switch.off(&self.host.drain) => {}
                () = tokio::time::sleep(pauses.next().unwrap_or(RETRY_MAX)) => {}
            }
        }
    }

    /// One consumer's life.
    async fn session(&self) -> Result<(), KafkaError> {
        let off = self.switch.off(&self.host.drain);
        tokio::pin!(off);
        let wanted = self.names.facts();
        tokio::select! {
            () = &mut off => return Ok(()),
            ensured = topics::ensure(&self.config, &wanted) => ensured?,
        }
        let consumer = StreamConsumer::from_config_and_context(&client::consumer(&self.config), Reading)?;
        let consumer: Arc<StreamConsumer<Reading>> = Arc::new(consumer);
        let topics = self.topics();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut answered = None;
        let ended = loop {
            let batch = tokio::select! {
                () = &mut off => break Ok(()),
                batch = self.batch(&consumer) => match batch {
                    Ok(batch) => batch,
                    Err(error) => break Err(error),
                },
            };
            let next = after(&batch);
            if self.take_in(batch).await.is_err() {
                break Ok(());
            }
            consumer.commit(&next, CommitMode::Async)?;
            answered = Some(next);
        };
        // Leaving the group waits for brokers.
        let leaving = tokio::task::spawn_blocking(move || {
            let committed = answered.map_or(Ok(()), |next| consumer.commit(&next, CommitMode::Sync));
            drop(consumer);
            committed
        });
        if let Err(error) = leaving.await? {
            tracing::info!(%error, "answered facts could not be committed: they are read again, to no effect");
        }
        ended
    }

    /// The next record, and those that are there beside it.
    async fn batch(&self, consumer: &StreamConsumer<Reading>) -> Result<Vec<Received>, KafkaError> {
        let mut batch = Vec::new();
        let mut next = Some(consumer.recv().await);
        while let Some(received) = next {
            match received {
                Ok(message) => batch.extend(self.received(&message)),
                // What was received before it is answered first; it comes again if it stands.
                Err(_) if !batch.is_empty() => break,
                Err(ClientError::MessageConsumptionFatal(code)) => {
                    return Err(ClientError::MessageConsumptionFatal(code).into());
                }
                Err(error) => {
                    tracing::info!(%error, "Kafka said");
                }
            }
            next = if batch.len() < BATCH { consumer.recv().now_or_never() } else { None };
            if next.is_none() && batch.is_empty() {
                next = Some(consumer.recv().await);
            }
        }
        Ok(batch)
    }

    fn received(&self, message: &BorrowedMessage<'_>) -> Option<Received> {
        let trace = |name| {
            let headers = message.headers()?;
            let header = headers.iter().find(|header| header.key == name)?;
            let text = std::str::from_utf8(header.value?).ok()?;
            (text.len() <= TRACE_BYTES_MAX).then(|| text.to_owned())
        };
        Some(Received {
            source: self.source(message.topic())?,
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            trace_context: trace("traceparent").or_else(|| trace("ce_traceparent")).unwrap_or_default(),
        })
    }

    /// Answers every record: tickets side by side, each ticket's records in their order.
    async fn take_in(&self, batch: Vec<Received>) -> Result<(), Stopping> {
        let mut lines: Vec<Vec<(Received, Told)>> = Vec::new();
        let mut of_ticket: HashMap<TicketId, usize> = HashMap::new();
        for received in batch {
            match received.source.read(received.value.as_deref()) {
                Ok(fact) => {
                    let line = *of_ticket.entry(fact.ticket).or_insert_with(|| {
                        lines.push(Vec::new());
                        lines.len() - 1
                    });
                    lines[line].push((received, Told::Fact(fact)));
                }
                Err(detail) => {
                    lines.push(vec![(received, Told::Malformed(Reason { code: "MALFORMED", detail }))]);
                }
            }
        }
        let working: Vec<_> = lines.into_iter().map(|line| self.in_order(line)).collect();
        let mut working = futures::stream::iter(working).buffer_unordered(AT_ONCE);
        while let Some(answered) = working.next().await {
            answered?;
        }
        Ok(())
    }

    async fn in_order(&self, line: Vec<(Received, Told)>) -> Result<(), Stopping> {
        for (received, told) in line {
            let refused = match told {
                Told::Fact(fact) => self.command(&received, &fact).await?,
                Told::Malformed(reason) => Some(reason),
            };
            let Some(reason) = refused else {
                self.status.send_modify(|status| status.taken_in += 1);
                continue;
            };
            let Received { topic, partition, offset, .. } = &received;
            let code = reason.code;
            tracing::warn!(
                topic,
                partition,
                offset,
                code,
                "a fact is not taken in: it goes to the dead-letter topic"
            );
            tokio::select! {
                biased;
                () = self.dead_letters.keep(&received, &reason) => {}
                () = self.switch.off(&self.host.drain) => return Err(Stopping),
            }
            self.status.send_modify(|status| status.dead_letters += 1);
        }
        Ok(())
    }

    /// Runs a fact's command, for as long as it takes to be answered. Why it is refused, where it is.
    async fn command(&self, received: &Received, fact: &Fact) -> Result<Option<Reason>, Stopping> {
        let SidecarHost { runner, sealer, drain, .. } = &self.host;
        let ask = self.ask(received);
        let origin = format!("{}-{}@{}", received.topic, received.partition, received.offset);
        let run = || async {
            let make = |ticket: &_| fact.command(ticket, sealer, runner.clock().now(), &origin);
            runner.ticket(fact.ticket, &ask, make).await
        };
        let running = run
            .retry(doubling(RETRY_FIRST, RETRY_MAX))
            .when(RunError::is_passing)
            .notify(|error, _| tracing::warn!(%error, "a fact cannot be taken in just now: trying again"));
        tokio::select! {
            biased;
            ran = running => Ok(ran.err().map(|error| reason(&error))),
            () = self.switch.off(drain) => Err(Stopping),
        }
    }

    fn ask(&self, received: &Received) -> Ask {
        let Received { source, topic, partition, offset, value, trace_context, .. } = received;
        let mut said = topic.as_bytes().to_vec();
        said.push(0);
        said.extend(value.as_deref().unwrap_or_default());
        Ask {
            command: CommandId(command_id(self.host.runner.own_ids(), topic, *partition, *offset)),
            expected_revision: None,
            fingerprint: self.host.sealer.keys().fingerprint(&said),
            actor: source.actor(),
            lineage: Lineage { trace_context: trace_context.clone(), ..Lineage::default() },
        }
    }
}

/// The offsets that follow a batch.
fn after(batch: &[Received]) -> TopicPartitionList {
    let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    for Received { topic, partition, offset, .. } in batch {
        let at = next.entry((topic, *partition)).or_default();
        *at = (*at).max(offset + 1);
    }
    let mut list = TopicPartitionList::with_capacity(next.len());
    for ((topic, partition), offset) in next {
        // Only a partition that is not in the list refuses an offset.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset));
    }
    list
}

/// Why a fact was refused, for whoever reads the dead letters.
fn reason(error: &RunError) -> Reason {
    let code = match error {
        RunError::Rejected { rejection, .. } => rejection.reason(),
        RunError::Fields { .. } => "INVALID_FIELD",
        RunError::CommandIdReused => "TOPIC_WAS_MADE_ANEW",
        RunError::Keys(KeysError::Erased(_) | KeysError::Unknown(_)) => "CUSTOMER_ERASED",
        RunError::Corrupt { .. } => "HISTORY_UNREADABLE",
        // These pass, or come of a read model, which a fact asks nothing.
        RunError::Conflict { .. }
        | RunError::Overloaded
        | RunError::Full
        | RunError::Unavailable(_)
        | RunError::Keys(_)
        | RunError::View(_) => "NOT_TAKEN_IN",
    };
    Reason { code, detail: error.to_string() }
}

//! Events out: the whole log, from where the relay had come to, and then as it is written.
//!
//! One *session* is one producer's life. The producer keeps the order per stream also while it sends again, and waits for brokers as
//! long as it takes. Where it can never go on, its session ends, what was under way is given up, and a new session sends it again from
//! the last event before which nothing is missing: at least once, with the same ids, the first copies of a stream's events in order.

mod outbox;
mod place;
mod record;
mod window;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use duban_engine::retry::doubling;
use duban_engine::sidecar::SidecarHost;
use duban_engine::sidecar::kafka_config::KafkaConfig;
use duban_log::{Delivery, Filter, Position, Subscription};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use self::outbox::{Outbox, Report};
use self::record::Record;
use self::window::{Mark, Window};
use crate::{KafkaError, Names, Switch, topics};

/// How often it is kept how far the relay has come: what a killed server sends again is at most so much.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// How often a relay that gets no answer says so.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How long a relay that stops waits for what is under way. What has not arrived then is sent again by the next one.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Between two sessions, where one failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How the relay stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Whether a session is running.
    pub running: bool,
    /// The last event before which nothing is missing in Kafka.
    pub reached: Option<Position>,
    /// The last place that Kafka was told to keep, and keeps.
    pub kept: Option<Position>,
    /// The end of the log when this was looked at.
    pub head: Option<Position>,
    /// Events acknowledged by Kafka since this server started.
    pub relayed: u64,
    /// Events sent and not acknowledged.
    pub under_way: usize,
    /// Sessions that failed since this server started.
    pub failures: u64,
    /// Why the last session failed, until one goes well.
    pub trouble: Option<String>,
}

impl RelayStatus {
    /// How far behind the log Kafka is, in positions: in the embedded log that is events.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let past =
            |position: Option<Position>| position.map_or(0, |position| position.get().saturating_add(1));
        past(self.head).saturating_sub(past(self.reached))
    }
}

/// The relay of one server.
pub struct Relay {
    config: Arc<KafkaConfig>,
    names: Names,
    source: String,
    host: SidecarHost,
    switch: Switch,
    status: watch::Sender<RelayStatus>,
}

impl Relay {
    /// A relay of a server's log.
    #[must_use]
    pub fn new(config: Arc<KafkaConfig>, host: SidecarHost, switch: Switch) -> Self {
        let names = Names::of(&config);
        let source = format!("urn:duban:{}", config.prefix);
        Self { config, names, source, host, switch, status: watch::Sender::default() }
    }

    /// How it stands, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    /// Relays until the server stops, whenever it is switched on.
    pub async fn run(&self) {
        let fresh = || doubling(RETRY_FIRST, RETRY_MAX).build();
        let mut pauses = fresh();
        while self.switch.on(&self.host.drain).await {
            let before = self.status.borrow().relayed;
            let ended = Box::pin(self.session()).await;
            self.status.send_modify(|status| (status.running, status.under_way) = (false, 0));
            let Err(error) = ended else {
                pauses = fresh();
                continue;
            };
            self.status.send_modify(|status| {
                status.failures += 1;
                status.trouble = Some(error.to_string());
            });
            if !error.is_passing() {
                tracing::error!(%error, "the relay to Kafka has stopped; all else goes on");
                self.switch.off(&self.host.drain).await;
                continue;
            }
            if self.status.borrow().relayed > before {
                pauses = fresh();
            }
            let lag = self.status.borrow().lag();
            tracing::warn!(%error, lag, "events cannot be relayed to Kafka just now: trying again, nothing is dropped");
            tokio::select! {
                () = self.switch.off(&self.host.drain) => {}
                () = tokio::time::sleep(pauses.next().unwrap_or(RETRY_MAX)) => {}
            }
        }
    }

    /// One producer's life.
    async fn session(&self) -> Result<(), KafkaError> {
        let off = self.switch.off(&self.host.drain);
        tokio::pin!(off);
        let log = self.host.runner.log();
        let opening = async {
            topics::ensure(&self.config, &self.names.out()).await?;
            let after = place::find(&self.config, &self.names, &**log).await?;
            let subscription = log.subscribe(after, Filter::all()).await?;
            Ok::<_, KafkaError>((after, subscription))
        };
        let (after, subscription) = tokio::select! {
            () = &mut off => return Ok(()),
            opened = opening => opened?,
        };
        tracing::info!(after = after.map(Position::get), "relaying events to Kafka");
        let mut session = Session {
            relay: self,
            outbox: Outbox::open(&self.config)?,
            window: Window::default(),
            waiting: VecDeque::new(),
            keeping: None,
            kept: None,
            before: self.status.borrow().relayed,
            progress: Instant::now(),
            said: Instant::now(),
        };
        self.status.send_modify(|status| {
            (status.running, status.reached, status.kept) = (true, after, after);
            status.head = log.head().position;
        });
        session.relay(subscription, off).await
    }
}

struct Session<'r> {
    relay: &'r Relay,
    outbox: Outbox,
    window: Window,
    /// Taken from the log, and not handed to the client yet.
    waiting: VecDeque<(Record, Arc<Mark>)>,
    /// The place that Kafka was told to keep.
    keeping: Option<Position>,
    /// The place that it keeps.
    kept: Option<Position>,
    /// Events relayed before this session.
    before: u64,
    /// When something arrived last, or began to wait.
    progress: Instant,
    said: Instant,
}

impl Session<'_> {
    async fn relay(
        &mut self,
        mut subscription: Subscription,
        mut off: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), KafkaError> {
        let mut every = tokio::time::interval(KEEP_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open {
            self.hand_over()?;
            tokio::select! {
                () = &mut off => break,
                Some(report) = self.outbox.reports.recv() => self.reported(report)?,
                delivery = subscription.next(), if self.waiting.is_empty() && self.window.has_room() => {
                    match delivery {
                        Ok(Delivery::Events(events)) => {
                            for event in &events {
                                let record = Record::of(event, &self.relay.names, &self.relay.source)?;
                                self.waiting.push_back((record, Mark::of(event)));
                            }
                        }
                        Ok(Delivery::CaughtUp(_) | Delivery::Checkpoint(_) | Delivery::FellBehind) => {}
                        Err(duban_log::Error::Closed) => open = false,
                        Err(error) => return Err(error.into()),
                    }
                }
                _ = every.tick() => {
                    self.keep()?;
                    self.tell();
                }
            }
        }
        self.flush().await
    }

    /// Gives the client what it has room for.
    fn hand_over(&mut self) -> Result<(), KafkaError> {
        while self.window.has_room()
            && let Some((record, mark)) = self.waiting.pop_front()
        {
            if self.window.is_empty() {
                self.progress = Instant::now();
            }
            let number = self.window.next();
            if !self.outbox.send(&record, number)? {
                self.waiting.push_front((record, mark));
                break;
            }
            self.window.push(mark, record.bytes());
        }
        Ok(())
    }

    /// Takes in a report, and those that lie there beside it.
    fn reported(&mut self, first: Report) -> Result<(), KafkaError> {
        let mut report = Some(first);
        while let Some(one) = report {
            match one {
                Report::Arrived(number) => self.window.arrived(number),
                Report::PlaceKept => self.kept = self.keeping.take().or(self.kept),
                Report::Failed(error) => return Err(error.into()),
            }
            report = self.outbox.reports.try_recv().ok();
        }
        self.progress = Instant::now();
        self.show();
        Ok(())
    }

    /// Tells Kafka how far everything has arrived, one telling at a time.
    fn keep(&mut self) -> Result<(), KafkaError> {
        let Some(mark) = self.window.contiguous() else { return Ok(()) };
        if self.keeping.is_some() || self.kept == Some(mark.position) {
            return Ok(());
        }
        if self.outbox.keep_place(&self.relay.names, &place::to_text(mark))? {
            self.keeping = Some(mark.position);
        }
        Ok(())
    }

    fn show(&self) {
        self.relay.status.send_modify(|status| {
            status.relayed = self.before + self.window.count();
            status.under_way = self.window.len() + self.waiting.len();
            status.head = self.relay.host.runner.log().head().position;
            status.reached = self.window.contiguous().map(|mark| mark.position).or(status.reached);
            status.kept = self.kept.or(status.kept);
            status.trouble = None;
        });
    }

    /// Says how far behind Kafka is, now and then, and whether it answers at all.
    fn tell(&mut self) {
        self.show();
        let (silent, lag) = (self.progress.elapsed(), self.relay.status.borrow().lag());
        if lag == 0 || self.said.elapsed() < SAY_EVERY {
            return;
        }
        self.said = Instant::now();
        let under_way = self.window.len();
        if self.window.is_empty() || silent < SAY_EVERY {
            tracing::info!(lag, under_way, "events wait to be relayed to Kafka");
        } else {
            let seconds = silent.as_secs();
            tracing::warn!(
                seconds,
                under_way,
                lag,
                "Kafka acknowledges nothing: waiting, nothing is dropped"
            );
        }
    }

    /// Waits for what is under way, and keeps how far it has come.
    async fn flush(&mut self) -> Result<(), KafkaError> {
        let until = Instant::now() + FLUSH_MAX;
        loop {
            if self.window.is_empty() {
                self.keep()?;
                if self.keeping.is_none() {
                    return Ok(());
                }
            }
            match tokio::time::timeout_at(until, self.outbox.reports.recv()).await {
                Ok(Some(report)) => self.reported(report)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    let under_way = self.window.len();
                    tracing::warn!(
                        under_way,
                        "events were under way to Kafka when the relay stopped: they are sent again later"
                    );
                    return Ok(());
                }
            }
        }
    }
}

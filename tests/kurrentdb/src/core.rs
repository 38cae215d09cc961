//! What all nodes of a cluster share: the log, who leads, how far writes are committed and which node shows how much of it.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::faults::Plan;
use crate::link::Line;
use crate::log::{Log, Proposal, View};
use crate::subscription::{Flow, Following};
use crate::{Config, Counters, Lag, Tail};

/// One node, as the cluster knows it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    pub(crate) instance: Uuid,
    pub(crate) alive: bool,
    /// What gossip says of it; a leader that died is called alive until the others notice.
    pub(crate) seems_alive: bool,
    /// How much of the committed log it shows.
    pub(crate) visible: watch::Sender<usize>,
    pub(crate) lag: Lag,
    /// What it has scavenged.
    pub(crate) dropped: HashSet<usize>,
    /// Carries its connections; a new one after each time that they were cut.
    pub(crate) line: watch::Sender<Line>,
    pub(crate) server: Option<JoinHandle<()>>,
    /// Holds the port while nobody listens there.
    pub(crate) reserved: Option<TcpSocket>,
}

impl Member {
    pub(crate) fn view(&self, now_ticks: u64) -> View<'_> {
        View { limit: *self.visible.borrow(), dropped: &self.dropped, now_ticks }
    }

    pub(crate) fn show(&self, committed: usize) {
        self.visible.send_if_modified(|visible| {
            let more = committed > *visible;
            *visible = committed.max(*visible);
            more
        });
    }
}

/// How far the cluster is; what writers and waiting tests look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Counts leaderships, and the times between them.
    pub(crate) epoch: u64,
    pub(crate) leader: Option<usize>,
    pub(crate) committed: usize,
    /// How much of the log the leader has taken.
    pub(crate) taken: usize,
}

/// A write that a client was told has happened.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) stream: Arc<str>,
    pub(crate) revision: u64,
    pub(crate) id: Uuid,
    pub(crate) index: usize,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) log: Log,
    pub(crate) members: Vec<Member>,
    pub(crate) leader: Option<usize>,
    /// TokenHolder led last; gossip names it until somebody else does.
    pub(crate) led: usize,
    pub(crate) epoch: u64,
    pub(crate) committed: usize,
    /// Ends of writes that are not committed yet.
    pub(crate) tail: Vec<usize>,
    /// While held, nothing is committed.
    pub(crate) held: bool,
    pub(crate) plan: Plan,
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) following: BTreeMap<u64, Following>,
    pub(crate) following_last: u64,
    /// What becomes of the next subscriptions.
    pub(crate) next_flows: Vec<Flow>,
    pub(crate) random: SmallRng,
}

/// The core and what is waited for.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) config: Config,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) counters: watch::Sender<Counters>,
    /// Something is there to be committed.
    pub(crate) wake: Notify,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let core = Core {
            log: Log::default(),
            members: Vec::new(),
            leader: None,
            led: 0,
            epoch: 0,
            committed: 0,
            tail: Vec::new(),
            held: false,
            plan: Plan::default(),
            acknowledged: Vec::new(),
            following: BTreeMap::new(),
            following_last: 0,
            next_flows: Vec::new(),
            random: SmallRng::seed_from_u64(config.seed),
        };
        let progress = Progress { epoch: 0, leader: None, committed: 0, taken: 0 };
        Self {
            core: Mutex::new(core),
            config,
            progress: watch::Sender::new(progress),
            counters: watch::Sender::new(Counters::default()),
            wake: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(change);
    }

    pub(crate) fn publish(&self, core: &Core) {
        let Core { epoch, leader, committed, .. } = *core;
        let progress = Progress { epoch, leader, committed, taken: core.log.len() };
        self.progress.send_replace(progress);
    }

    /// Takes writes as committed up to an index, if a majority is there to have them, and shows them.
    pub(crate) fn commit(self: &Arc<Self>, core: &mut Core, upto: usize) {
        let Some(leader) = core.leader else { return };
        if core.held || !core.has_majority() || upto <= core.committed {
            return;
        }
        let newly = core.committed..upto;
        core.committed = upto;
        core.tail.retain(|end| *end > upto);
        let own = newly.filter(|index| is_clients(&core.log.record(*index).stream)).count();
        self.count(|counters| counters.events_committed += own as u64);
        for (number, member) in core.members.iter().enumerate() {
            match member.lag {
                _ if number == leader => member.show(upto),
                Lag::None => member.show(upto),
                Lag::Held => {}
                Lag::Time(behind) => {
                    let shared = Arc::clone(self);
                    tokio::spawn(async move {
                        tokio::time::sleep(behind).await;
                        shared.lock().members[number].show(upto);
                    });
                }
            }
        }
        self.publish(core);
    }

    /// Commits what leaders take, after the time that followers need to have it.
    pub(crate) async fn replicate(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            let (epoch, upto, pause) = {
                let mut core = self.lock();
                let pause = core.within(&self.config.replication);
                (core.epoch, core.log.len(), pause)
            };
            tokio::time::sleep(pause).await;
            let mut core = self.lock();
            // Writes of an earlier leader are for the election to decide on.
            if core.epoch == epoch {
                self.commit(&mut core, upto);
            }
            if core.committed < core.log.len() && !core.held && core.has_majority() && core.leader.is_some() {
                self.wake.notify_one();
            }
        }
    }

    /// Nobody leads any more; after a while somebody does, if enough nodes are alive.
    pub(crate) fn depose(self: &Arc<Self>, core: &mut Core) {
        core.leader = None;
        core.epoch += 1;
        self.publish(core);
        self.call_election(core);
    }

    pub(crate) fn call_election(self: &Arc<Self>, core: &Core) {
        let (shared, epoch) = (Arc::clone(self), core.epoch);
        tokio::spawn(async move {
            tokio::time::sleep(shared.config.election).await;
            let mut core = shared.lock();
            if core.epoch == epoch && core.leader.is_none() && core.has_majority() {
                shared.elect(&mut core);
            }
        });
    }

    /// Makes one of the nodes that are alive the leader, not the last one if there is a choice.
    pub(crate) fn elect(self: &Arc<Self>, core: &mut Core) {
        let alive: Vec<_> = (0..core.members.len()).filter(|number| core.members[*number].alive).collect();
        let others = alive.iter().copied().filter(|number| *number != core.led || core.epoch == 0);
        let Some(leader) = others.choose(&mut core.random).or_else(|| alive.first().copied()) else { return };
        let keep = match self.config.tail {
            Tail::Lost => 0,
            Tail::Kept => core.tail.len(),
            Tail::Random => core.random.random_range(0..=core.tail.len()),
        };
        let end = keep.checked_sub(1).map_or(core.committed, |last| core.tail[last]);
        let lost = (end..core.log.len()).filter(|index| is_clients(&core.log.record(*index).stream)).count();
        core.log.truncate(end);
        core.tail.clear();
        core.log.forget_recent();
        core.epoch += 1;
        core.leader = Some(leader);
        core.led = leader;
        for member in &mut core.members {
            member.seems_alive = member.alive;
        }
        let born = format!("{{\"epochNumber\":{}}}", core.epoch);
        core.note("$epoch-information", "$EpochInformation", born);
        self.count(|counters| {
            counters.elections += 1;
            counters.events_truncated += lost as u64;
        });
        let end = core.log.len();
        self.publish(core);
        self.commit(core, end);
    }
}

impl Core {
    pub(crate) fn has_majority(&self) -> bool {
        self.members.iter().filter(|member| member.alive).count() * 2 > self.members.len()
    }

    pub(crate) fn fresh_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid()
    }

    /// A time out of a range, in milliseconds' resolution.
    fn within(&mut self, range: &Range<Duration>) -> Duration {
        if range.is_empty() { range.start } else { self.random.random_range(range.clone()) }
    }

    /// Writes an event of a client's; it is committed later.
    pub(crate) fn write(&mut self, stream: &str, events: Vec<Proposal>) -> Range<usize> {
        let written = self.log.push(stream, events, now_ticks(), &mut self.random);
        self.tail.push(written.end);
        written
    }

    /// Writes an event of the cluster's own, as the real server does all the time.
    pub(crate) fn note(&mut self, stream: &str, kind: &str, data: String) {
        let id = self.fresh_id();
        let (kind, data) = (kind.to_owned(), Bytes::from(data));
        let event = Proposal { id, kind, json: true, metadata: Bytes::from_static(b"{}"), data };
        self.write(stream, vec![event]);
    }

    /// Now and then a node writes down how it feels.
    pub(crate) fn maybe_note_statistics(&mut self) {
        if self.random.random_ratio(1, 8) {
            let number = self.random.random_range(0..self.members.len());
            let stream = format!("$stats-{}", self.members[number].address);
            self.note(&stream, "$statsCollected", "{\"proc-cpu\":1}".to_owned());
        }
    }
}

/// Whether a stream is a client's and not the cluster's own.
fn is_clients(stream: &str) -> bool {
    !stream.starts_with('$')
}

/// Now, in 100 nanoseconds since 1970.
pub(crate) fn now_ticks() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)
}

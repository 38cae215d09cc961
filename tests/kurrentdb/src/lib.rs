//! A small cluster of fake EventStoreDB/KurrentDB nodes in one process, which speaks the real protocol to real clients.
//!
//! [`Cluster::start`] opens as many nodes as asked for on loopback. They share one replicated log: the leader takes a write, the
//! others get it a moment later, then it is committed, acknowledged and shown. A leader that is killed or deposed before that moment
//! leaves behind a write of which nobody knows whether it happened; here, as there, it may turn out either way ([`Tail`]).
//!
//! What clients trip over on the real thing is kept on purpose:
//!
//! - Positions in the log are not dense. `$all` is full of the cluster's own events, whose streams begin with `$`.
//! - A write of known ids at its old place answers what it answered; without a place, only until the leader changes.
//! - Events of deleted streams stay in `$all` until a node is scavenged; each node scavenges its own copy, and keeps a stream's last
//!   event unless the stream is under a tombstone.
//! - A follower may lag ([`Lag`]). A subscription that goes on, on a follower that is not there yet, brings events again.
//! - During an election every request is answered `Server Is Not Ready`. Gossip calls a leader alive that was just killed.
//! - A follower passes writes on unless the client says that it wants the leader, which is then named in the answer.
//!
//! [`Fault`] is what can happen to one append, [`Flow`] to one subscription; the rest are methods of [`Cluster`]. What is random
//! follows from [`Config::seed`]. No batch appends, no persistent subscriptions, no projections, no links, no TLS, no users.

mod admin;
mod cluster;
mod convert;
mod core;
mod counters;
mod faults;
mod link;
mod listening;
mod log;
mod refusals;
mod streams;
mod subscription;
mod write;

/// The protocol.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, clippy::restriction)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/event_store.rs"));

    pub(crate) use event_store::client::*;
}

pub use cluster::{Cluster, Followed};
pub use counters::Counters;
pub use faults::Fault;
pub use log::Record;
pub use subscription::Flow;

use std::ops::Range;
use std::time::Duration;

/// What a cluster is like.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many nodes; a majority of them must be alive for anything to be written.
    pub nodes: usize,
    /// What everything random follows from.
    pub seed: u64,
    /// How long it takes until a majority has a write that the leader took. Nothing: it is committed at once.
    pub replication: Range<Duration>,
    /// How long nobody leads after a leader was killed or deposed.
    pub election: Duration,
    /// How long a writer waits for a majority until it is told that the write timed out.
    pub commit_timeout: Duration,
    /// What becomes of writes that were taken and not committed when the leader changes.
    pub tail: Tail,
    /// Whether subscriptions say that they have caught up, as servers do since 23.10.
    pub says_caught_up: bool,
    /// Whether a repeated append is answered with the position of the original, as newer servers do.
    pub repeats_have_positions: bool,
    /// Whether reads of a stream say where its events are in the log, as servers do since 22.10.
    pub stream_reads_have_positions: bool,
    /// Size of a chunk of the log, in bytes: a scavenge leaves the unfinished last one alone. None: it reaches the end, as if the
    /// last chunk had just been finished.
    pub chunk_bytes: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 1,
            seed: 1,
            replication: Duration::ZERO..Duration::ZERO,
            election: Duration::from_millis(50),
            commit_timeout: Duration::from_secs(2),
            tail: Tail::Random,
            says_caught_up: true,
            repeats_have_positions: true,
            stream_reads_have_positions: true,
            chunk_bytes: None,
        }
    }
}

/// What becomes of writes that were taken and not committed when the leader changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// No other node had them: they never were.
    Lost,
    /// The next leader had them all: they are committed.
    Kept,
    /// The next leader had some of them, the older ones.
    Random,
}

/// How far a follower is behind what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// It shows everything at once.
    None,
    /// It shows everything so much later.
    Time(Duration),
    /// It shows nothing new until it is told otherwise.
    Held,
}

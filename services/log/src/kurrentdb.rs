//! The log on an EventStoreDB or KurrentDB cluster.
//!
//! Events lie there as JSON, so that the server's own user interface, its category streams and other clients can read them; a
//! [`Transcode`] gives that JSON and takes it back to the very bytes that the other engines keep, since the tree's leaves are made
//! of those. Streams have their own names there. The tree goes over all events of streams that begin with one of
//! [`Options::stream_prefixes`], in the order of `$all`; positions are commit positions. It is kept by following `$all` from its beginning,
//! and an append is answered when the tree has it.
//!
//! The client crate's types, and the faults that it has, never leave this module. `nodes` makes clients and throws them away, `guard`
//! keeps it from spinning and panicking, `tls` lets it have the provider that it insists on, `follow` goes on where a subscription ended.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

mod append;
mod engine;
mod feed;
mod follow;
mod guard;
mod names;
mod nodes;
mod reads;
mod registers;
mod side_streams;
mod state;
mod tls;
mod transcode;
mod wire;

pub use engine::KurrentLog;
pub use registers::KurrentRegisters;
pub use side_streams::{SideEvent, SideStreams};
pub use tls::install_tls_provider;
pub use transcode::{Json, Plain, Reason, Stored, Transcode};

/// How a log lies on a cluster, and how patient it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// With what the names of the log's streams begin. All other streams are not in the log: not in its tree, not in its reads.
    pub stream_prefixes: Vec<Arc<str>>,
    /// What is put before every stream's name on the servers; empty, unless several logs share a cluster.
    pub namespace: Arc<str>,
    /// How long a call goes on asking when nodes fail, lead no more or are silent, before it is [`crate::Error::Unavailable`].
    pub deadline: Duration,
    /// How long one attempt may take.
    pub attempt_max: Duration,
    /// The first pause between two attempts; each is twice as long as the one before.
    pub pause_min: Duration,
    /// The longest pause between two attempts.
    pub pause_max: Duration,
    /// How long a subscription may be silent until it is looked whether it misses something.
    pub silence: Duration,
    /// How long [`KurrentLog::connect`] waits while nothing more of the log can be read.
    pub connect_max: Duration,
    /// Most events kept in memory for subscribers that are near the end.
    pub buffer_events: usize,
    /// Most bytes kept in memory for them.
    pub buffer_bytes: usize,
}

impl Options {
    /// A patient client of a log whose streams begin so.
    #[must_use]
    pub fn new<P: Into<Arc<str>>>(stream_prefixes: impl IntoIterator<Item = P>) -> Self {
        Self {
            stream_prefixes: stream_prefixes.into_iter().map(Into::into).collect(),
            namespace: "".into(),
            deadline: Duration::from_secs(10),
            attempt_max: Duration::from_secs(2),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_secs(1),
            silence: Duration::from_secs(5),
            connect_max: Duration::from_secs(30),
            buffer_events: 16 * 1024,
            buffer_bytes: 16 * 1024 * 1024,
        }
    }

    /// The pauses between attempts: each twice as long as the one before, up to the longest, and uneven, so that many clients do not come at
    /// once. They do not end.
    fn pauses(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.pause_min)
            .with_max_delay(self.pause_max)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

//! What runs in the same process beside the services, and is no part of them: Kafka.
//!
//! The server knows only when it is its turn: after the read models and before the timers, so that what happened while the server was
//! down is known before anything is done by itself (design.md section 4); and then from ready to the drain, before the log is closed.

pub mod kafka_config;

use std::sync::Arc;

use async_trait::async_trait;
use duban_vault::seal::Sealer;

use crate::drain::Drain;
use crate::runner::Runner;
use crate::tasks::Supervisor;

/// What a server gives to what runs beside it.
#[derive(Clone)]
pub struct SidecarHost {
    /// Takes commands, and has the log.
    pub runner: Arc<Runner>,
    /// Seals texts.
    pub sealer: Sealer,
    /// Says when the server stops.
    pub drain: Drain,
    /// Under which its tasks run.
    pub tasks: Supervisor,
}

/// Something that runs beside a server.
#[async_trait]
pub trait Sidecar: Send + Sync {
    /// Takes in what lies waiting outside; in bounded time, however it is there. The timers start after it.
    async fn before_timers(&self, host: &SidecarHost);

    /// Starts its tasks, which finish what is under way when [`SidecarHost::drain`] starts. The log is closed after them.
    fn start(&self, host: &SidecarHost);

    /// Told whether this server does what only one of several servers on a log does at a time. It does, until it is told otherwise.
    fn leads(&self, leads: bool);
}

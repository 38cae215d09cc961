//! Streams of events to subscribers (design.md section 5).
//!
//! Nothing is kept for a subscriber but where it stands: each asks for what comes after that, when its connection has
//! room, so that a stalled one costs nobody anything. What comes after a position never changes, so it is read and
//! encoded once and shared by all that pass by with the same filter.

mod batches;
mod filter;
mod follow;
mod service;
mod token;

use std::sync::Arc;

use duban_engine::drain::Drain;
use duban_log::{Delivery, EventLog, Filter, Position};
use duban_vault::seal::Sealer;
use tokio::sync::{Semaphore, watch};

use crate::identity::Verifier;

use self::batches::Batches;
pub use self::service::StreamServer;

/// The streams of one server.
pub struct Streams {
    log: Arc<dyn EventLog>,
    sealer: Sealer,
    verifier: Arc<Verifier>,
    batches: Batches,
    /// The position of the last event, as it moves; none while the log is empty.
    grown: watch::Sender<Option<Position>>,
    places: Arc<Semaphore>,
    drain: Drain,
}

impl Streams {
    /// Streams over a log, for so many subscribers at once.
    #[must_use]
    pub fn new(
        log: Arc<dyn EventLog>,
        sealer: Sealer,
        verifier: Arc<Verifier>,
        subscriptions_max: usize,
        drain: Drain,
    ) -> Self {
        let grown = watch::Sender::new(log.head().position);
        let places = Arc::new(Semaphore::new(subscriptions_max.min(Semaphore::MAX_PERMITS)));
        Self { batches: Batches::new(Arc::clone(&log)), log, sealer, verifier, grown, places, drain }
    }

    /// Watches the log grow until it is closed. Streams stand still while it does not.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn watch(&self) -> Result<(), duban_log::Error> {
        let after = *self.grown.borrow();
        let mut subscription = self.log.subscribe(after, Filter::all()).await?;
        loop {
            let reached = match subscription.next().await {
                Ok(Delivery::Events(events)) => events.last().map(|event| event.position),
                Ok(Delivery::CaughtUp(position)) => position,
                Ok(Delivery::Checkpoint(position)) => Some(position),
                Ok(Delivery::FellBehind) => None,
                Err(duban_log::Error::Closed) => return Ok(()),
                Err(error) => return Err(error),
            };
            if reached.is_some() {
                self.grown.send_replace(reached);
            }
        }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

//! Erasures that another server over the same log was asked for: each server does them again, which forgets what it kept itself.

use std::sync::Arc;

use duban_aggregates::ids::CustomerId;
use duban_log::{Delivery, EventLog, Filter, Position, Recorded};
use parking_lot::Mutex;

use crate::keys::KeysError;
use crate::seal::Sealer;

/// Why erasures cannot be followed just now.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] duban_log::Error),
    /// A key that was erased elsewhere cannot be erased here; what was kept of it in memory is forgotten.
    #[error("the key of customer {customer} cannot be erased")]
    Keys {
        /// Whose.
        customer: CustomerId,
        /// Why.
        source: KeysError,
    },
}

/// Follows the events that say that a customer's key was erased.
pub struct ErasureFollower {
    log: Arc<dyn EventLog>,
    sealer: Sealer,
    erased: &'static str,
    after: Mutex<Option<Position>>,
}

impl ErasureFollower {
    /// Follows events of the type `erased`, whose streams are the customers', from now on: what was erased before, no server keeps.
    #[must_use]
    pub fn from_now_on(log: Arc<dyn EventLog>, sealer: Sealer, erased: &'static str) -> Self {
        let after = Mutex::new(log.head().position);
        Self { log, sealer, erased, after }
    }

    /// Follows until the log is closed. Called again after an error, it goes on where it was.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub async fn run(&self) -> Result<(), ErasureError> {
        let after = *self.after.lock();
        let mut subscription = self.log.subscribe(after, Filter::all().kind(self.erased)).await?;
        loop {
            match subscription.next().await {
                Ok(Delivery::Events(events)) => {
                    for event in &events {
                        self.erase(event).await?;
                    }
                }
                Ok(Delivery::CaughtUp(_) | Delivery::Checkpoint(_) | Delivery::FellBehind) => {}
                Err(duban_log::Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            *self.after.lock() = subscription.position();
        }
    }

    async fn erase(&self, event: &Recorded) -> Result<(), ErasureError> {
        let id = event.stream.as_str().split_once('-').and_then(|(_, id)| id.parse().ok());
        let Some(customer) = id.map(CustomerId) else { return Ok(()) };
        let erased = self.sealer.keys().erase(customer).await;
        erased.map(drop).map_err(|source| ErasureError::Keys { customer, source })
    }
}

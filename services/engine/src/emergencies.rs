//! Emergencies that last: read from the log when a server starts, and followed where other servers are told of them too.

use std::sync::Arc;

use duban_aggregates::emergency::Emergency;
use duban_log::{Delivery, Direction, Filter, Position, Recorded};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::runner::{Aggregate, RunError, Runner};

/// Events read at a time.
const READ_EVENTS: usize = 512;

/// Keeps a runner's [`Emergencies`](crate::runner::Emergencies) as the log has them.
pub struct EmergencyFollower {
    runner: Arc<Runner>,
    after: Mutex<Option<Position>>,
}

impl EmergencyFollower {
    /// Reads from the log which emergencies last.
    ///
    /// # Errors
    /// [`RunError`], where the log cannot be read.
    pub async fn open(runner: Arc<Runner>) -> Result<Self, RunError> {
        let mut after = None;
        loop {
            let page = runner.log().read_all(after, Direction::Forward, &declarations(), READ_EVENTS).await?;
            for event in page.events.iter().filter(|event| event.revision == 0) {
                note(&runner, event).await?;
            }
            after = page.next.or(after);
            if page.end {
                return Ok(Self { runner, after: Mutex::new(after) });
            }
        }
    }

    /// Follows what other servers are told, until the log is closed. Called again after an error, it goes on where it was.
    ///
    /// # Errors
    /// [`RunError`], where the log cannot be read.
    pub async fn run(&self) -> Result<(), RunError> {
        let after = *self.after.lock();
        let mut subscription = self.runner.log().subscribe(after, declarations()).await?;
        loop {
            match subscription.next().await {
                Ok(Delivery::Events(events)) => {
                    for event in &events {
                        note(&self.runner, event).await?;
                    }
                }
                Ok(Delivery::CaughtUp(_) | Delivery::Checkpoint(_) | Delivery::FellBehind) => {}
                Err(duban_log::Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            *self.after.lock() = subscription.position();
        }
    }
}

fn declarations() -> Filter {
    Filter::all().stream_prefix(format!("{}-", <Emergency as Aggregate>::PREFIXES[0]))
}

/// Takes note of the emergency that an event is about, as it stands now.
async fn note(runner: &Runner, event: &Recorded) -> Result<(), RunError> {
    let id = event.stream.as_str().split_once('-').and_then(|(_, id)| Uuid::try_parse(id).ok());
    let Some(id) = id else { return Ok(()) };
    let note = |emergency: Option<&Emergency>| {
        if let Some(emergency) = emergency {
            runner.emergencies().note(emergency, runner.rules());
        }
    };
    runner.view(id, note).await
}

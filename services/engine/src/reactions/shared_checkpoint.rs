//! How far the reactions of several servers have come together, in a register beside the log. Whoever takes over begins there; what it
//! misses by a moment is reacted to again, to no effect.

use std::sync::Arc;
use std::time::Duration;

use duban_log::{Error, Expected, Position, Register, Registers, StreamName};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The register. Another name is another meaning of what is in it.
const NAME: &str = "duban-reactions-1";

/// How often it is written at the most.
const WRITTEN_EVERY: Duration = Duration::from_secs(2);

pub(super) struct SharedCheckpoint {
    registers: Arc<dyn Registers>,
    last_write: Mutex<LastWrite>,
}

#[derive(Clone, Copy, Default)]
struct LastWrite {
    /// What the register was at when it was last looked at.
    revision: Option<u64>,
    at: Option<Instant>,
}

impl SharedCheckpoint {
    pub(super) fn new(registers: Arc<dyn Registers>) -> Self {
        Self { registers, last_write: Mutex::default() }
    }

    /// How far it is said that reactions have come; none where that cannot be told, which costs time and nothing else.
    pub(super) async fn read(&self) -> Option<Position> {
        match self.read_register().await {
            Ok((_, position)) => position,
            Err(error) => {
                tracing::warn!(%error, "how far reactions have come cannot be told: this server begins where it was itself");
                None
            }
        }
    }

    /// Says how far they are, now and then.
    pub(super) async fn set(&self, position: Position) {
        let LastWrite { revision, at } = *self.last_write.lock();
        if at.is_some_and(|at| at.elapsed() < WRITTEN_EVERY) {
            return;
        }
        if let Err(error) = self.write(revision, position).await {
            tracing::warn!(%error, "how far reactions have come cannot be last_write: whoever takes over repeats more, to no effect");
        }
        self.last_write.lock().at = Some(Instant::now());
    }

    async fn write(&self, revision: Option<u64>, position: Position) -> Result<(), Error> {
        // As text, as 64-bit integers are in JSON that others may read.
        let value = format!("\"{position}\"");
        match self.registers.write(&StreamName::new(NAME)?, Expected::after(revision), value.into()).await {
            Ok(revision) => {
                self.last_write.lock().revision = Some(revision);
                Ok(())
            }
            // Another server that takes itself for the one that reacts: what it says holds as well.
            Err(Error::WrongExpected { .. }) => self.read_register().await.map(drop),
            Err(error) => Err(error),
        }
    }

    async fn read_register(&self) -> Result<(Option<u64>, Option<Position>), Error> {
        let (revision, position) = match self.registers.read(&StreamName::new(NAME)?).await? {
            Register::Empty | Register::Erased => (None, None),
            Register::Holds { revision, value } => {
                let raw: Option<u64> =
                    serde_json::from_slice::<String>(&value).ok().and_then(|text| text.parse().ok());
                (Some(revision), raw.map(Position::new))
            }
        };
        self.last_write.lock().revision = revision;
        Ok((revision, position))
    }
}

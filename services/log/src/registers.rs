//! Small values beside a log that several servers share, outside of its tree: who does what, and wrapped keys.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Error, Expected, StreamName};

/// What a register holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Register {
    /// Nothing was ever written.
    Empty,
    /// The last value that was written.
    Holds {
        /// How often it was written, counted from 0.
        revision: u64,
        /// The value, one JSON text.
        value: Bytes,
    },
    /// It was erased, and is never written again.
    Erased,
}

/// Registers, each by its name. Names begin with `duban-`, which no stream of the log does.
///
/// They are not part of the log: no reader, no subscription and no root ever shows them, so that one can be erased.
#[async_trait]
pub trait Registers: Send + Sync {
    /// What a register holds now.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Closed`].
    async fn read(&self, name: &StreamName) -> Result<Register, Error>;

    /// Writes one JSON text into a register that is at this revision still. Answers its revision then. Writing the same there again
    /// changes nothing, and answers the same where the engine knows.
    ///
    /// # Errors
    /// [`Error::WrongExpected`] where somebody else has written or erased it meanwhile; [`Error::Io`] and [`Error::Closed`], after
    /// which it may or may not have been written.
    async fn write(&self, name: &StreamName, expected: Expected, value: Bytes) -> Result<u64, Error>;

    /// Erases a register for good, also one that is empty: nothing of it can be read, and it is never written again. Answers
    /// whether that was new.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Closed`].
    async fn erase(&self, name: &StreamName) -> Result<bool, Error>;
}

/// Registers in memory, for tests and for rehearsals.
#[derive(Debug, Default)]
pub struct MemoryRegisters(Mutex<HashMap<StreamName, Register>>);

#[async_trait]
impl Registers for MemoryRegisters {
    async fn read(&self, name: &StreamName) -> Result<Register, Error> {
        Ok(self.0.lock().get(name).cloned().unwrap_or(Register::Empty))
    }

    async fn write(&self, name: &StreamName, expected: Expected, value: Bytes) -> Result<u64, Error> {
        let mut registers = self.0.lock();
        let register = registers.entry(name.clone()).or_insert(Register::Empty);
        let actual = match register {
            Register::Holds { revision, .. } => Some(*revision),
            Register::Empty | Register::Erased => None,
        };
        if actual != expected.last() || *register == Register::Erased {
            return Err(Error::WrongExpected { stream: name.clone(), expected, actual });
        }
        let revision = expected.next_revision();
        *register = Register::Holds { revision, value };
        Ok(revision)
    }

    async fn erase(&self, name: &StreamName) -> Result<bool, Error> {
        Ok(self.0.lock().insert(name.clone(), Register::Erased) != Some(Register::Erased))
    }
}

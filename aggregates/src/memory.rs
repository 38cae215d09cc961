//! What a stream remembers of the commands it took, so that a repeat answers what it answered (design.md section 1).

use std::collections::BTreeMap;

use crate::ids::CommandId;
use crate::meta::Meta;

/// What a command did, so that a repeat answers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its first event.
    pub first_revision: u64,
    /// Its last event.
    pub last_revision: u64,
    /// Keyed hash of its request.
    pub fingerprint: [u8; 16],
}

/// The commands that a stream took, and what each did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    done: BTreeMap<CommandId, Done>,
}

impl Memory {
    /// What a command did, where the stream took it.
    #[must_use]
    pub fn get(&self, command: &CommandId) -> Option<&Done> {
        self.done.get(command)
    }

    /// How many commands the stream took.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// The stream took no command yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Notes an event of a command.
    pub(crate) fn note(&mut self, meta: &Meta) {
        let done = self.done.entry(meta.command).or_insert(Done {
            first_revision: meta.revision,
            last_revision: meta.revision,
            fingerprint: meta.fingerprint,
        });
        done.last_revision = meta.revision;
    }
}

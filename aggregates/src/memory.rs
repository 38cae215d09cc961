//! What a stream remembers of the commands it took, so that a repeat answers what it answered (design.md section 1).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::ids::{CommandId, EventId, stream_event_id};
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

    /// The first of these events that is none of the stream's; none where all are. An event's id follows from the stream, its
    /// command and its index, so that no id has to be kept.
    pub(crate) fn foreign(&self, stream: Uuid, events: &[EventId]) -> Option<EventId> {
        let mut sought: BTreeSet<EventId> = events.iter().copied().collect();
        for (command, done) in &self.done {
            for index in 0..=done.last_revision.saturating_sub(done.first_revision) {
                if sought.is_empty() {
                    return None;
                }
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                sought.remove(&stream_event_id(stream, *command, index));
            }
        }
        events.iter().copied().find(|event| sought.contains(event))
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

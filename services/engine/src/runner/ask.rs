//! What surrounds a command on its way, and what comes back.

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::CommandId;
use duban_aggregates::ticket::clock::{DueStep, Step};
use duban_aggregates::words::{Role, Rung};
use duban_aggregates::{edition, office};
use duban_codec::Lineage;
use duban_log::Position;
use duban_vault::own_ids::OwnIds;
use jiff::civil::Date;
use uuid::Uuid;

/// A command's envelope: who asks, under which id, after what.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The caller's id for this command.
    pub command: CommandId,
    /// The revision that the caller saw last.
    pub expected_revision: Option<u64>,
    /// Keyed hash of the request.
    pub fingerprint: [u8; 16],
    /// The proven identity.
    pub actor: Actor,
    /// What led to it.
    pub lineage: Lineage,
}

impl Ask {
    /// The timer's: the same command however often a step falls due, by whomever it is noticed.
    #[must_use]
    pub fn tick(ids: &OwnIds, stream: Uuid, due: DueStep) -> Self {
        let (step, number) = match due.step {
            Step::Restate(clock) => (0, clock.0),
            Step::Warn(clock) => (1, clock.0),
            Step::Breach(clock) => (2, clock.0),
            Step::Rung(clock, Rung::Urge) => (3, clock.0),
            Step::Rung(clock, Rung::Notice) => (4, clock.0),
            Step::Rung(clock, Rung::Criticism) => (5, clock.0),
            Step::Rung(clock, Rung::Listed) => (6, clock.0),
            Step::Rung(clock, Rung::Interview) => (7, clock.0),
            Step::Final(verdict) => (8, verdict.0),
            Step::Resume => (9, 0u32),
        };
        let mut name = b"tick".to_vec();
        name.push(step);
        name.extend(number.to_be_bytes());
        name.extend(due.from.as_microsecond().to_be_bytes());
        Self::timer(ids.command(stream.as_bytes(), &name))
    }

    /// The timer's too: the same command however often a day is found to be over.
    #[must_use]
    pub fn close_day(ids: &OwnIds, day: Date) -> Self {
        Self::timer(ids.command(office::ID.as_bytes(), format!("close {day}").as_bytes()))
    }

    /// The server's, when it starts with other rules than before: the same command however often it starts so.
    #[must_use]
    pub fn rules(ids: &OwnIds, name: &str) -> Self {
        let actor = Actor { id: "rule".into(), role: Role::Rule, unit: "rule".into() };
        Self { actor, ..Self::timer(ids.command(edition::ID.as_bytes(), name.as_bytes())) }
    }

    fn timer(command: Uuid) -> Self {
        Self {
            command: CommandId(command),
            expected_revision: None,
            fingerprint: *command.as_bytes(),
            actor: Actor { id: "timer".into(), role: Role::Timer, unit: "timer".into() },
            lineage: Lineage::default(),
        }
    }
}

/// Where a command's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Revision of its last event; where what it asked for held already, the stream's last.
    pub revision: u64,
    /// Position of that event.
    pub position: Position,
}

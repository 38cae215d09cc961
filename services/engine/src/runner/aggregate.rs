//! What the runner needs to know of an aggregate.

use std::sync::Arc;

use duban_aggregates::ids::CommandId;
use duban_aggregates::memory::Done;
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::Rejection;
use duban_aggregates::ticket::clock::{self, DueStep};
use duban_aggregates::ticket::{self, intake};
use duban_aggregates::words::Stage;
use duban_aggregates::{customer, edition, emergency, notice, office, problem};
use duban_codec::CodecError;
use duban_projections::ticket_tags;
use jiff::Timestamp;

use super::{Emergencies, Rules};

/// Tags of an event, on which streams filter.
pub type Tags = Vec<(Arc<str>, Arc<str>)>;

/// An aggregate: its rules, and how its events are stored.
pub trait Aggregate: Sized + Send + Sync + 'static {
    /// What happens to it.
    type Event: Send + Sync;
    /// What may be asked of it.
    type Command: Send;

    /// The prefixes that its streams may have; an id is found under one of them.
    const PREFIXES: &'static [&'static str];

    /// Whether there is one of it only, whose stream is named by its prefix alone.
    const ALONE: bool = false;

    /// The prefix of this one's stream.
    fn prefix(&self) -> &'static str;

    /// Folds one event.
    fn evolve(state: Option<Self>, event: &Self::Event, meta: &Meta) -> Option<Self>;

    /// Decides a command.
    ///
    /// # Errors
    /// The rule that stands against it.
    fn decide(
        state: Option<&Self>,
        context: &Context<'_>,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Rejection>;

    /// The policy under which a command is decided: the one in force, with the other editions behind it.
    fn policy(
        _state: Option<&Self>,
        _command: &Self::Command,
        rules: &Rules,
        _emergencies: &Emergencies,
    ) -> Arc<Policy> {
        Arc::clone(&rules.policy)
    }

    /// Told after it was written, before the answer is given.
    fn written(&self, _rules: &Rules, _emergencies: &Emergencies) {}

    /// What a command did here.
    fn done(&self, command: CommandId) -> Option<Done>;

    /// The last event's revision.
    fn revision(&self) -> u64;

    /// The last event's recorded moment.
    fn last_recorded_at(&self) -> Timestamp;

    /// The stage, where it is a ticket.
    fn stage(&self) -> Option<Stage> {
        None
    }

    /// The first thing that has happened by itself up to a moment and is not recorded, and the timer's command for it.
    fn overdue(&self, _rules: &Rules, _at: Timestamp) -> Option<(DueStep, Self::Command)> {
        None
    }

    /// When an event happened, where that is not when it was recorded.
    fn occurred_at(_event: &Self::Event) -> Option<Timestamp> {
        None
    }

    /// Stored type name and bytes of an event.
    fn encode(event: &Self::Event) -> (&'static str, Vec<u8>);

    /// An event from its stored bytes.
    ///
    /// # Errors
    /// An unknown type, an unknown field, or bytes that are none of ours.
    fn decode(kind: &str, payload: &[u8]) -> Result<Self::Event, CodecError>;

    /// Tags of an event, by the state after it.
    fn tags(&self, event: &Self::Event) -> Tags;
}

impl Aggregate for ticket::Ticket {
    type Event = ticket::Event;
    type Command = ticket::Command;

    const PREFIXES: &'static [&'static str] = &["complaint", "fault", "install"];

    fn prefix(&self) -> &'static str {
        self.kind().name()
    }

    fn evolve(state: Option<Self>, event: &Self::Event, meta: &Meta) -> Option<Self> {
        ticket::evolve(state, event, meta)
    }

    fn decide(
        state: Option<&Self>,
        context: &Context<'_>,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Rejection> {
        ticket::decide(state, context, command)
    }

    /// A ticket that is taken in during an emergency is under the emergency's policy, and keeps it.
    fn policy(
        state: Option<&Self>,
        command: &Self::Command,
        rules: &Rules,
        emergencies: &Emergencies,
    ) -> Arc<Policy> {
        let emergency = match (state, command) {
            (None, ticket::Command::Intake(intake::Command::TakeIn { intake, .. })) => {
                emergencies.policy_for(&intake.area)
            }
            _ => None,
        };
        emergency.unwrap_or_else(|| Arc::clone(&rules.policy))
    }

    fn done(&self, command: CommandId) -> Option<Done> {
        self.commands.get(&command).copied()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    fn stage(&self) -> Option<Stage> {
        Some(self.stage)
    }

    fn overdue(&self, rules: &Rules, at: Timestamp) -> Option<(DueStep, Self::Command)> {
        let due = clock::next_step(self, &rules.policy, &rules.calendar).filter(|due| due.from <= at)?;
        Some((due, clock::Command::Tick(due).into()))
    }

    fn occurred_at(event: &Self::Event) -> Option<Timestamp> {
        event.occurred_at()
    }

    fn encode(event: &Self::Event) -> (&'static str, Vec<u8>) {
        duban_codec::encode_ticket(event)
    }

    fn decode(kind: &str, payload: &[u8]) -> Result<Self::Event, CodecError> {
        duban_codec::decode_ticket(kind, payload)
    }

    fn tags(&self, event: &Self::Event) -> Tags {
        ticket_tags(self, event)
    }
}

macro_rules! plain_aggregate {
    ($($module:ident :: $state:ident, $prefix:literal, $encode:ident, $decode:ident $(, $alone:literal)? $(=> $written:path)?;)*) => {$(
        impl Aggregate for $module::$state {
            type Event = $module::Event;
            type Command = $module::Command;

            const PREFIXES: &'static [&'static str] = &[$prefix];
            $(const ALONE: bool = $alone;)?

            $(fn written(&self, rules: &Rules, emergencies: &Emergencies) {
                $written(self, rules, emergencies);
            })?

            fn prefix(&self) -> &'static str {
                $prefix
            }

            fn evolve(state: Option<Self>, event: &Self::Event, meta: &Meta) -> Option<Self> {
                $module::evolve(state, event, meta)
            }

            fn decide(
                state: Option<&Self>,
                context: &Context<'_>,
                command: Self::Command,
            ) -> Result<Vec<Self::Event>, Rejection> {
                $module::decide(state, context, command)
            }

            fn done(&self, command: CommandId) -> Option<Done> {
                self.commands.get(&command).copied()
            }

            fn revision(&self) -> u64 {
                self.revision
            }

            fn last_recorded_at(&self) -> Timestamp {
                self.last_recorded_at
            }

            fn encode(event: &Self::Event) -> (&'static str, Vec<u8>) {
                duban_codec::$encode(event)
            }

            fn decode(kind: &str, payload: &[u8]) -> Result<Self::Event, CodecError> {
                duban_codec::$decode(kind, payload)
            }

            fn tags(&self, _event: &Self::Event) -> Tags {
                vec![(Arc::from("kind"), Arc::from($prefix))]
            }
        }
    )*};
}

plain_aggregate! {
    problem::Problem, "problem", encode_problem, decode_problem;
    notice::Notice, "notice", encode_notice, decode_notice;
    customer::Customer, "customer", encode_customer, decode_customer;
    office::Office, "office", encode_office, decode_office, true;
    edition::Editions, "policy", encode_edition, decode_edition, true;
    emergency::Emergency, "emergency", encode_emergency, decode_emergency => Emergencies::written;
}

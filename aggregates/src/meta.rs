//! What surrounds an event and a decision.

use jiff::Timestamp;

use crate::actor::Actor;
use crate::calendar::Calendar;
use crate::ids::{CommandId, EventId};
use crate::policy::Policy;

/// What the log keeps around an event, as far as folds need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The event's id.
    pub id: EventId,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// When the server recorded it; never decreasing inside a stream.
    pub recorded_at: Timestamp,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Who, from the proven identity.
    pub actor: Actor,
    /// The command behind it.
    pub command: CommandId,
    /// Keyed hash of the command's request; the same id on another request is refused.
    pub fingerprint: [u8; 16],
}

/// Everything a decision may know beside the state: plain data that the runner supplies.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The server's time.
    pub at: Timestamp,
    /// Who asks, from the proven identity.
    pub actor: Actor,
    /// The command's id.
    pub command: CommandId,
    /// Keyed hash of the command's request.
    pub fingerprint: [u8; 16],
    /// The policy in force.
    pub policy: &'a Policy,
    /// The working-day calendar in force.
    pub calendar: &'a Calendar,
}

//! What surrounds a command on its way, and what comes back.

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::CommandId;
use duban_codec::Lineage;
use duban_log::Position;

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

/// Where a command's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Revision of its last event; where what it asked for held already, the stream's last.
    pub revision: u64,
    /// Position of that event.
    pub position: Position,
}

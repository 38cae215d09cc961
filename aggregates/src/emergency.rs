//! Emergencies 应急: declared and ended, each naming the policy for the tickets that are taken in while it lasts (domain.md
//! sections 8 and 9). Clocks that run keep theirs.

use jiff::Timestamp;

use crate::area::Area;
use crate::checks::{NAME_BYTES_MAX, described, named};
use crate::ids::EmergencyId;
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Problem, Rejection};

/// Where an emergency holds: everywhere where nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The province, as policies name it.
    pub province: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// The district or county.
    pub district: Option<String>,
}

impl Place {
    /// Does an area lie in it?
    #[must_use]
    pub fn holds(&self, area: &Area) -> bool {
        let within = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        within(&self.province, &area.province)
            && within(&self.city, &area.city)
            && within(&self.district, &area.district)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An emergency was declared.
    Declared {
        /// Its id.
        emergency: EmergencyId,
        /// The version of the policy that sets the clocks of new tickets.
        policy: String,
        /// Where.
        place: Place,
        /// Why; no personal data.
        reason: String,
    },
    /// It is over.
    Ended {
        /// On what ground; no personal data.
        reason: String,
    },
}

/// An emergency, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// Its id.
    pub id: EmergencyId,
    /// The version of the policy that it names.
    pub policy: String,
    /// Where.
    pub place: Place,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where it is over.
    pub until: Option<Timestamp>,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

/// Folds one event. Nothing comes of an event before `Declared`.
#[must_use]
pub fn evolve(emergency: Option<Emergency>, event: &Event, meta: &Meta) -> Option<Emergency> {
    let mut emergency = match (emergency, event) {
        (Some(emergency), _) => emergency,
        (None, Event::Declared { emergency, policy, place, reason }) => Emergency {
            id: *emergency,
            policy: policy.clone(),
            place: place.clone(),
            reason: reason.clone(),
            since: meta.recorded_at,
            until: None,
            revision: meta.revision,
            last_recorded_at: meta.recorded_at,
            commands: Memory::default(),
        },
        (None, Event::Ended { .. }) => return None,
    };
    match event {
        Event::Declared { .. } => {}
        Event::Ended { .. } => emergency.until = Some(meta.recorded_at),
    }
    emergency.revision = meta.revision;
    emergency.last_recorded_at = meta.recorded_at;
    emergency.commands.note(meta);
    Some(emergency)
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Declare an emergency.
    Declare {
        /// Its id.
        emergency: EmergencyId,
        /// The version of a policy that is marked as an emergency's.
        policy: String,
        /// Where.
        place: Place,
        /// Why; required.
        reason: String,
    },
    /// Say that it is over.
    End {
        /// On what ground; required.
        reason: String,
    },
}

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    emergency: Option<&Emergency>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    match (emergency, command) {
        (None, Command::Declare { emergency, policy, place, reason }) => {
            named("policy", &policy)?;
            described("reason", &reason)?;
            for (field, name) in
                [("province", &place.province), ("city", &place.city), ("district", &place.district)]
            {
                if name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                    return Err(Rejection::invalid(field, Problem::TooLong(NAME_BYTES_MAX)));
                }
            }
            match context.policy.known(&policy) {
                None => return Err(Rejection::invalid("policy", Problem::NotRegistered(policy))),
                Some(edition) if !edition.emergency => {
                    let why = Problem::Unfit("its file does not say `emergency = true`");
                    return Err(Rejection::invalid("policy", why));
                }
                Some(_) => {}
            }
            Ok(vec![Event::Declared { emergency, policy, place, reason }])
        }
        (None, Command::End { .. }) => Err(Rejection::DoesNotExist),
        (Some(_), Command::Declare { .. }) => Err(Rejection::AlreadyExists),
        (Some(known), Command::End { reason }) => {
            described("reason", &reason)?;
            Ok(known.until.is_none().then_some(Event::Ended { reason }).into_iter().collect())
        }
    }
}

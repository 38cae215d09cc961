//! Cut-over notices 割接通知: planned work, linked to the faults that it explains (domain.md section 8).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::checks::{described, named, registered};
use crate::ids::{NoticeId, TicketId, UnitId};
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Problem, Rejection};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A notice was published.
    Published {
        /// Its id.
        notice: NoticeId,
        /// The unit that works.
        unit: UnitId,
        /// Where; district or county.
        area: String,
        /// What is done; no personal data.
        work: String,
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A fault is explained by it.
    FaultLinked {
        /// The fault's ticket.
        ticket: TicketId,
    },
    /// The work takes longer.
    Extended {
        /// The new end.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// The work is over.
    Ended,
    /// The work will not be done.
    Withdrawn {
        /// Why.
        reason: String,
    },
}

/// How the work went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Planned or under way.
    Published,
    /// Over.
    Ended,
    /// It will not be done.
    Withdrawn,
}

/// A notice, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// The unit that works.
    pub unit: UnitId,
    /// Where.
    pub area: String,
    /// What is done.
    pub work: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How it went.
    pub status: Status,
    /// The faults it explains.
    pub faults: BTreeSet<TicketId>,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

/// Folds one event. Nothing comes of an event before `Published`.
#[must_use]
pub fn evolve(notice: Option<Notice>, event: &Event, meta: &Meta) -> Option<Notice> {
    let mut notice = match (notice, event) {
        (Some(notice), _) => notice,
        (None, Event::Published { notice, unit, area, work, from, until }) => Notice {
            id: *notice,
            unit: unit.clone(),
            area: area.clone(),
            work: work.clone(),
            from: *from,
            until: *until,
            status: Status::Published,
            faults: BTreeSet::new(),
            revision: meta.revision,
            last_recorded_at: meta.recorded_at,
            commands: Memory::default(),
        },
        (None, _) => return None,
    };
    match event {
        Event::Published { .. } => {}
        Event::FaultLinked { ticket } => {
            notice.faults.insert(*ticket);
        }
        Event::Extended { until, .. } => notice.until = *until,
        Event::Ended => notice.status = Status::Ended,
        Event::Withdrawn { .. } => notice.status = Status::Withdrawn,
    }
    notice.revision = meta.revision;
    notice.last_recorded_at = meta.recorded_at;
    notice.commands.note(meta);
    Some(notice)
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Publish a notice.
    Publish {
        /// Its id.
        notice: NoticeId,
        /// The unit that works, as the register has it.
        unit: UnitId,
        /// Where; required.
        area: String,
        /// What is done; required.
        work: String,
        /// From when.
        from: Timestamp,
        /// Until when; later.
        until: Timestamp,
    },
    /// Link a fault.
    LinkFault {
        /// The fault's ticket.
        ticket: TicketId,
    },
    /// Say that it takes longer.
    Extend {
        /// The new end; later than the present one.
        until: Timestamp,
        /// Why; required.
        reason: String,
    },
    /// Say that it is over.
    End,
    /// Withdraw it before it begins.
    Withdraw {
        /// Why; required.
        reason: String,
    },
}

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    notice: Option<&Notice>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Some(known) = notice else {
        let Command::Publish { notice, unit, area, work, from, until } = command else {
            return Err(Rejection::DoesNotExist);
        };
        registered(context, "unit", unit.as_str())?;
        named("area", &area)?;
        described("work", &work)?;
        if until <= from {
            return Err(Rejection::invalid("until", Problem::Unfit("it must be later than from")));
        }
        return Ok(vec![Event::Published { notice, unit, area, work, from, until }]);
    };
    let event = match command {
        Command::Publish { .. } => return Err(Rejection::AlreadyExists),
        // A fault may be explained by work that is over.
        Command::LinkFault { ticket } => {
            if known.status == Status::Withdrawn {
                return Err(Rejection::AlreadyEnded);
            }
            (!known.faults.contains(&ticket)).then_some(Event::FaultLinked { ticket })
        }
        Command::Extend { until, reason } => {
            described("reason", &reason)?;
            if known.status != Status::Published {
                return Err(Rejection::AlreadyEnded);
            }
            if until < known.until {
                let earlier = Problem::Unfit("it must be later than the present end");
                return Err(Rejection::invalid("until", earlier));
            }
            (until > known.until).then_some(Event::Extended { until, reason })
        }
        Command::End => match known.status {
            Status::Published => Some(Event::Ended),
            Status::Ended => None,
            Status::Withdrawn => return Err(Rejection::AlreadyEnded),
        },
        Command::Withdraw { reason } => {
            described("reason", &reason)?;
            match known.status {
                Status::Published if context.at >= known.from => return Err(Rejection::WorkBegun),
                Status::Published => Some(Event::Withdrawn { reason }),
                Status::Ended => return Err(Rejection::AlreadyEnded),
                Status::Withdrawn => None,
            }
        }
    };
    Ok(event.into_iter().collect())
}

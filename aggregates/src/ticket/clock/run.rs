//! Clock instances as they stand, folded from their events.

use jiff::Timestamp;

use super::table::Late;
use super::{Event, Start, Subject};
use crate::calendar::{self, Target};
use crate::ids::{ClockNo, EscalationNo, RequestNo};
use crate::meta::Meta;
use crate::ticket::chain::table::InHandOf;
use crate::ticket::state::{End, Ticket};
use crate::words::{ClockKind, PauseCode, Rung};

/// Where a clock instance stands. Met, breached and cancelled are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running,
    /// It stands still since then.
    Paused {
        /// Since when.
        since: Timestamp,
    },
    /// On time.
    Met {
        /// When.
        at: Timestamp,
    },
    /// Too late.
    Breached {
        /// A fact later proved on time.
        withdrawn: bool,
    },
    /// What it waited for will not come.
    Cancelled,
}

/// A clock instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What was fixed when it started; `due` and `warn_at` as they are now.
    pub start: Start,
    /// Where it stands.
    pub status: Status,
    /// The warning has fallen.
    pub warned: bool,
    /// The last of the ladder's first two rungs that was reached.
    pub climbed: Option<Rung>,
    /// Pauses that ended, since the start or the last restatement.
    pub pauses: Vec<calendar::Pause>,
}

impl Clock {
    /// It runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// It runs or is paused.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused { .. })
    }

    /// It breached, and the breach was not withdrawn.
    #[must_use]
    pub fn is_breached(&self) -> bool {
        self.status == Status::Breached { withdrawn: false }
    }

    /// The department that a breach involves: a stage clock's, but in reply, where orders have clocks of their own.
    #[must_use]
    pub fn department(&self) -> Option<&'static str> {
        self.start.department()
    }

    pub(crate) fn is(&self, kind: ClockKind, subject: Subject) -> bool {
        self.start.kind == kind && self.start.subject == subject
    }
}

impl Start {
    /// Whether the ladder stands on it. It presses whoever has the work.
    #[must_use]
    pub fn has_ladder(&self) -> bool {
        let row = self.kind.row();
        let departments = match self.subject {
            Subject::Stage(stage) => stage.row().in_hand_of == InHandOf::Department,
            Subject::Ticket | Subject::Order(_) | Subject::Request(_) => true,
        };
        row.ladder && row.about.fits(self.subject) && departments
    }

    /// Whether the ticket is not paused any more after its breach. A deadline that a merge handed over is the ticket's own,
    /// whatever clock it was.
    pub(crate) fn breach_bars_pause(&self) -> bool {
        let row = self.kind.row();
        row.breach_bars_pause || !row.about.fits(self.subject)
    }

    /// The department that is late with it, where it is a department's.
    #[must_use]
    pub fn department(&self) -> Option<&'static str> {
        match (self.kind.row().late, self.subject) {
            (Late::Department, Subject::Stage(stage)) => {
                let row = stage.row();
                (row.in_hand_of == InHandOf::Department).then_some(row.department)
            }
            _ => None,
        }
    }
}

/// A ticket's pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub code: PauseCode,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub resume_by: Timestamp,
}

/// A proposed rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The breached clock.
    pub clock: ClockNo,
    /// The rung.
    pub rung: Rung,
    /// Issued (true) or declined (false); undecided while absent.
    pub issued: Option<bool>,
}

impl Event {
    pub(crate) fn occurred_at(&self) -> Option<Timestamp> {
        match self {
            Self::Warned { at, .. }
            | Self::Met { at, .. }
            | Self::BreachWithdrawn { at, .. }
            | Self::Resumed { at, .. }
            | Self::TicketResumed { at, .. }
            | Self::Escalated { at, .. }
            | Self::EscalationProposed { at, .. } => Some(*at),
            Self::Breached { due, .. } => Some(*due),
            Self::Started(_)
            | Self::Cancelled { .. }
            | Self::Paused { .. }
            | Self::Restated { .. }
            | Self::TicketPaused { .. }
            | Self::Urged { .. }
            | Self::EscalationIssued { .. }
            | Self::EscalationDeclined { .. } => None,
        }
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    let mut set = |clock: &ClockNo, change: &dyn Fn(&mut Clock)| {
        if let Some(clock) =
            crate::ticket::state::index(clock.0).and_then(|index| ticket.clocks.get_mut(index))
        {
            change(clock);
        }
    };
    match event {
        Event::Started(start) => {
            ticket.dormant = false;
            ticket.clocks.push(Clock {
                start: (**start).clone(),
                status: Status::Running,
                warned: false,
                climbed: None,
                pauses: Vec::new(),
            });
        }
        Event::Warned { clock, .. } => set(clock, &|clock| clock.warned = true),
        Event::Met { clock, at } => set(clock, &|clock| clock.status = Status::Met { at: *at }),
        Event::Breached { clock, .. } => {
            set(clock, &|clock| clock.status = Status::Breached { withdrawn: false });
        }
        Event::BreachWithdrawn { clock, .. } => {
            set(clock, &|clock| clock.status = Status::Breached { withdrawn: true });
        }
        Event::Cancelled { clock } => set(clock, &|clock| clock.status = Status::Cancelled),
        Event::Paused { clock } => {
            set(clock, &|clock| clock.status = Status::Paused { since: meta.recorded_at });
        }
        Event::Resumed { clock, at, due, warn_at, provisional } => set(clock, &|clock| {
            if let Status::Paused { since } = clock.status {
                clock.pauses.push(calendar::Pause { paused_at: since, resumed_at: *at });
            }
            clock.status = Status::Running;
            clock.start.due = *due;
            clock.start.warn_at = *warn_at;
            clock.start.provisional = *provisional;
        }),
        Event::Restated { clock, due, warn_at, provisional, calendar } => set(clock, &|clock| {
            match calendar {
                Some(calendar) => clock.start.calendar.clone_from(calendar),
                None => {
                    clock.start.target = Target::Moment(*due);
                    clock.pauses.clear();
                }
            }
            clock.start.due = *due;
            clock.start.warn_at = *warn_at;
            clock.start.provisional = *provisional;
        }),
        Event::TicketPaused { code, resume_by, .. } => {
            ticket.pause = Some(Pause { code: *code, since: meta.recorded_at, resume_by: *resume_by });
            ticket.handled(meta);
        }
        Event::TicketResumed { by_itself, .. } => {
            ticket.pause = None;
            if !by_itself {
                ticket.handled(meta);
            }
        }
        Event::Urged { .. } => {}
        Event::Escalated { clock, rung, .. } => set(clock, &|clock| clock.climbed = Some(*rung)),
        Event::EscalationProposed { clock, rung, .. } => {
            ticket.escalations.push(Escalation { clock: *clock, rung: *rung, issued: None });
        }
        Event::EscalationIssued { escalation, .. } => decide_escalation(ticket, *escalation, true),
        Event::EscalationDeclined { escalation, .. } => decide_escalation(ticket, *escalation, false),
    }
}

fn decide_escalation(ticket: &mut Ticket, escalation: EscalationNo, issued: bool) {
    let found = crate::ticket::state::index(escalation.0).and_then(|index| ticket.escalations.get_mut(index));
    if let Some(escalation) = found {
        escalation.issued = Some(issued);
    }
}

impl Ticket {
    /// The latest instance of a clock.
    #[must_use]
    pub fn clock(&self, kind: ClockKind, subject: Subject) -> Option<&Clock> {
        self.clocks.iter().rev().find(|clock| clock.is(kind, subject))
    }

    /// Outside requests that still wait for an answer.
    #[must_use]
    pub fn receipts_owed(&self) -> Vec<RequestNo> {
        // What a merged ticket owed, the other ticket owes.
        let merged = self.ended.as_ref().is_some_and(|ended| matches!(ended.how, End::Merged(_)));
        let owed = self.requests.iter().filter(|request| !merged && request.is_owed());
        owed.map(|request| request.outside.request).collect()
    }
}

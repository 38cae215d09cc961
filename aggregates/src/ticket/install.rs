//! What only installs 装移机 have: fees, promise, milestones. Appointments are here too; faults may have them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::checks::{bounded, required};
use crate::ids::{AppointmentNo, EventId};
use crate::meta::Meta;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::clock;
use crate::ticket::draft::Draft;
use crate::ticket::state::{FactKind, Ticket, index, next_number};
use crate::words::{Kind, Milestone, Outcome, PauseCode};

/// What the customer ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Fees collected, in fen.
    pub fees_fen: u64,
    /// The date promised to the customer.
    pub promised_on: Option<Date>,
}

/// A fact about an install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A milestone was reached.
    MilestoneReached {
        /// Which.
        milestone: Milestone,
    },
    /// What came of an appointment.
    AppointmentEnded {
        /// Which.
        appointment: AppointmentNo,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fact was recorded.
    FactRecorded {
        /// The fact.
        fact: Fact,
        /// When it happened.
        occurred_at: Timestamp,
        /// What proves an earlier moment.
        evidence: Option<Sealed>,
    },
    /// The customer chose a slot.
    AppointmentMade {
        /// Its number.
        appointment: AppointmentNo,
        /// The slot's begin.
        from: Timestamp,
        /// The slot's end.
        until: Timestamp,
    },
    /// The customer chose another slot.
    AppointmentRescheduled {
        /// Which.
        appointment: AppointmentNo,
        /// The new slot's begin.
        from: Timestamp,
        /// The new slot's end.
        until: Timestamp,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record a fact.
    RecordFact {
        /// The fact.
        fact: Fact,
        /// When it happened; now, where absent.
        occurred_at: Option<Timestamp>,
        /// What proves an earlier moment; required for one, and for a missed appointment.
        evidence: Option<Sealed>,
    },
    /// Make an appointment; the slot lies in the future.
    MakeAppointment {
        /// The slot's begin.
        from: Timestamp,
        /// The slot's end.
        until: Timestamp,
    },
    /// Move an appointment, also a missed one.
    Reschedule {
        /// Which.
        appointment: AppointmentNo,
        /// The new slot's begin.
        from: Timestamp,
        /// The new slot's end.
        until: Timestamp,
        /// Why; required.
        reason: Sealed,
    },
}

/// An appointment as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// The slot's begin.
    pub from: Timestamp,
    /// The slot's end.
    pub until: Timestamp,
    /// What came of it; a missed one may be rescheduled.
    pub outcome: Option<Outcome>,
    /// How often the operator missed it.
    pub missed_by_operator: u32,
    /// How often the customer missed it.
    pub missed_by_customer: u32,
}

/// An install's facts as they are known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallState {
    /// Milestones and the events that recorded them.
    pub milestones: BTreeMap<Milestone, (Timestamp, EventId)>,
    /// Appointments.
    pub appointments: Vec<Appointment>,
}

impl InstallState {
    /// The service works.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        self.milestones.contains_key(&Milestone::Activated)
    }

    /// An appointment was missed, by whomever.
    #[must_use]
    pub fn any_missed(&self) -> bool {
        let missed = |known: &Appointment| known.missed_by_operator > 0 || known.missed_by_customer > 0;
        self.appointments.iter().any(missed)
    }

    fn get(&self, appointment: AppointmentNo) -> Option<&Appointment> {
        self.appointments.get(index(appointment.0)?)
    }

    fn get_mut(&mut self, appointment: AppointmentNo) -> Option<&mut Appointment> {
        self.appointments.get_mut(index(appointment.0)?)
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::FactRecorded { fact, occurred_at, .. } => {
            set(ticket, fact, *occurred_at, meta.id);
            ticket.fact(fact.kind(), meta);
        }
        Event::AppointmentMade { from, until, .. } => {
            let made = Appointment {
                from: *from,
                until: *until,
                outcome: None,
                missed_by_operator: 0,
                missed_by_customer: 0,
            };
            ticket.install.appointments.push(made);
            ticket.handled(meta);
        }
        Event::AppointmentRescheduled { appointment, from, until, .. } => {
            if let Some(appointment) = ticket.install.get_mut(*appointment) {
                appointment.from = *from;
                appointment.until = *until;
                appointment.outcome = None;
            }
            ticket.handled(meta);
        }
    }
}

impl Fact {
    pub(crate) fn kind(&self) -> FactKind {
        match self {
            Self::MilestoneReached { milestone } => FactKind::Milestone(*milestone),
            Self::AppointmentEnded { appointment, outcome } => FactKind::Appointment(*appointment, *outcome),
        }
    }
}

impl Appointment {
    fn misses(&mut self, outcome: Outcome) -> Option<&mut u32> {
        match outcome {
            Outcome::Kept => None,
            Outcome::MissedByOperator => Some(&mut self.missed_by_operator),
            Outcome::MissedByCustomer => Some(&mut self.missed_by_customer),
        }
    }
}

/// Takes a correction in. A fact that a later one has superseded stays superseded.
pub(crate) fn correct(
    ticket: &mut Ticket,
    corrects: EventId,
    old: Option<FactKind>,
    fact: &Fact,
    occurred_at: Timestamp,
    by: EventId,
) {
    match fact {
        Fact::MilestoneReached { milestone } => {
            let reached = ticket.install.milestones.get(milestone);
            if reached.is_some_and(|(_, event)| *event == corrects) {
                set(ticket, fact, occurred_at, by);
            }
        }
        Fact::AppointmentEnded { appointment, outcome } => {
            let Some(FactKind::Appointment(_, wrong)) = old else { return };
            let Some(appointment) = ticket.install.get_mut(*appointment) else { return };
            if let Some(misses) = appointment.misses(wrong) {
                *misses = misses.saturating_sub(1);
            }
            if let Some(misses) = appointment.misses(*outcome) {
                *misses += 1;
            }
            // It may have been rescheduled since.
            if appointment.outcome == Some(wrong) {
                appointment.outcome = Some(*outcome);
            }
        }
    }
}

fn set(ticket: &mut Ticket, fact: &Fact, occurred_at: Timestamp, by: EventId) {
    match fact {
        Fact::MilestoneReached { milestone } => {
            ticket.install.milestones.insert(*milestone, (occurred_at, by));
        }
        Fact::AppointmentEnded { appointment, outcome } => {
            if let Some(appointment) = ticket.install.get_mut(*appointment) {
                appointment.outcome = Some(*outcome);
                if let Some(misses) = appointment.misses(*outcome) {
                    *misses += 1;
                }
            }
        }
    }
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    draft.open()?;
    match command {
        Command::RecordFact { fact, occurred_at, evidence } => {
            record_fact(draft, fact, occurred_at, evidence)
        }
        Command::MakeAppointment { from, until } => {
            slot(draft, from, until)?;
            let appointment = AppointmentNo(next_number(draft.ticket.install.appointments.len()));
            draft.push(Event::AppointmentMade { appointment, from, until });
            Ok(())
        }
        Command::Reschedule { appointment, from, until, reason } => {
            required("reason", &reason)?;
            slot(draft, from, until)?;
            let known =
                draft.ticket.install.get(appointment).ok_or(Rejection::UnknownAppointment { appointment })?;
            if known.outcome == Some(Outcome::Kept) {
                return Err(Rejection::AppointmentEnded { appointment });
            }
            let waited = known.outcome == Some(Outcome::MissedByCustomer);
            draft.push(Event::AppointmentRescheduled { appointment, from, until, reason });
            // The customer chose again: what paused for the customer goes on.
            if waited && draft.ticket.pause.as_ref().is_some_and(|pause| pause.code == PauseCode::Customer) {
                let now = draft.at();
                clock::resume(draft, now, false);
            }
            Ok(())
        }
    }
}

fn record_fact(
    draft: &mut Draft<'_>,
    fact: Fact,
    occurred_at: Option<Timestamp>,
    evidence: Option<Sealed>,
) -> Result<(), Rejection> {
    let proof = evidence.clone().filter(|text| !text.is_empty());
    evidence.iter().try_for_each(|evidence| bounded("evidence", evidence))?;
    let occurred_at = draft.fact_time(occurred_at, proof.is_some())?;
    match &fact {
        Fact::MilestoneReached { milestone } => {
            if draft.ticket.kind() != Kind::Install {
                return Err(Rejection::WrongKind);
            }
            let reached = &draft.ticket.install.milestones;
            if reached.contains_key(milestone) {
                return Ok(());
            }
            if MILESTONES.iter().any(|earlier| earlier < milestone && !reached.contains_key(earlier)) {
                return Err(Rejection::MilestoneOutOfOrder);
            }
            draft.push(Event::FactRecorded { fact, occurred_at, evidence });
        }
        Fact::AppointmentEnded { appointment, outcome } => {
            let (appointment, outcome) = (*appointment, *outcome);
            let known =
                draft.ticket.install.get(appointment).ok_or(Rejection::UnknownAppointment { appointment })?;
            match known.outcome {
                Some(already) if already == outcome => return Ok(()),
                Some(_) => return Err(Rejection::AppointmentEnded { appointment }),
                None => {}
            }
            if occurred_at < known.from {
                return Err(Rejection::invalid("occurred_at", Problem::Unfit("the slot has not begun")));
            }
            let Some(proof) = proof.filter(|_| outcome != Outcome::Kept) else {
                if outcome == Outcome::Kept {
                    draft.push(Event::FactRecorded { fact, occurred_at, evidence });
                    return Ok(());
                }
                return Err(Rejection::invalid("evidence", Problem::Required));
            };
            draft.push(Event::FactRecorded { fact, occurred_at, evidence });
            if outcome == Outcome::MissedByCustomer {
                pause_for_customer(draft, proof);
            }
        }
    }
    Ok(())
}

/// The clocks pause for a customer who was absent, unless they stand still, or breached, already.
fn pause_for_customer(draft: &mut Draft<'_>, proof: Sealed) {
    match clock::pause(draft, PauseCode::Customer, proof, None, None) {
        Ok(()) => {}
        Err(refused) => debug_assert!(
            matches!(
                refused,
                Rejection::AlreadyPaused | Rejection::NoClockHonours | Rejection::PauseAfterBreach { .. }
            ),
            "pausing for an absent customer: {refused}"
        ),
    }
}

fn slot(draft: &Draft<'_>, from: Timestamp, until: Timestamp) -> Result<(), Rejection> {
    if from <= draft.at() {
        return Err(Rejection::invalid("from", Problem::NotInFuture));
    }
    if until <= from {
        return Err(Rejection::invalid("until", Problem::Unfit("it must be later than from")));
    }
    Ok(())
}

const MILESTONES: [Milestone; 5] = [
    Milestone::Accepted,
    Milestone::Surveyed,
    Milestone::ResourcesAssigned,
    Milestone::Visited,
    Milestone::Activated,
];

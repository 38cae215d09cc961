//! Clock instances, and the table of what starts and meets them (domain.md section 4).

use jiff::Timestamp;

use super::{Event, Start, Subject, correct};
use crate::calendar::{self, Deadline, Target, deadline};
use crate::ids::{ClockNo, EscalationNo, RequestNo};
use crate::meta::Meta;
use crate::policy::{self, Policy};
use crate::ticket::draft::Draft;
use crate::ticket::state::{End, Ticket, next_number};
use crate::ticket::{self, chain, contact, fault, install, intake, order};
use crate::words::{Answer, ClockKind, Kind, Milestone, PauseCode, ReceiptKind, RoundCause, Rung, Stage};

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
        match self.start.subject {
            Subject::Stage(stage) if stage != Stage::Reply => Some(stage.department()),
            _ => None,
        }
    }

    fn is(&self, kind: ClockKind, subject: Subject) -> bool {
        self.start.kind == kind && self.start.subject == subject
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

/// An imported ticket's clocks start with a department's first command, from now, so that none is late falsely.
pub(crate) fn wake(draft: &mut Draft<'_>) {
    let now = draft.at();
    start_intake_clocks(draft, now);
    start_outside_again(draft);
    start_stage(draft);
}

/// The table: what each event starts and meets. `was` is the stage before the event.
pub(crate) fn follow(draft: &mut Draft<'_>, event: &ticket::Event, was: Option<Stage>) {
    if draft.ticket.dormant {
        return;
    }
    let now = draft.at();
    match event {
        ticket::Event::Intake(intake::Event::TakenIn(intake)) => {
            let began = intake.taken_in_at;
            start_intake_clocks(draft, began);
            for request in &intake.requests {
                start_outside(draft, request, request.handed_over_at);
            }
        }
        ticket::Event::Intake(intake::Event::OutsideRequestAdded { request }) => {
            start_outside(draft, request, request.handed_over_at);
        }
        ticket::Event::Intake(intake::Event::MergeReceived { requests, deadlines, .. })
            if draft.ticket.is_open() =>
        {
            for request in requests {
                start_outside(draft, request, request.handed_over_at);
            }
            for taken in deadlines {
                take_over(draft, taken.clock, taken.due);
            }
        }
        ticket::Event::Intake(intake::Event::FactCorrected { fact, occurred_at, .. }) => {
            correct::follow(draft, fact, *occurred_at);
        }
        ticket::Event::Contact(
            contact::Event::CustomerContacted { occurred_at, .. }
            | contact::Event::DelayNotified { occurred_at, .. },
        ) => {
            meet(draft, ClockKind::Contact, Subject::Ticket, *occurred_at);
        }
        ticket::Event::Contact(contact::Event::ReceiptRecorded { request, kind, .. })
            if *kind != ReceiptKind::Interim =>
        {
            meet(draft, ClockKind::Outside, Subject::Request(*request), now);
        }
        ticket::Event::Order(event) => follow_order(draft, event),
        ticket::Event::Fault(fault::Event::FactRecorded { fact, occurred_at, .. }) => match fact {
            // What was up before the reopening is what the customer came back about.
            fault::Fact::ServiceUp if !draft.ticket.fault.may_prove(*occurred_at) => {}
            fault::Fact::ServiceUp => {
                meet(draft, ClockKind::Repair, Subject::Ticket, *occurred_at);
                meet(draft, ClockKind::Restore, Subject::Ticket, *occurred_at);
            }
            fault::Fact::ArrearsPaid { .. } => arrears_paid(draft, *occurred_at),
            fault::Fact::LineTested { .. }
            | fault::Fact::Repaired { .. }
            | fault::Fact::TerminalJudged { .. } => {}
        },
        ticket::Event::Install(install::Event::FactRecorded {
            fact: install::Fact::MilestoneReached { milestone: Milestone::Activated },
            occurred_at,
            ..
        }) => meet(draft, ClockKind::Activation, Subject::Ticket, *occurred_at),
        ticket::Event::Chain(event) => follow_chain(draft, event, now),
        _ => {}
    }
    follow_stage(draft, event, was);
}

fn follow_order(draft: &mut Draft<'_>, event: &order::Event) {
    let now = draft.at();
    match event {
        order::Event::Replied { order, .. } => {
            meet(draft, ClockKind::Order, Subject::Order(*order), now);
        }
        order::Event::Released { order, .. }
        | order::Event::Recalled { order, .. }
        | order::Event::ReturnGranted { order } => {
            cancel(draft, |clock| clock.is(ClockKind::Order, Subject::Order(*order)));
        }
        // An order's clock needs dispatch's deadline, which the deciding code knows.
        _ => {}
    }
}

fn follow_chain(draft: &mut Draft<'_>, event: &chain::Event, now: Timestamp) {
    match event {
        chain::Event::FeedbackRecorded { answer, .. } => {
            meet(draft, ClockKind::Contact, Subject::Ticket, now);
            meet(draft, ClockKind::Answer, Subject::Ticket, now);
            // Whatever the answer, the desk has done its part; so has an inspection that fails.
            meet(draft, ClockKind::Stage, Subject::Stage(Stage::Feedback), now);
            if *answer == Answer::Satisfied {
                feedback_passed(draft, now);
            } else if *answer == Answer::Dissatisfied {
                appealable_at_once(draft, now);
            }
        }
        chain::Event::UnreachableSignedOff { .. } | chain::Event::FeedbackConcluded { .. } => {
            feedback_passed(draft, now);
        }
        chain::Event::Closed { .. } => {
            meet(draft, ClockKind::Closing, Subject::Ticket, now);
            cancel(draft, Clock::is_live);
        }
        chain::Event::Withdrawn { .. } | chain::Event::Rejected { .. } | chain::Event::Merged { .. } => {
            cancel(draft, Clock::is_live);
        }
        chain::Event::Inspected { .. } => {
            meet(draft, ClockKind::Stage, Subject::Stage(Stage::Inspect), now);
        }
        chain::Event::Reopened { .. } => {
            start_intake_clocks(draft, now);
            start_outside_again(draft);
        }
        chain::Event::RoundOpened { because, .. } => {
            cancel(draft, |clock| clock.start.kind == ClockKind::Closing && clock.is_live());
            match because {
                // Feedback had passed and has to pass again: later work, a new instance.
                RoundCause::InspectionFailed | RoundCause::FactsLacking => {
                    start(draft, ClockKind::Ticket, Subject::Ticket, now, None);
                }
                // Dissatisfaction leaves the ticket clock running; reopening has started it.
                RoundCause::NotSatisfied | RoundCause::Reopened => {}
            }
        }
        _ => {}
    }
}

fn feedback_passed(draft: &mut Draft<'_>, now: Timestamp) {
    meet(draft, ClockKind::Ticket, Subject::Ticket, now);
    meet(draft, ClockKind::Appealable, Subject::Ticket, now);
    start(draft, ClockKind::Closing, Subject::Ticket, now, None);
}

/// Dissatisfaction makes the ticket appealable at once: a new instance, due now.
fn appealable_at_once(draft: &mut Draft<'_>, now: Timestamp) {
    let running = |clock: &Clock| clock.is(ClockKind::Appealable, Subject::Ticket) && clock.is_live();
    if draft.ticket.clocks.iter().any(running) {
        cancel(draft, running);
        start(draft, ClockKind::Appealable, Subject::Ticket, now, Some(Target::Moment(now)));
    }
}

/// A stage's clock is met when the chain goes on, cancelled when it goes back or ends.
fn follow_stage(draft: &mut Draft<'_>, event: &ticket::Event, was: Option<Stage>) {
    let stage = draft.ticket.stage;
    // A ticket that ended while it was investigated is reopened there, and is entered anew.
    let entered = matches!(event, ticket::Event::Chain(chain::Event::RoundOpened { .. }));
    if (was == Some(stage) && !entered) || !draft.ticket.is_open() {
        return;
    }
    if let Some(was) = was {
        let now = draft.at();
        if stage > was {
            meet(draft, ClockKind::Stage, Subject::Stage(was), now);
        } else {
            cancel(draft, |clock| clock.is(ClockKind::Stage, Subject::Stage(was)) && clock.is_live());
        }
    }
    start_stage(draft);
}

fn start_stage(draft: &mut Draft<'_>) {
    let stage = draft.ticket.stage;
    // From here to the end the closing clock runs.
    if stage != Stage::Close {
        let now = draft.at();
        start(draft, ClockKind::Stage, Subject::Stage(stage), now, None);
    }
}

fn start_intake_clocks(draft: &mut Draft<'_>, from: Timestamp) {
    start(draft, ClockKind::Ticket, Subject::Ticket, from, None);
    start(draft, ClockKind::Appealable, Subject::Ticket, from, None);
    if !draft.ticket.contacted {
        start(draft, ClockKind::Contact, Subject::Ticket, from, None);
    }
    match draft.ticket.kind() {
        Kind::Complaint => start(draft, ClockKind::Answer, Subject::Ticket, from, None),
        // Facts may have come while an import's clocks slept, or before a finding reopened it.
        Kind::Fault if draft.ticket.fault.service_up.is_some() => {}
        Kind::Fault => start(draft, ClockKind::Repair, Subject::Ticket, from, None),
        Kind::Install if draft.ticket.install.is_activated() => {}
        Kind::Install => {
            let promised = draft.ticket.intake.install.and_then(|order| order.promised_on);
            // An import or a reopening never fires a false breach: a promise that has passed is not started again.
            let promised = promised.filter(|day| *day >= calendar::local_date(from));
            let entry = entry(draft, ClockKind::Activation, Subject::Ticket);
            let target = entry.map(|entry| entry.target_for(promised));
            start(draft, ClockKind::Activation, Subject::Ticket, from, target);
        }
    }
}

/// Arrears were paid: service must be back in time, unless it is back, or the clock runs, already.
fn arrears_paid(draft: &mut Draft<'_>, at: Timestamp) {
    let running = draft.ticket.clock(ClockKind::Restore, Subject::Ticket).is_some_and(Clock::is_live);
    if !running {
        start(draft, ClockKind::Restore, Subject::Ticket, at, None);
        if let Some((up, _)) = draft.ticket.fault.service_up.filter(|(up, _)| *up >= at) {
            meet(draft, ClockKind::Restore, Subject::Ticket, up);
        }
    }
}

fn start_outside(draft: &mut Draft<'_>, request: &intake::OutsideRequest, from: Timestamp) {
    let due = request.due.map(Target::Moment);
    start(draft, ClockKind::Outside, Subject::Request(request.request), from, due);
}

/// Outside clocks from now on, after an import or a reopening: a body's deadline that has passed is not started again.
fn start_outside_again(draft: &mut Draft<'_>) {
    let now = draft.at();
    for request in draft.ticket.requests.clone().iter().filter(|request| request.is_owed()) {
        let due = request.outside.due.filter(|due| *due > now).map(Target::Moment);
        start(draft, ClockKind::Outside, Subject::Request(request.outside.request), now, due);
    }
}

/// The policy that sets a ticket's clocks: the one in force, but for a ticket that was taken in under an emergency's, which
/// keeps that one to its end.
pub(crate) fn policy_of<'p>(policy: &'p Policy, ticket: &Ticket) -> &'p Policy {
    let first = ticket.clocks.first().and_then(|clock| policy.edition(&clock.start.policy));
    first.filter(|edition| edition.emergency).unwrap_or(policy)
}

/// The entry for a clock of this ticket.
pub(crate) fn entry<'p>(draft: &Draft<'p>, kind: ClockKind, subject: Subject) -> Option<&'p policy::Entry> {
    entry_of(policy_of(draft.context.policy, &draft.ticket), &draft.ticket, kind, subject)
}

/// The entry that an edition has for a clock of a ticket.
pub(crate) fn entry_of<'p>(
    policy: &'p Policy,
    ticket: &Ticket,
    kind: ClockKind,
    subject: Subject,
) -> Option<&'p policy::Entry> {
    let mut of = policy::Subject::of(&ticket.intake);
    let stage = match subject {
        Subject::Stage(stage) => Some(stage),
        Subject::Request(request) => {
            // An outside body's clock follows the body, not the channel of the ticket.
            of.channel = ticket.request(request).map_or(of.channel, |request| request.outside.body);
            None
        }
        Subject::Ticket | Subject::Order(_) => None,
    };
    policy.lookup(kind, stage, &of)
}

/// Starts a clock under the policy in force, or under a target that somebody promised or set.
pub(crate) fn start(
    draft: &mut Draft<'_>,
    kind: ClockKind,
    subject: Subject,
    from: Timestamp,
    target: Option<Target>,
) {
    let entry = entry(draft, kind, subject);
    let Some(target) = target.or_else(|| entry.map(|entry| entry.target)) else { return };
    let warn_percent = entry.map_or(calendar::WARN_PERCENT, |entry| entry.warn_percent);
    let Deadline { due, warn_at, provisional } = deadline(target, from, warn_percent, draft.context.calendar);
    let clock = ClockNo(next_number(draft.ticket.clocks.len()));
    let pauses = entry.map(|entry| entry.pauses.clone()).unwrap_or_default();
    // A clock that starts while the ticket stands still stands still with it.
    let paused = draft.ticket.pause.as_ref().is_some_and(|pause| pauses.contains(&pause.code));
    let event = Event::Started(Box::new(Start {
        clock,
        kind,
        subject,
        started_at: from,
        due,
        warn_at,
        target,
        warn_percent,
        pauses,
        article: entry.and_then(|entry| entry.article.clone()),
        provisional,
        policy: policy_of(draft.context.policy, &draft.ticket).version.clone(),
        calendar: draft.context.calendar.version.clone(),
    }));
    draft.push(event);
    if paused {
        draft.push(Event::Paused { clock });
    }
}

/// Meets the live clock of this kind, or withdraws its breach where the fact proves on time.
fn meet(draft: &mut Draft<'_>, kind: ClockKind, subject: Subject, at: Timestamp) {
    let Some(clock) = draft.ticket.clocks.iter().rev().find(|clock| clock.is(kind, subject)) else { return };
    let number = clock.start.clock;
    let on_time = at <= clock.start.due;
    match clock.status {
        Status::Running if on_time => draft.push(Event::Met { clock: number, at }),
        // It stood still, so it is not late; a clock that stands still meets no deadline it could miss.
        Status::Paused { .. } => draft.push(Event::Met { clock: number, at }),
        Status::Running => draft.push(Event::Breached { clock: number, due: clock.start.due }),
        Status::Breached { withdrawn: false } if on_time => {
            draft.push(Event::BreachWithdrawn { clock: number, at });
        }
        Status::Breached { .. } | Status::Met { .. } | Status::Cancelled => {}
    }
}

fn cancel(draft: &mut Draft<'_>, which: impl Fn(&Clock) -> bool) {
    let live = draft.ticket.clocks.iter().filter(|clock| clock.is_live() && which(clock));
    let numbers: Vec<_> = live.map(|clock| clock.start.clock).collect();
    for clock in numbers {
        draft.push(Event::Cancelled { clock });
    }
}

/// Moves a live clock's due moment forward to an earlier one that a merged ticket had; starts one that only it had.
fn take_over(draft: &mut Draft<'_>, kind: ClockKind, due: Timestamp) {
    let now = draft.at();
    match draft.ticket.clock(kind, Subject::Ticket) {
        Some(clock) if clock.is_live() && due < clock.start.due => {
            let event = restated(clock, due);
            draft.push(event);
        }
        Some(_) => {}
        None if due > now => start(draft, kind, Subject::Ticket, now, Some(Target::Moment(due))),
        None => {}
    }
}

/// A clock's new due moment, warned at the same share of the time from its start.
pub(crate) fn restated(clock: &Clock, due: Timestamp) -> Event {
    let start = &clock.start;
    let span = due.duration_since(start.started_at).as_secs().max(0);
    let share = span * i64::from(start.warn_percent.min(100)) / 100;
    let warn_at = Timestamp::from_second(start.started_at.as_second() + share).unwrap_or(due).min(due);
    Event::Restated { clock: start.clock, due, warn_at, provisional: false, calendar: None }
}

/// The latest moment that no outside or statutory deadline forbids.
pub(crate) fn outside_or_statutory(ticket: &Ticket) -> Option<Timestamp> {
    let binding = |clock: &&Clock| {
        clock.is_live() && (clock.start.kind == ClockKind::Outside || clock.start.article.is_some())
    };
    ticket.clocks.iter().filter(binding).map(|clock| clock.start.due).min()
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

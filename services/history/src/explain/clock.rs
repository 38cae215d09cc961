//! A clock's verdict, recomputed (domain.md section 4).

use jiff::Timestamp;

use super::{Versions, cause};
use duban_aggregates::calendar::{self, Calendar, Pause, Target, deadline};
use duban_aggregates::ids::ClockNo;
use duban_aggregates::meta::Meta;
use duban_aggregates::policy;
use duban_aggregates::ticket::clock::trigger::{Trigger, signals};
use duban_aggregates::ticket::clock::{self, Start, Status, Subject};
use duban_aggregates::ticket::intake::{self, Fact};
use duban_aggregates::ticket::{self, Event, Ticket, chain, fault};
use duban_aggregates::words::{ClockKind, Stage};

/// Who set how long a clock may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetFrom {
    /// The policy's entry for the ticket.
    Policy,
    /// The date promised to an install's customer.
    Promise,
    /// The outside body's own deadline.
    OutsideBody,
    /// Dispatch, no later than the policy's.
    Dispatch,
    /// A merged ticket's earlier deadline.
    Merge,
    /// Dissatisfaction: appealable at once.
    AtOnce,
    /// Nobody can say: the version of the policy is not here, or the target is none of these.
    Unknown,
}

/// An event on a clock, with what brought it about, and the due moment from then on as stored and as recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Its index in the history.
    pub event: usize,
    /// The index of the event that brought it about; none where time did.
    pub cause: Option<usize>,
    /// The due moment in force after it, as stored.
    pub due: Timestamp,
    /// The same, recomputed; none where the version of the calendar is not here.
    pub recomputed_due: Option<Timestamp>,
}

/// A clock, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockExplained {
    /// As it was started.
    pub start: Start,
    /// Who set its target.
    pub target_from: TargetFrom,
    /// Whether the version of the policy is here.
    pub policy_known: bool,
    /// Whether the version of the calendar is here.
    pub calendar_known: bool,
    /// What happened to it, from its start.
    pub steps: Vec<Stated>,
    /// The index of the event that met or cancelled it, or withdrew its breach; none while it runs, and where time alone decided.
    pub decided_by: Option<usize>,
    /// How it stands, by its stored events.
    pub stored: Status,
    /// How it must stand.
    pub recomputed: Status,
    /// What does not agree, in words. Nothing where everything does.
    pub differences: Vec<String>,
}

/// Explains a clock of a ticket from all of its events; none where there is no such clock.
#[must_use]
pub fn clock(history: &[(Meta, Event)], number: ClockNo, versions: &Versions) -> Option<ClockExplained> {
    let mut ticket: Option<Ticket> = None;
    let mut reading: Option<Reading<'_>> = None;
    for (at, (meta, event)) in history.iter().enumerate() {
        let was = ticket.as_ref().map(|ticket| ticket.stage);
        ticket = ticket::evolve(ticket, event, meta);
        let Some(ticket) = &ticket else { continue };
        match (&mut reading, event) {
            (None, Event::Clock(clock::Event::Started(start))) if start.clock == number => {
                reading = Some(Reading::begin(history, at, start, ticket, versions));
            }
            (None, _) => {}
            (Some(reading), _) => reading.follow(at, was, ticket),
        }
    }
    let stored = ticket.as_ref()?.clock_instance(number)?.status;
    reading.map(|reading| reading.end(stored))
}

/// A clock while its history is read.
struct Reading<'h> {
    history: &'h [(Meta, Event)],
    versions: &'h Versions,
    explained: ClockExplained,
    /// What the due moment follows from, as far as it is recomputed.
    target: Target,
    pauses: Vec<Pause>,
    calendar: String,
    due: Timestamp,
    warn_at: Timestamp,
}

impl<'h> Reading<'h> {
    fn begin(
        history: &'h [(Meta, Event)],
        at: usize,
        start: &Start,
        ticket: &Ticket,
        versions: &'h Versions,
    ) -> Self {
        let (policy, calendar) = (versions.policy(&start.policy), versions.calendar(&start.calendar));
        let brought_about = cause(history, at);
        let explained = ClockExplained {
            start: start.clone(),
            target_from: TargetFrom::Unknown,
            policy_known: policy.is_some(),
            calendar_known: calendar.is_some(),
            steps: Vec::new(),
            decided_by: None,
            stored: Status::Running,
            recomputed: Status::Running,
            differences: Vec::new(),
        };
        let mut reading = Self {
            history,
            versions,
            explained,
            target: start.target,
            pauses: Vec::new(),
            calendar: start.calendar.clone(),
            due: start.due,
            warn_at: start.warn_at,
        };
        match policy {
            Some(policy) => reading.set_by(policy, calendar, ticket, brought_about),
            None => reading.differ(format!("policy {} is not here: its entry cannot be read", start.policy)),
        }
        let again =
            calendar.map(|calendar| deadline(start.target, start.started_at, start.warn_percent, calendar));
        match again {
            Some(again) => {
                reading.same_due("it started with", start.due, start.warn_at, again);
            }
            None => {
                reading
                    .differ(format!("calendar {} is not here: no day can be counted again", start.calendar));
            }
        }
        reading.state(at, brought_about, again.map(|again| again.due));
        let recorded_at = history[at].0.recorded_at;
        if ticket.pause.as_ref().is_some_and(|pause| start.pauses.contains(&pause.code)) {
            reading.explained.recomputed = Status::Paused { since: recorded_at };
        }
        if let Some(already) = start.kind.row().already.and_then(|already| already(ticket, start.started_at))
        {
            reading.met(at, already);
        }
        reading
    }

    /// Compares what was stored at the start with the policy's entry.
    fn set_by(
        &mut self,
        policy: &policy::Policy,
        calendar: Option<&Calendar>,
        ticket: &Ticket,
        cause: Option<usize>,
    ) {
        let start = self.explained.start.clone();
        let entry = clock::entry_of(policy, ticket, start.kind, start.subject);
        let promised = ticket.intake.install.and_then(|order| order.promised_on);
        let outside = match start.subject {
            Subject::Request(request) => ticket.request(request).and_then(|request| request.outside.due),
            Subject::Ticket | Subject::Stage(_) | Subject::Order(_) => None,
        };
        let caused_by = cause.map(|cause| &self.history[cause].1);
        let merged = matches!(caused_by, Some(Event::Intake(intake::Event::MergeReceived { .. })));
        let policys = entry.map(|entry| entry.target);
        self.explained.target_from = match (start.kind, start.target) {
            (_, target) if policys == Some(target) => TargetFrom::Policy,
            (ClockKind::Activation, Target::Day(day)) if promised == Some(day) => TargetFrom::Promise,
            (ClockKind::Outside, Target::Moment(due)) if outside == Some(due) => TargetFrom::OutsideBody,
            (ClockKind::Appealable, Target::Moment(due)) if due == start.started_at => TargetFrom::AtOnce,
            (_, Target::Moment(_)) if merged => TargetFrom::Merge,
            (ClockKind::Order, Target::Moment(_)) => TargetFrom::Dispatch,
            _ => TargetFrom::Unknown,
        };
        if self.explained.target_from == TargetFrom::Unknown {
            let policys = policys.map_or_else(|| "none".to_owned(), |target| target.to_string());
            self.differ(format!("its target is {}, and the policy's is {policys}", start.target));
        }
        if let (TargetFrom::Dispatch, Some(entry), Some(calendar)) =
            (self.explained.target_from, entry, calendar)
        {
            let latest = deadline(entry.target, start.started_at, entry.warn_percent, calendar).due;
            if start.due > latest {
                self.differ(format!("it is due {}, later than the policy's {latest}", start.due));
            }
        }
        let percent = entry.map_or(calendar::WARN_PERCENT, |entry| entry.warn_percent);
        if start.warn_percent != percent {
            self.differ(format!("it warns after {} %, and the policy after {percent} %", start.warn_percent));
        }
        if start.pauses != entry.map(|entry| entry.pauses.clone()).unwrap_or_default() {
            self.differ("the pause codes it honours are not the policy's".to_owned());
        }
        if start.article != entry.and_then(|entry| entry.article.clone()) {
            self.differ("the article it rests on is not the policy's".to_owned());
        }
    }

    /// Reads the next event; `was` is the stage before it, `ticket` what it led to.
    fn follow(&mut self, at: usize, was: Option<Stage>, ticket: &Ticket) {
        let (meta, event) = &self.history[at];
        // A year that is published makes a deadline certain before anything else happens by itself.
        let made_certain = matches!(event, Event::Clock(clock::Event::Restated { clock, calendar: Some(_), .. })
            if *clock == self.explained.start.clock);
        if self.explained.recomputed == Status::Running && meta.recorded_at > self.due && !made_certain {
            self.explained.recomputed = Status::Breached { withdrawn: false };
        }
        match event {
            Event::Clock(event) => self.follow_clock(at, event, meta),
            Event::Intake(intake::Event::FactCorrected { fact, occurred_at, .. }) => {
                self.corrected(at, fact, *occurred_at, ticket);
            }
            _ => {}
        }
        let start = self.explained.start.clone();
        let latest = ticket.clock(start.kind, start.subject).map(|clock| clock.start.clock);
        for signal in signals(event, ticket, was, meta.recorded_at) {
            if latest == Some(start.clock) && signal.meets(&start) {
                self.met(at, signal.at);
            }
            let live = matches!(self.explained.recomputed, Status::Running | Status::Paused { .. });
            if live && signal.cancels(&start) {
                self.explained.recomputed = Status::Cancelled;
                self.explained.decided_by = Some(at);
            }
        }
    }

    /// What it waits for happened at a moment.
    fn met(&mut self, at: usize, moment: Timestamp) {
        let met = match self.explained.recomputed {
            // What stands still is not late.
            Status::Paused { .. } => Status::Met { at: moment },
            Status::Running if moment <= self.due => Status::Met { at: moment },
            Status::Running => Status::Breached { withdrawn: false },
            Status::Breached { withdrawn: false } if moment <= self.due => {
                Status::Breached { withdrawn: true }
            }
            Status::Breached { .. } | Status::Met { .. } | Status::Cancelled => return,
        };
        self.explained.recomputed = met;
        self.explained.decided_by = Some(at);
    }

    /// A fact that was put right may prove that it was on time after all.
    fn corrected(&mut self, at: usize, fact: &Fact, occurred_at: Timestamp, ticket: &Ticket) {
        if self.explained.recomputed != (Status::Breached { withdrawn: false }) {
            return;
        }
        let start = &self.explained.start;
        let row = start.kind.row();
        let proves = Trigger::of_fact(fact).is_some_and(|trigger| row.met_by.contains(&trigger));
        let in_time = proves && (start.started_at..=self.due).contains(&occurred_at);
        let paid_later = || {
            let latest = ticket.clock(start.kind, start.subject).map(|clock| clock.start.clock);
            let payment = matches!(fact, Fact::Fault(fault::Fact::ArrearsPaid { .. }))
                && start.kind == ClockKind::Restore
                && latest == Some(start.clock)
                && !matches!(self.target, Target::Moment(_));
            let calendar = self.versions.calendar(&self.calendar).filter(|_| payment)?;
            let again =
                calendar::resume(self.target, occurred_at, start.warn_percent, &self.pauses, calendar);
            ticket.fault.service_up.filter(|(up, _)| *up <= again.due)
        };
        if in_time || paid_later().is_some() {
            self.explained.recomputed = Status::Breached { withdrawn: true };
            self.explained.decided_by = Some(at);
        }
    }

    fn follow_clock(&mut self, at: usize, event: &clock::Event, meta: &Meta) {
        let number = self.explained.start.clock;
        match event {
            clock::Event::TicketPaused { code, .. }
                if self.explained.recomputed == Status::Running
                    && self.explained.start.pauses.contains(code) =>
            {
                self.explained.recomputed = Status::Paused { since: meta.recorded_at };
            }
            clock::Event::TicketResumed { at: resumed_at, .. } => {
                if let Status::Paused { since } = self.explained.recomputed {
                    self.pauses.push(Pause { paused_at: since, resumed_at: *resumed_at });
                    self.explained.recomputed = Status::Running;
                    if let Some(again) = self.again() {
                        (self.due, self.warn_at) = (again.due, again.warn_at);
                    }
                }
            }
            clock::Event::Resumed { clock, due, warn_at, .. } if *clock == number => {
                let again = self.again();
                if let Some(again) = again {
                    self.same_due("it went on with", *due, *warn_at, again);
                }
                (self.due, self.warn_at) = (*due, *warn_at);
                self.state(at, cause(self.history, at), again.map(|again| again.due));
            }
            clock::Event::Restated { clock, due, warn_at, calendar, .. } if *clock == number => {
                self.restated(at, *due, *warn_at, calendar.as_deref());
            }
            clock::Event::Warned { clock, at: moment } if *clock == number => {
                if *moment != self.warn_at {
                    self.differ(format!("it warned at {moment}, and the warning falls at {}", self.warn_at));
                }
                self.state(at, None, Some(self.due));
            }
            clock::Event::Breached { clock, due } if *clock == number => {
                if *due != self.due {
                    self.differ(format!("it breached with the moment {due}, and was due {}", self.due));
                }
                self.state(at, None, Some(self.due));
            }
            clock::Event::Cancelled { clock }
                if *clock == number && self.explained.start.kind == ClockKind::Outside =>
            {
                // An earlier version let every end cancel it; what was stored so stands.
                let live = matches!(self.explained.recomputed, Status::Running | Status::Paused { .. });
                if live && self.ended_before(at) {
                    self.explained.recomputed = Status::Cancelled;
                    self.explained.decided_by = cause(self.history, at);
                }
                self.state(at, cause(self.history, at), Some(self.due));
            }
            clock::Event::Met { clock, .. }
            | clock::Event::BreachWithdrawn { clock, .. }
            | clock::Event::Cancelled { clock }
            | clock::Event::Paused { clock }
            | clock::Event::Escalated { clock, .. }
            | clock::Event::EscalationProposed { clock, .. }
                if *clock == number =>
            {
                self.state(at, cause(self.history, at), Some(self.due));
            }
            _ => {}
        }
    }

    /// The command that an event belongs to withdrew or rejected the ticket.
    fn ended_before(&self, at: usize) -> bool {
        let command = self.history[at].0.command;
        let same = self.history[..at].iter().rev().take_while(|(meta, _)| meta.command == command);
        same.into_iter().any(|(_, event)| {
            use chain::Event::{Rejected, Withdrawn};
            matches!(event, Event::Chain(Withdrawn { .. } | Rejected { .. }))
        })
    }

    /// A new due moment: under a published year it follows from the same target, else whoever set it is its cause.
    fn restated(&mut self, at: usize, due: Timestamp, warn_at: Timestamp, calendar: Option<&str>) {
        let start = &self.explained.start;
        let mut recomputed = Some(due);
        if let Some(version) = calendar {
            version.clone_into(&mut self.calendar);
            let again = self.again();
            recomputed = again.map(|again| again.due.max(self.due));
            if recomputed.is_some_and(|again| again != due) {
                let again = recomputed.unwrap_or(due);
                self.differ(format!("it was restated to {due}, and calendar {version} gives {again}"));
            }
        } else {
            let span = due.duration_since(start.started_at).as_secs().max(0);
            let share = span * i64::from(start.warn_percent.min(100)) / 100;
            let again = Timestamp::from_second(start.started_at.as_second() + share).unwrap_or(due).min(due);
            if again != warn_at {
                self.differ(format!("it was restated to warn at {warn_at}, and its share falls at {again}"));
            }
            self.target = Target::Moment(due);
            self.pauses.clear();
        }
        (self.due, self.warn_at) = (due, warn_at);
        self.state(at, cause(self.history, at), recomputed);
    }

    /// The deadline as it follows from target, start and pauses; none where the calendar is not here.
    fn again(&self) -> Option<calendar::Deadline> {
        let calendar = self.versions.calendar(&self.calendar)?;
        let start = &self.explained.start;
        Some(calendar::resume(self.target, start.started_at, start.warn_percent, &self.pauses, calendar))
    }

    fn same_due(&mut self, what: &str, due: Timestamp, warn_at: Timestamp, again: calendar::Deadline) {
        if (again.due, again.warn_at) != (due, warn_at) {
            let calendar::Deadline { due: again, warn_at: again_warn, .. } = again;
            self.differ(format!("{what} {due}, warning {warn_at}; recomputed {again}, warning {again_warn}"));
        }
    }

    fn state(&mut self, event: usize, cause: Option<usize>, recomputed_due: Option<Timestamp>) {
        self.explained.steps.push(Stated { event, cause, due: self.due, recomputed_due });
    }

    fn differ(&mut self, difference: String) {
        self.explained.differences.push(difference);
    }

    fn end(mut self, stored: Status) -> ClockExplained {
        self.explained.stored = stored;
        let recomputed = self.explained.recomputed;
        if stored != recomputed {
            self.differ(format!("it is {}, and must be {}", said(&stored), said(&recomputed)));
        }
        self.explained
    }
}

fn said(status: &Status) -> String {
    match status {
        Status::Running => "running".to_owned(),
        Status::Paused { since } => format!("paused since {since}"),
        Status::Met { at } => format!("met at {at}"),
        Status::Breached { withdrawn: false } => "breached".to_owned(),
        Status::Breached { withdrawn: true } => "breached, and the breach withdrawn".to_owned(),
        Status::Cancelled => "cancelled".to_owned(),
    }
}

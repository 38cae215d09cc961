//! One ticket played by hand: people, texts and a clock that a test moves. Whoever asks for what cannot be fails the test.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a story that cannot be played fails its test"
)]

use std::sync::Arc;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::walker;
use duban_aggregates::actor::Actor;
use duban_aggregates::area::Area;
use duban_aggregates::calendar::{self, Calendar, SHANGHAI};
use duban_aggregates::ids::{CommandId, CustomerId, EventId, OrderNo, RequestNo, TicketId};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::Rejection;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::{self, Cause, Judgement, NamedUnit};
use duban_aggregates::ticket::clock::{self, Subject};
use duban_aggregates::ticket::intake::{
    Attachment, Command as Take, Customer, FirstOwner, Intake, OutsideRequest, Service,
};
use duban_aggregates::ticket::order::{self, NewOrder};
use duban_aggregates::ticket::verdict::Finding;
use duban_aggregates::ticket::{self, Command, Event, Ticket, fault, gate, install};
use duban_aggregates::words::{
    Answer, Channel, Gate, Kind, Milestone, Part, Product, Role, Segment, Severity, Stage, Tier,
};

/// The one customer.
pub const CUSTOMER: CustomerId = CustomerId(Uuid::from_u128(7));

/// A text, sealed so that nobody can open it.
pub fn s(text: &str) -> Sealed {
    Sealed { customer: CUSTOMER, nonce: [0; 12], ciphertext: [text.as_bytes(), &[0; 16]].concat() }
}

/// A recording.
pub fn rec() -> Attachment {
    Attachment { reference: "rec-1".into(), sha256: [1; 32] }
}

/// Person number 1 of a role.
pub fn a(role: Role) -> Actor {
    walker::actor(role, 1)
}

/// Person number 2 of a role.
pub fn other(role: Role) -> Actor {
    walker::actor(role, 2)
}

/// A member of a unit.
pub fn of(unit: &str) -> Actor {
    Actor { id: format!("{unit}-1").as_str().into(), role: Role::Unit, unit: unit.into() }
}

/// Shanghai time in March 2026, a month without holidays; the 2nd is a Monday.
pub fn march(day: i8, hour: i8, minute: i8) -> Timestamp {
    when(2026, 3, day, hour, minute)
}

/// Shanghai time.
pub fn when(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> Timestamp {
    SHANGHAI.to_timestamp(date(year, month, day).at(hour, minute, 0, 0)).unwrap()
}

/// An office, and the one ticket that it works on.
#[derive(Clone)]
pub struct Office {
    /// The ticket, once it was taken in.
    pub ticket: Option<Ticket>,
    /// Its events.
    pub history: Vec<(Meta, Event)>,
    /// The office's time.
    pub at: Timestamp,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The calendar in force.
    pub calendar: Arc<Calendar>,
    /// How many commands were given.
    pub commands: u128,
}

/// A case as it comes in, of a standard customer in a city.
pub fn intake(kind: Kind, at: Timestamp) -> Intake {
    Intake {
        ticket: TicketId(Uuid::from_u128(1)),
        kind,
        channel: match kind {
            Kind::Complaint => Channel::Line180,
            Kind::Fault => Channel::Desk112,
            Kind::Install => Channel::Counter,
        },
        category: match kind {
            Kind::Complaint => "complaint.billing.dispute",
            Kind::Fault => "fault.broadband.down",
            Kind::Install => "install.broadband.new",
        }
        .into(),
        severity: Severity::Major,
        description: s("什么也用不了"),
        remedy: None,
        happened_at: at,
        taken_in_at: at,
        first_owner: FirstOwner { employee: "desk-01".into(), department: "desk".into() },
        customer: Some(Customer {
            id: CUSTOMER,
            name: s("王芳"),
            phone: s("10012345678"),
            phone_hash: [2; 16],
            address: None,
            tier: Tier::Standard,
            segment: Segment::Public,
        }),
        service: Some(Service {
            number: s("10012345678"),
            number_hash: [3; 16],
            product: Product::Broadband,
            monthly_rent_fen: 9_900,
        }),
        area: Area {
            province: "henan".into(), city: "郑州".into(), district: "金水区".into(), rural: false
        },
        requests: Vec::new(),
        attachments: Vec::new(),
        mass_outage: false,
        linked: None,
        install: (kind == Kind::Install).then_some(install::Order { fees_fen: 10_000, promised_on: None }),
        source: None,
        reporter: None,
    }
}

/// An outside body's request.
pub fn outside(number: &str, due: Option<Timestamp>) -> OutsideRequest {
    OutsideRequest {
        request: RequestNo(1),
        body: Channel::Consumer12315,
        number: number.into(),
        handed_over_at: march(2, 9, 0),
        due,
    }
}

/// Takes a case in.
pub fn take_in(intake: Intake) -> Command {
    Take::TakeIn { intake: Box::new(intake), open_twin: None, reopenable_twin: None }.into()
}

impl Office {
    /// Monday, 2 March 2026, 09:00, and no ticket yet.
    pub fn empty() -> Self {
        Self {
            ticket: None,
            history: Vec::new(),
            at: march(2, 9, 0),
            policy: Policy::cn_national(),
            calendar: Calendar::cn(),
            commands: 0,
        }
    }

    /// The ticket was taken in.
    pub fn opened(intake: Intake) -> Self {
        Self::empty().then(a(Role::Desk), take_in(intake))
    }

    /// A ticket of this kind was taken in.
    pub fn new(kind: Kind) -> Self {
        Self::opened(intake(kind, march(2, 9, 0)))
    }

    /// A ticket that has come as far as this stage, without any fault of ours; the lead is `line-crew`.
    pub fn at_stage(kind: Kind, stage: Stage) -> Self {
        Stage::ALL.into_iter().filter(|passed| *passed < stage).fold(Self::new(kind), Self::pass)
    }

    /// A ticket that was closed without any fault of ours.
    pub fn closed(kind: Kind) -> Self {
        Self::at_stage(kind, Stage::Close).pass(Stage::Close)
    }

    /// Passes the stage it is at, well.
    #[track_caller]
    pub fn pass(self, stage: Stage) -> Self {
        let kind = self.t().kind();
        match stage {
            Stage::Investigate if kind == Kind::Install => {
                let reached = [Milestone::Accepted, Milestone::Surveyed, Milestone::ResourcesAssigned];
                let surveyed =
                    reached.into_iter().fold(self, |office, step| office.then(a(Role::Desk), reach(step)));
                surveyed.then(a(Role::Investigation), investigate(Cause::NewOrder, &[]))
            }
            Stage::Investigate => {
                self.then(a(Role::Investigation), investigate(Cause::Known(s("光缆被挖断")), &[]))
            }
            Stage::Dispatch => self.then(a(Role::Dispatch), dispatch(&[("line-crew", Part::Lead)])),
            Stage::Reply => {
                let lead = self.t().lead().unwrap().clone();
                let unit = of(lead.unit.as_str());
                let office = self.then(unit.clone(), accept(lead.number.0)).proved();
                office.then(unit, reply(lead.number.0))
            }
            Stage::Feedback => self.then(a(Role::Desk), feedback(Answer::Satisfied)),
            Stage::Inspect => {
                let office = if gate::inspectable(self.t(), Gate::ServiceImproved).is_empty() {
                    self
                } else {
                    let reason = s("一次性故障");
                    self.then(a(Role::Dispatch), gate::Command::NoMeasureNeeded { reason }.into())
                };
                office.then(a(Role::Inspection), inspect(&[]))
            }
            Stage::Report => self.then(a(Role::Reporting), report()),
            Stage::Assess => {
                let units: Vec<_> = self.t().involved().into_iter().collect();
                let blameless: Vec<_> = units.iter().map(|unit| (unit.as_str(), blameless())).collect();
                self.then(a(Role::Assessment), assess(&blameless))
            }
            Stage::Close => self.then(a(Role::Assessment), chain::Command::Close.into()),
        }
    }

    /// Service up with a passing test, or activated, where the kind has that.
    pub fn proved(self) -> Self {
        match self.t().kind() {
            Kind::Complaint => self,
            Kind::Fault if self.t().fault.missing().is_empty() => self,
            Kind::Fault => {
                self.then(of("line-crew"), fact(fault::Fact::ServiceUp)).then(of("line-crew"), test(true))
            }
            Kind::Install => self
                .then(of("line-crew"), reach(Milestone::Visited))
                .then(of("line-crew"), reach(Milestone::Activated)),
        }
    }

    /// The ticket.
    pub fn t(&self) -> &Ticket {
        self.ticket.as_ref().expect("a ticket")
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.t().stage
    }

    /// Some minutes later.
    pub fn wait_minutes(mut self, minutes: i64) -> Self {
        self.at = self.at.saturating_add(SignedDuration::from_mins(minutes)).unwrap();
        self
    }

    /// At a later moment.
    pub fn until(mut self, at: Timestamp) -> Self {
        assert!(at >= self.at, "time runs forward");
        self.at = at;
        self
    }

    /// What a command would do.
    ///
    /// # Errors
    /// Its refusal.
    pub fn try_it(&self, actor: &Actor, command: Command) -> Result<Vec<(Meta, Event)>, Rejection> {
        let id = CommandId(Uuid::from_u128(self.commands + 1));
        let context = Context {
            at: self.at,
            actor: actor.clone(),
            command: id,
            fingerprint: [9; 16],
            policy: &self.policy,
            calendar: &self.calendar,
        };
        let stream = self.ticket.as_ref().map_or(TicketId(Uuid::from_u128(1)), Ticket::id);
        let first = self.ticket.as_ref().map_or(0, |ticket| ticket.revision + 1);
        let events = ticket::decide(self.ticket.as_ref(), &context, command)?;
        let numbered = (0..).zip(first..).zip(events);
        let recorded = numbered.map(|((index, revision), event)| {
            let meta = Meta {
                id: ticket::event_id(stream, id, index),
                revision,
                recorded_at: self.at,
                occurred_at: event.occurred_at().unwrap_or(self.at),
                actor: actor.clone(),
                command: id,
                fingerprint: [9; 16],
            };
            (meta, event)
        });
        Ok(recorded.collect())
    }

    /// The command succeeds and changes something; a minute passes.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "stories read better without references")]
    pub fn then(mut self, actor: Actor, command: Command) -> Self {
        match self.try_it(&actor, command.clone()) {
            Ok(events) if events.is_empty() => panic!("{command:?} changed nothing"),
            Ok(events) => self.record(events),
            Err(refused) => panic!("{command:?} was refused: {refused:?}"),
        }
        self.wait_minutes(1)
    }

    /// Appends events.
    pub fn record(&mut self, events: Vec<(Meta, Event)>) {
        for (meta, event) in events {
            self.ticket = ticket::evolve(self.ticket.take(), &event, &meta);
            self.history.push((meta, event));
        }
        self.commands += 1;
    }

    /// The event of the last command that has this name.
    #[track_caller]
    pub fn event(&self, name: &str) -> EventId {
        let found = self.history.iter().rev().find(|(_, event)| self.name(event) == name);
        found.unwrap_or_else(|| panic!("no event {name}")).0.id
    }

    /// Every event's name, from the first.
    pub fn names(&self) -> Vec<String> {
        self.history.iter().map(|(_, event)| self.name(event)).collect()
    }

    /// An event's name; a clock's also says which clock.
    pub fn name(&self, event: &Event) -> String {
        let text = match event {
            Event::Intake(event) => format!("{event:?}"),
            Event::Contact(event) => format!("{event:?}"),
            Event::Chain(event) => format!("{event:?}"),
            Event::Order(event) => format!("{event:?}"),
            Event::Clock(event) => format!("{event:?}"),
            Event::Gate(event) => format!("{event:?}"),
            Event::Verdict(event) => format!("{event:?}"),
            Event::Money(event) => format!("{event:?}"),
            Event::Fault(event) => format!("{event:?}"),
            Event::Install(event) => format!("{event:?}"),
        };
        let name: String = text.chars().take_while(|letter| letter.is_alphanumeric()).collect();
        let clock = match event {
            Event::Clock(clock::Event::Started(start)) => start.clock,
            Event::Clock(
                clock::Event::Warned { clock, .. }
                | clock::Event::Met { clock, .. }
                | clock::Event::Breached { clock, .. }
                | clock::Event::BreachWithdrawn { clock, .. }
                | clock::Event::Cancelled { clock }
                | clock::Event::Paused { clock }
                | clock::Event::Resumed { clock, .. }
                | clock::Event::Restated { clock, .. }
                | clock::Event::Escalated { clock, .. },
            ) => *clock,
            _ => return name,
        };
        let start = &self.t().clocks[usize::try_from(clock.0).unwrap() - 1].start;
        let stage = match start.subject {
            Subject::Stage(stage) => format!(" {}", stage.name()),
            _ => String::new(),
        };
        let rung = match event {
            Event::Clock(clock::Event::Escalated { rung, .. }) => format!(" {rung:?}").to_lowercase(),
            _ => String::new(),
        };
        format!("{} {}{stage}{rung}", name.to_lowercase(), start.kind.name())
    }
}

/// Given an office, when somebody asks for something, then these events happen (none where it already holds), or it is
/// refused.
#[track_caller]
pub fn check(given: &Office, when: (Actor, Command), then: Result<&[&str], Rejection>) -> Office {
    let mut office = given.clone();
    match (given.try_it(&when.0, when.1), then) {
        (Ok(events), Ok(names)) => {
            let before = office.history.len();
            office.record(events);
            assert_eq!(office.names()[before..], *names);
        }
        (Err(refused), Err(expected)) => assert_eq!(refused, expected),
        (Ok(events), Err(expected)) => panic!("{expected:?} expected, but: {events:?}"),
        (Err(refused), Ok(_)) => panic!("refused: {refused:?}"),
    }
    office.wait_minutes(1)
}

/// Units named as involved.
pub fn named(units: &[&str]) -> Vec<NamedUnit> {
    units.iter().map(|unit| NamedUnit { unit: (*unit).into(), reason: s("标志缺失") }).collect()
}

/// Records findings.
pub fn investigate(cause: Cause, units: &[&str]) -> Command {
    chain::Command::Investigate { cause, facts: s("现场查勘"), units: named(units) }.into()
}

/// An order without a deadline of its own.
pub fn new_order(unit: &str, part: Part) -> NewOrder {
    NewOrder { part, unit: unit.into(), task: s("修复"), due: None }
}

/// Sends orders out.
pub fn dispatch(orders: &[(&str, Part)]) -> Command {
    let orders = orders.iter().map(|(unit, part)| new_order(unit, *part)).collect();
    chain::Command::Dispatch { orders }.into()
}

/// Accepts an order.
pub fn accept(order: u32) -> Command {
    order::Command::Accept { order: OrderNo(order) }.into()
}

/// Replies to an order.
pub fn reply(order: u32) -> Command {
    order::Command::Reply {
        order: OrderNo(order),
        resolution: s("已接通"),
        cause: None,
        measures: Vec::new(),
        done_by: vec!["line-crew-1".into()],
        not_provided: None,
    }
    .into()
}

/// Records the customer's answer.
pub fn feedback(answer: Answer) -> Command {
    chain::Command::RecordFeedback {
        answer,
        words: s("用户答复"),
        recording: Some(rec()),
        investigate_again: false,
    }
    .into()
}

/// Judges gates 1 to 3, all passed but these.
pub fn inspect(failed: &[Gate]) -> Command {
    chain::Command::Inspect { judgements: judgements(failed), units: Vec::new() }.into()
}

/// Judges gates 1 to 3, all passed but these.
pub fn judgements(failed: &[Gate]) -> Vec<Judgement> {
    let gates = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved];
    let judge = |gate| Judgement { gate, passed: !failed.contains(&gate), evidence: s("检查记录") };
    gates.into_iter().map(judge).collect()
}

/// Reports.
pub fn report() -> Command {
    chain::Command::Report { level: "city".into(), summary: s("处理情况"), reference: "sb-1".into() }.into()
}

/// Gives verdicts.
pub fn assess(verdicts: &[(&str, Finding)]) -> Command {
    let verdicts = verdicts.iter().map(|(unit, finding)| ((*unit).into(), finding.clone())).collect();
    chain::Command::Assess { verdicts, confirmed: Vec::new() }.into()
}

/// Nobody is at fault.
pub fn blameless() -> Finding {
    Finding::NotAtFault { reason: s("无责任") }
}

/// Somebody is at fault, because of the intake.
pub fn at_fault(points: u32, penalty_fen: u64) -> Finding {
    // The intake, which every office's first command records.
    let because = vec![ticket::event_id(TicketId(Uuid::from_u128(1)), CommandId(Uuid::from_u128(1)), 0)];
    Finding::AtFault { rule: "第七条".into(), points, penalty_fen, because, reason: s("未按时") }
}

/// Records a fact about a fault.
pub fn fact(fact: fault::Fact) -> Command {
    fault::Command::RecordFact { fact, occurred_at: None, evidence: None }.into()
}

/// Records a line test.
pub fn test(passed: bool) -> Command {
    fact(fault::Fact::LineTested { passed, reference: "112-1".into(), result: s("环阻正常") })
}

/// Reaches a milestone.
pub fn reach(milestone: Milestone) -> Command {
    let fact = install::Fact::MilestoneReached { milestone };
    install::Command::RecordFact { fact, occurred_at: None, evidence: None }.into()
}

/// The timer.
pub fn tick() -> (Actor, Command) {
    let due = clock::DueStep { from: when(2026, 3, 2, 9, 0), step: clock::Step::Resume };
    (a(Role::Timer), clock::Command::Tick(due).into())
}

/// The office's day.
pub fn day(office: &Office) -> jiff::civil::Date {
    calendar::local_date(office.at)
}

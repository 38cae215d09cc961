//! Anything, asked by anybody.

use jiff::Timestamp;
use uuid::Uuid;

use crate::scripted::{CUSTOMER, Office, blameless, inspect, judgements, named, new_order, rec, s};
use crate::walker::{Prng, Proposal, Walker, actor, after};
use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::local_date;
use duban_aggregates::ids::{
    AppointmentNo, ClockNo, DueNo, EscalationNo, EventId, MeasureNo, NoticeId, OrderNo, ProblemId, RequestNo,
    TicketId, VerdictNo,
};
use duban_aggregates::meta::Meta;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::{self, Cause, MergeEvidence};
use duban_aggregates::ticket::intake::{self, Fact, FirstOwner, TakenOver};
use duban_aggregates::ticket::order::{self, MeasurePlan, NewOrder};
use duban_aggregates::ticket::state::Ticket;
use duban_aggregates::ticket::verdict::{self, Finding};
use duban_aggregates::ticket::{Command, Event, clock, contact, fault, gate, install, money};
use duban_aggregates::words::{
    Answer, Channel, ClockKind, ContactReason, DueReason, Gate, Ground, Milestone, NotProvidedGround,
    Outcome, Part, PauseCode, ReceiptKind, ReopenCause, Role, Rung, Settlement, Stage,
};

const UNITS: [&str; 7] =
    ["line-crew", "access-network", "transmission", "billing", "sales", "desk", "nowhere"];

/// One ticket's life: mostly what the departments would do, and so many times of a hundred anything, by anybody.
#[must_use]
pub fn history(seed: u64, nonsense_percent: u32) -> Vec<(Meta, Event)> {
    const COMMANDS: u32 = 160;
    let mut prng = Prng::new(seed ^ 0x5EED);
    let mut walker = Walker::new(seed);
    let mut office = Office::empty();
    for _ in 0..COMMANDS {
        let proposed = walker.propose(office.ticket.as_ref(), CUSTOMER, &s);
        let nonsense =
            office.ticket.as_ref().filter(|_| proposed.is_none() || prng.percent(nonsense_percent));
        let Proposal { at, actor, command } = match (nonsense, proposed) {
            (Some(ticket), proposed) => {
                let at = proposed.map_or(ticket.last_recorded_at, |proposal| proposal.at);
                propose(&mut prng, ticket, at)
            }
            (None, Some(proposal)) => proposal,
            (None, None) => break,
        };
        office.at = at;
        if let Ok(events) = office.try_it(&actor, command) {
            office.record(events);
        }
    }
    office.history
}

/// Somebody asks for something, mostly out of place.
pub fn propose(prng: &mut Prng, ticket: &Ticket, at: Timestamp) -> Proposal {
    let actor = anybody(prng, ticket);
    Proposal { at, actor, command: anything(prng, ticket, at) }
}

fn anybody(prng: &mut Prng, ticket: &Ticket) -> Actor {
    let role = *prng.pick(&Role::ALL.each_ref());
    let mut actor = actor(role, prng.below(4));
    if role == Role::Unit {
        actor.unit = prng.pick(&UNITS).into();
        if let Some(order) = ticket.orders.last().filter(|_| prng.percent(70)) {
            actor.unit = order.unit.clone();
        }
    }
    actor
}

fn text(prng: &mut Prng) -> Sealed {
    s(if prng.percent(5) { "" } else { "说明" })
}

fn moment(prng: &mut Prng, at: Timestamp) -> Timestamp {
    after(at, i64::from(prng.below(800_000)) - 400_000)
}

fn maybe(prng: &mut Prng, at: Timestamp) -> Option<Timestamp> {
    prng.percent(50).then(|| moment(prng, at))
}

fn new(prng: &mut Prng, at: Timestamp) -> NewOrder {
    let part = if prng.percent(50) { Part::Lead } else { Part::Assist };
    NewOrder { due: maybe(prng, at), ..new_order(prng.pick(&UNITS), part) }
}

fn attempt_orders(prng: &mut Prng, at: Timestamp) -> Vec<NewOrder> {
    (0..=prng.below(3)).map(|_| new(prng, at)).collect()
}

fn anything(prng: &mut Prng, ticket: &Ticket, at: Timestamp) -> Command {
    match prng.below(10) {
        0 | 1 => around(prng, ticket, at),
        2 => contacts(prng, at).into(),
        3 => chain(prng, ticket, at).into(),
        4 => ends(prng).into(),
        5 | 6 => orders(prng, at).into(),
        7 => clocks(prng, at).into(),
        8 => facts(prng, at),
        _ => judging(prng, ticket, at),
    }
}

fn around(prng: &mut Prng, ticket: &Ticket, at: Timestamp) -> Command {
    match prng.below(9) {
        0 => {
            let intake = ticket.intake.clone();
            intake::Command::TakeIn { intake, open_twin: None, reopenable_twin: None }.into()
        }
        1 => intake::Command::AddOutsideRequest {
            body: *prng.pick(&[&Channel::Consumer12315, &Channel::Media, &Channel::Web]),
            number: prng.below(3).to_string(),
            handed_over_at: maybe(prng, at),
            due: maybe(prng, at),
        }
        .into(),
        2 => {
            let to = FirstOwner { employee: "desk-02".into(), department: "desk".into() };
            intake::Command::ChangeFirstOwner { to, reason: text(prng) }.into()
        }
        3 | 4 => {
            let facts: Vec<EventId> = ticket.facts.keys().copied().collect();
            let corrects = *prng.pick(&facts.iter().collect::<Vec<_>>());
            let fact = match prng.below(5) {
                0 => Fact::Category { category: "fault.leased_line.down".into() },
                1 => Fact::Category { category: "complaint.other".into() },
                2 => Fact::Fault(fault_fact(prng)),
                _ => Fact::Install(install_fact(prng)),
            };
            let occurred_at = maybe(prng, at);
            intake::Command::CorrectFact { corrects, fact, occurred_at, reason: text(prng) }.into()
        }
        5 => {
            let clock = *prng.pick(&ClockKind::ALL.each_ref());
            let deadlines = vec![TakenOver { clock, due: moment(prng, at) }];
            let from = TicketId(Uuid::from_u128(u128::from(prng.below(3))));
            intake::Command::ReceiveMerge { from, requests: Vec::new(), deadlines }.into()
        }
        6 => intake::Command::JoinProblem { problem: ProblemId(Uuid::from_u128(1)), open: true }.into(),
        7 => intake::Command::LinkNotice { notice: NoticeId(Uuid::from_u128(1)) }.into(),
        _ => intake::Command::FileFinding { finding: text(prng) }.into(),
    }
}

fn contacts(prng: &mut Prng, at: Timestamp) -> contact::Command {
    match prng.below(4) {
        0 => contact::Command::NotifyDelay {
            expected_at: moment(prng, at),
            reason: text(prng),
            recording: Some(rec()),
            occurred_at: maybe(prng, at),
        },
        1 => contact::Command::ContactCustomer {
            reason: ContactReason::Urge,
            gm_hotline: prng.percent(20),
            said: text(prng),
            answer: None,
            recording: prng.percent(50).then(rec),
            occurred_at: maybe(prng, at),
        },
        _ => contact::Command::RecordReceipt {
            request: RequestNo(prng.below(3)),
            kind: *prng.pick(&[&ReceiptKind::Interim, &ReceiptKind::Final, &ReceiptKind::Supplementary]),
            content: text(prng),
            reference: "hz-1".into(),
        },
    }
}

fn chain(prng: &mut Prng, ticket: &Ticket, at: Timestamp) -> chain::Command {
    let answers = Answer::ALL;
    match prng.below(14) {
        0 => chain::Command::Investigate {
            cause: Cause::NotYetKnown,
            facts: text(prng),
            units: named(&["planning"]),
        },
        1 => chain::Command::Dispatch { orders: attempt_orders(prng, at) },
        2 => chain::Command::DispatchUrgent { facts: text(prng), orders: attempt_orders(prng, at) },
        3 => chain::Command::RecordFeedback {
            answer: *prng.pick(&answers.each_ref()),
            words: text(prng),
            recording: prng.percent(50).then(rec),
            investigate_again: prng.percent(50),
        },
        4 => chain::Command::SignOffUnreachable { reason: text(prng) },
        5 => chain::Command::ConcludeFeedback {
            ground: Ground::Abuse,
            offer: text(prng),
            appeal_explained: rec(),
        },
        6 => {
            let gate = *prng.pick(&Gate::ALL.each_ref());
            chain::Command::Inspect { judgements: judgements(&[gate]), units: named(&["legal"]) }
        }
        10 => chain::Command::SignOffDeclined { reason: text(prng) },
        11 => chain::Command::SignOffNobodyToAsk { reason: text(prng) },
        12 => chain::Command::ConsentToNotProvided { reason: text(prng) },
        13 => {
            let stage = *prng.pick(&[&Stage::Investigate, &Stage::Dispatch, &Stage::Inspect]);
            chain::Command::OpenNextRound { stage, reason: text(prng) }
        }
        7 => chain::Command::Report { level: "city".into(), summary: text(prng), reference: "sb".into() },
        8 => {
            let units = ticket.involved();
            let fault = |unit| (unit, if prng.percent(50) { blameless() } else { harsh(prng, ticket) });
            let confirmed = Vec::new();
            chain::Command::Assess { verdicts: units.into_iter().map(fault).collect(), confirmed }
        }
        _ => chain::Command::SendReplyBack { assists: vec![OrderNo(prng.below(4))], reason: text(prng) },
    }
}

/// Mostly what happened on the ticket, sometimes what did not.
fn because(prng: &mut Prng, ticket: &Ticket) -> Vec<EventId> {
    vec![if prng.percent(80) { ticket.intake_event } else { EventId(prng.uuid()) }]
}

fn harsh(prng: &mut Prng, ticket: &Ticket) -> Finding {
    Finding::AtFault {
        rule: "第一条".into(),
        points: prng.below(3),
        penalty_fen: u64::from(prng.below(2)) * 100,
        because: because(prng, ticket),
        reason: text(prng),
    }
}

fn ends(prng: &mut Prng) -> chain::Command {
    let evidence = MergeEvidence {
        open: prng.percent(60),
        same_customer: prng.percent(60),
        same_service: prng.percent(60),
    };
    let causes = [ReopenCause::CustomerReturned, ReopenCause::DrawFailed, ReopenCause::AuditFinding];
    match prng.below(12) {
        0 if prng.percent(30) => chain::Command::Withdraw { recording: rec(), reason: text(prng) },
        1 => chain::Command::ConsentToRejection { reason: text(prng) },
        2 => chain::Command::Reject { referred_to: text(prng), reason: text(prng), recording: rec() },
        3 if prng.percent(30) => chain::Command::Merge { into: TicketId(Uuid::from_u128(9)), evidence },
        4 | 5 => chain::Command::Close,
        6 => chain::Command::RequestFacts { reason: text(prng) },
        _ => chain::Command::Reopen { because: *prng.pick(&causes.each_ref()), reason: text(prng) },
    }
}

fn orders(prng: &mut Prng, at: Timestamp) -> order::Command {
    use order::Command as Do;
    let order = OrderNo(prng.below(5));
    let reason = text(prng);
    match prng.below(13) {
        0 => Do::Accept { order },
        1 => Do::Reply {
            order,
            resolution: reason,
            cause: None,
            measures: vec![plan(prng, at)],
            done_by: vec![format!("desk-0{}", prng.below(4)).as_str().into()],
            not_provided: prng.percent(20).then(|| not_provided(prng)),
        },
        2 => Do::RequestReturn { order, reason },
        3 => Do::GrantReturn { order, replacement: Some(new(prng, at)) },
        4 => Do::RefuseReturn { order, reason },
        5 => Do::AddAssist { order: new(prng, at) },
        6 => Do::Release { order, reason },
        7 => Do::Recall { order, reason, replacement: Some(new(prng, at)) },
        8 => Do::AskExtension { order, until: moment(prng, at), reason },
        9 => Do::GrantExtension { order, until: maybe(prng, at) },
        10 => Do::RefuseExtension { order, reason },
        11 => {
            let person = format!(" DESK-0{}", prng.below(4)).as_str().into();
            Do::StrikeDoneBy { order, person, reason }
        }
        _ => Do::WaitForAssist { order, assist: OrderNo(prng.below(5)) },
    }
}

fn not_provided(prng: &mut Prng) -> order::NotProvided {
    let ground = *prng.pick(&NotProvidedGround::ALL.each_ref());
    order::NotProvided { ground, evidence: text(prng), offered: text(prng) }
}

fn plan(prng: &mut Prng, at: Timestamp) -> MeasurePlan {
    MeasurePlan { text: text(prng), owner: prng.pick(&UNITS).into(), due_on: local_date(moment(prng, at)) }
}

fn clocks(prng: &mut Prng, at: Timestamp) -> clock::Command {
    let codes = [PauseCode::Customer, PauseCode::ThirdParty, PauseCode::ForceMajeure, PauseCode::Resources];
    let escalation = EscalationNo(prng.below(3));
    match prng.below(9) {
        0..3 => clock::Command::Pause {
            code: *prng.pick(&codes.each_ref()),
            evidence: text(prng),
            attachment: None,
            resume_by: maybe(prng, at),
        },
        3 | 4 => clock::Command::Resume,
        5 => clock::Command::Urge { order: OrderNo(prng.below(4)), words: text(prng) },
        6 => clock::Command::ProposeEscalation { clock: ClockNo(prng.below(12)), rung: Rung::Criticism },
        7 => clock::Command::IssueEscalation { escalation, words: text(prng) },
        _ => clock::Command::DeclineEscalation { escalation, reason: text(prng) },
    }
}

fn fault_fact(prng: &mut Prng) -> fault::Fact {
    match prng.below(5) {
        0 => fault::Fact::ServiceUp,
        1 => fault::Fact::Repaired { work: text(prng) },
        2 => fault::Fact::ArrearsPaid { reference: "pay".into() },
        3 => fault::Fact::TerminalJudged { customers_own: prng.percent(50) },
        _ => {
            fault::Fact::LineTested { passed: prng.percent(50), reference: "112".into(), result: text(prng) }
        }
    }
}

fn install_fact(prng: &mut Prng) -> install::Fact {
    use Milestone::{Accepted, Activated, ResourcesAssigned, Surveyed, Visited};
    if prng.percent(50) {
        let milestones = [Accepted, Surveyed, ResourcesAssigned, Visited, Activated];
        return install::Fact::MilestoneReached { milestone: *prng.pick(&milestones.each_ref()) };
    }
    let outcomes = [Outcome::Kept, Outcome::MissedByOperator, Outcome::MissedByCustomer];
    let appointment = AppointmentNo(prng.below(3));
    install::Fact::AppointmentEnded { appointment, outcome: *prng.pick(&outcomes.each_ref()) }
}

fn facts(prng: &mut Prng, at: Timestamp) -> Command {
    let (occurred_at, evidence) = (maybe(prng, at), prng.percent(60).then(|| text(prng)));
    let from = moment(prng, at);
    let until = after(from, 7_200);
    match prng.below(4) {
        0 => fault::Command::RecordFact { fact: fault_fact(prng), occurred_at, evidence }.into(),
        1 => install::Command::RecordFact { fact: install_fact(prng), occurred_at, evidence }.into(),
        2 => install::Command::MakeAppointment { from, until }.into(),
        _ => {
            let appointment = AppointmentNo(prng.below(3));
            install::Command::Reschedule { appointment, from, until, reason: text(prng) }.into()
        }
    }
}

fn judging(prng: &mut Prng, ticket: &Ticket, at: Timestamp) -> Command {
    let verdict = VerdictNo(prng.below(4));
    let due = DueNo(prng.below(3));
    let measure = MeasureNo(prng.below(3));
    let reason = text(prng);
    match prng.below(20) {
        0 => verdict::Command::Accept { verdict }.into(),
        1 => verdict::Command::Appeal { verdict, grounds: reason }.into(),
        2 => verdict::Command::DecideAppeal { verdict, granted: prng.percent(50), reason }.into(),
        3 => verdict::Command::CarryOutPenalty { verdict, payroll_reference: "gz".into() }.into(),
        4 => verdict::Command::Reverse { verdict, reason }.into(),
        5 => {
            let because = because(prng, ticket);
            money::Command::Accrue { reason: DueReason::Promise, amount_fen: 2_000, because }.into()
        }
        6 => money::Command::Approve { due }.into(),
        7 => money::Command::Settle { due, settlement: Settlement::Paid, reference: "tf".into() }.into(),
        8 => gate::Command::PlanMeasure { plan: plan(prng, at) }.into(),
        9 => gate::Command::CarryOutMeasure { measure, evidence: reason }.into(),
        10 => gate::Command::NoMeasureNeeded { reason }.into(),
        11 => {
            let (problem, action) = (ProblemId(Uuid::from_u128(1)), EventId(prng.uuid()));
            gate::Command::ServeMeasure { problem, action }.into()
        }
        12 => inspect(&[]),
        13 => money::Command::Cancel { due, reason }.into(),
        14 => gate::Command::FailMeasure { measure, finding: reason }.into(),
        15 => {
            let (problem, failure) = (ProblemId(Uuid::from_u128(1)), EventId(prng.uuid()));
            gate::Command::FailServedAction { problem, failure }.into()
        }
        _ => gate::Command::Waive { gate: *prng.pick(&Gate::ALL.each_ref()), reason }.into(),
    }
}

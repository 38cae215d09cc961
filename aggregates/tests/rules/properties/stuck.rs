//! From whatever state, there is a way to an end: a bounded number of lawful commands by people who did no part, against a
//! customer of any mind. A state without one is printed as the shortest list of commands that leads there.

use jiff::{SignedDuration, Timestamp};

use super::{Runner, nonsense, seal, walks};
use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, EmployeeId};
use duban_aggregates::rejection::Missing;
use duban_aggregates::ticket::chain::{self, Cause, Command as Do};
use duban_aggregates::ticket::order::{self, NewOrder, Status};
use duban_aggregates::ticket::state::Ticket;
use duban_aggregates::ticket::{Command, clock, contact, fault, gate, install, money, verdict};
use duban_aggregates::words::{
    Answer, Gate, Ground, Kind, Milestone, NotProvidedGround, Part, ReceiptKind, Role, Settlement, Stage,
};
use duban_sample_tickets::scripted::{blameless, investigate, judgements, rec};
use duban_sample_tickets::walker::{Prng, Proposal, Walker, actor, after, member};

/// More than the longest way: two rounds that end less than satisfied, and what each of them needs.
const STEPS_MAX: usize = 120;

/// What the customer does, whatever is offered.
#[derive(Clone, Copy, Debug)]
enum Customer {
    Satisfied,
    NeverSatisfied,
    Declines,
    NeverReached,
}

/// How the office goes about it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    customer: Customer,
    /// The service can be given.
    provides: bool,
}

const PLANS: [Plan; 5] = [
    Plan { customer: Customer::Satisfied, provides: true },
    Plan { customer: Customer::NeverSatisfied, provides: true },
    Plan { customer: Customer::Declines, provides: false },
    Plan { customer: Customer::NeverReached, provides: true },
    Plan { customer: Customer::NeverSatisfied, provides: false },
];

/// Somebody of a role who did no part; a county has eight of each.
fn fresh(ticket: &Ticket, role: Role) -> Actor {
    let untouched = |id: &EmployeeId| {
        !ticket.people.get(&id.folded()).is_some_and(|part| part.handled() || part.judged)
            && !ticket.verdicts.iter().any(|verdict| verdict.assessor.is_same(id))
            && !ticket.dues.iter().any(|due| due.approved_by.as_ref().is_some_and(|other| other.is_same(id)))
    };
    let people = (10..18).map(|number| actor(role, number));
    people.into_iter().find(|person| untouched(&person.id)).unwrap_or_else(|| actor(role, 18))
}

/// Everything is over: the ticket has ended, and what it left has run to its end.
fn is_over(ticket: &Ticket, runner: &Runner) -> bool {
    !ticket.is_open()
        && ticket.receipts_owed().is_empty()
        && !ticket.owes_assessment()
        && !ticket.dues.iter().any(money::Due::is_owed)
        && !ticket.verdicts.iter().any(|it| !it.superseded && (!it.is_final || it.owes_penalty()))
        && clock::next_step(ticket, &runner.policy, &runner.calendar).is_none()
}

/// The next lawful command towards the end.
fn next(ticket: &Ticket, plan: Plan) -> (Actor, Command) {
    let text = || seal("说明");
    if let Some(owed) = ticket.receipts_owed().first().filter(|_| !ticket.is_open() || replied(ticket)) {
        let settled = ticket.request(*owed).is_some_and(|request| request.settled.is_some());
        let kind = if settled { ReceiptKind::Supplementary } else { ReceiptKind::Final };
        let (request, content, reference) = (*owed, text(), "hz".into());
        let command = contact::Command::RecordReceipt { request, kind, content, reference };
        return (fresh(ticket, Role::Reporting), command.into());
    }
    if let Some(step) = settle(ticket).filter(|_| !ticket.is_open() || ticket.stage == Stage::Close) {
        return step;
    }
    if ticket.owes_assessment() {
        return assess(ticket);
    }
    if !ticket.is_open() {
        return wait();
    }
    if ticket.pause.is_some() {
        return (actor(Role::Dispatch, 10), clock::Command::Resume.into());
    }
    match ticket.stage {
        Stage::Investigate => (actor(Role::Investigation, 9), investigate(Cause::Known(text()), &[])),
        Stage::Dispatch => {
            let orders =
                vec![NewOrder { part: Part::Lead, unit: "line-crew".into(), task: text(), due: None }];
            (actor(Role::Dispatch, 9), Do::Dispatch { orders }.into())
        }
        Stage::Reply => reply(ticket, plan),
        Stage::Feedback => feedback(ticket, plan),
        Stage::Inspect => inspect(ticket),
        Stage::Report => {
            let command = Do::Report { level: "city".into(), summary: text(), reference: "sb".into() };
            (fresh(ticket, Role::Reporting), command.into())
        }
        Stage::Assess => assess(ticket),
        Stage::Close => close(ticket),
    }
}

fn replied(ticket: &Ticket) -> bool {
    ticket.lead_replied_since(ticket.opened_round)
}

/// Time passes.
fn wait() -> (Actor, Command) {
    let due = clock::DueStep { from: Timestamp::UNIX_EPOCH, step: clock::Step::Resume };
    (actor(Role::Timer, 0), clock::Command::Tick(due).into())
}

/// Money, appeals and penalties, whatever became of the ticket.
fn settle(ticket: &Ticket) -> Option<(Actor, Command)> {
    let due = (1..).zip(&ticket.dues).find(|(_, due)| due.is_owed());
    if let Some((number, due)) = due {
        let assessor = fresh(ticket, Role::Assessment);
        let number = duban_aggregates::ids::DueNo(number);
        let command = if due.approved {
            money::Command::Settle { due: number, settlement: Settlement::Paid, reference: "tf".into() }
        } else {
            money::Command::Approve { due: number }
        };
        return Some((assessor, command.into()));
    }
    let verdict = ticket.verdicts.iter().find(|it| !it.superseded && (it.appealed || it.owes_penalty()))?;
    let number = verdict.number;
    if verdict.appealed {
        let command =
            verdict::Command::DecideAppeal { verdict: number, granted: false, reason: seal("维持") };
        return Some((fresh(ticket, Role::Assessment), command.into()));
    }
    if !verdict.is_final {
        return Some(wait());
    }
    let command = verdict::Command::CarryOutPenalty { verdict: number, payroll_reference: "gz".into() };
    Some((fresh(ticket, Role::Assessment), command.into()))
}

fn reply(ticket: &Ticket, plan: Plan) -> (Actor, Command) {
    let text = || seal("说明");
    let open = || ticket.orders.iter().filter(|order| order.is_open());
    if let Some(order) = open().find(|order| order.status == Status::ReturnAsked) {
        let role = if order.return_number >= 3 { Role::Supervisor } else { Role::Dispatch };
        return (actor(role, 9), order::Command::RefuseReturn { order: order.number, reason: text() }.into());
    }
    if let Some(order) = open().find(|order| order.part == Part::Assist) {
        let command = order::Command::Release { order: order.number, reason: text() };
        return (actor(Role::Dispatch, 9), command.into());
    }
    let lead = ticket.lead().expect("a reply is owed by a lead");
    let worker = member(lead.unit.as_str(), 9);
    let order = lead.number;
    if lead.status == Status::Issued {
        return (worker, order::Command::Accept { order }.into());
    }
    let not_provided = (!plan.provides && !ticket.service_missing().is_empty()).then(|| order::NotProvided {
        ground: NotProvidedGround::NoResources,
        evidence: text(),
        offered: text(),
    });
    if not_provided.is_none()
        && let Some(missing) = ticket.service_missing().first()
    {
        return (worker, prove(ticket, missing));
    }
    let done_by = vec![worker.id.clone()];
    let (resolution, measures) = (text(), Vec::new());
    let command = order::Command::Reply { order, resolution, cause: None, measures, done_by, not_provided };
    (worker, command.into())
}

fn prove(ticket: &Ticket, missing: &Missing) -> Command {
    let (occurred_at, evidence) = (None, None);
    if ticket.kind() == Kind::Install {
        let reached = &ticket.install.milestones;
        let milestone =
            Milestone::ALL.into_iter().find(|it| !reached.contains_key(it)).expect("one is missing");
        let fact = install::Fact::MilestoneReached { milestone };
        return install::Command::RecordFact { fact, occurred_at, evidence }.into();
    }
    let fact = match missing {
        Missing::ServiceUp => fault::Fact::ServiceUp,
        _ => fault::Fact::LineTested { passed: true, reference: "112".into(), result: seal("正常") },
    };
    fault::Command::RecordFact { fact, occurred_at, evidence }.into()
}

fn feedback(ticket: &Ticket, plan: Plan) -> (Actor, Command) {
    let reason = seal("说明");
    let supervisor = || fresh(ticket, Role::Supervisor);
    if ticket.round.not_provided.is_some_and(|known| known.consent.is_none()) {
        return (supervisor(), Do::ConsentToNotProvided { reason }.into());
    }
    if !ticket.intake.somebody_to_ask() {
        return (supervisor(), Do::SignOffNobodyToAsk { reason }.into());
    }
    let answered = |answer| {
        let recording = Some(rec());
        Do::RecordFeedback { answer, words: seal("答复"), recording, investigate_again: false }.into()
    };
    let desk = actor(Role::Desk, 9);
    match plan.customer {
        Customer::Satisfied => (desk, answered(Answer::Satisfied)),
        Customer::NeverSatisfied if ticket.dissatisfied_rounds >= 2 => {
            let (ground, offer) = (Ground::BeyondLawOrContract, seal("方案"));
            (supervisor(), Do::ConcludeFeedback { ground, offer, appeal_explained: rec() }.into())
        }
        Customer::NeverSatisfied => (desk, answered(Answer::BasicallySatisfied)),
        Customer::Declines if matches!(ticket.round.answer, Some((Answer::Declined, _))) => {
            (supervisor(), Do::SignOffDeclined { reason }.into())
        }
        Customer::Declines => (desk, answered(Answer::Declined)),
        Customer::NeverReached if ticket.round.attempts_made() >= 20 => {
            (supervisor(), Do::SignOffUnreachable { reason }.into())
        }
        Customer::NeverReached => (desk, Do::AttemptContact { recording: rec() }.into()),
    }
}

fn inspect(ticket: &Ticket) -> (Actor, Command) {
    let failed: Vec<Gate> = [Gate::CauseKnown, Gate::ProblemSolved]
        .into_iter()
        .filter(|gate| !gate::inspectable(ticket, *gate).is_empty())
        .collect();
    if !gate::inspectable(ticket, Gate::ServiceImproved).is_empty() {
        return (actor(Role::Dispatch, 9), gate::Command::NoMeasureNeeded { reason: seal("无需") }.into());
    }
    let command = chain::Command::Inspect { judgements: judgements(&failed), units: Vec::new() };
    (fresh(ticket, Role::Inspection), command.into())
}

fn assess(ticket: &Ticket) -> (Actor, Command) {
    let (mut verdicts, mut confirmed) = (Vec::new(), Vec::new());
    for unit in ticket.involved() {
        match ticket.verdict_on(&unit).filter(|known| known.carried_out.is_some()) {
            Some(known) => confirmed.push(known.number),
            None => verdicts.push((unit, blameless())),
        }
    }
    (fresh(ticket, Role::Assessment), Do::Assess { verdicts, confirmed }.into())
}

fn close(ticket: &Ticket) -> (Actor, Command) {
    let again = |stage| {
        let command = Do::OpenNextRound { stage, reason: seal("还缺") };
        (actor(Role::Desk, 9), command.into())
    };
    match gate::all_missing(ticket).first() {
        None => (actor(Role::Assessment, 9), Do::Close.into()),
        Some(Missing::MeasureCarriedOut(measure)) => {
            let command = gate::Command::CarryOutMeasure { measure: *measure, evidence: seal("照片") };
            (actor(Role::Dispatch, 9), command.into())
        }
        Some(Missing::Measure) => {
            (actor(Role::Dispatch, 9), gate::Command::NoMeasureNeeded { reason: seal("无需") }.into())
        }
        Some(Missing::FinalVerdict(_)) => wait(),
        Some(Missing::Cause) => again(Stage::Investigate),
        Some(_) => again(Stage::Dispatch),
    }
}

/// Nothing where an end was reached; else what was tried last, and why it was refused.
fn finish(runner: &Runner, plan: Plan) -> Result<usize, String> {
    let mut runner = Runner {
        history: runner.history.clone(),
        policy: runner.policy.clone(),
        calendar: runner.calendar.clone(),
    };
    let mut ticket = runner.load();
    let mut prng = Prng::new(9);
    for step in 0..STEPS_MAX {
        let known = ticket.as_ref().expect("a ticket");
        if is_over(known, &runner) {
            return Ok(step);
        }
        let (actor, command) = next(known, plan);
        // Whoever waits, waits for the next working days; everybody else takes three hours.
        let hours = if actor.role == Role::Timer { 24 * 4 } else { 3 };
        let at = known.last_recorded_at.saturating_add(SignedDuration::from_hours(hours)).unwrap();
        let at = match clock::next_step(known, &runner.policy, &runner.calendar) {
            Some(due) if actor.role == Role::Timer => at.max(due.from),
            _ => at,
        };
        let proposal = Proposal { at, actor, command };
        if let Err(refused) = runner.run(&mut ticket, CommandId(prng.uuid()), &proposal) {
            return Err(format!("{:?} by {}: {refused}", proposal.command, proposal.actor.id));
        }
    }
    let stage = ticket.map(|ticket| (ticket.stage, ticket.ended));
    Err(format!("no end after {STEPS_MAX} commands: {stage:?}"))
}

/// Plays commands; those that are refused leave no trace.
fn played(proposals: &[(CommandId, Proposal)]) -> Runner {
    let mut runner = Runner::new();
    let mut ticket = None;
    for (id, proposal) in proposals {
        let _ = runner.run(&mut ticket, *id, proposal);
    }
    runner
}

/// Leaves out one command after the other, as long as the state stays without a way to the end.
fn shortest(mut proposals: Vec<(CommandId, Proposal)>, plan: Plan) -> Vec<(CommandId, Proposal)> {
    let mut at = 1;
    while at < proposals.len() {
        let mut fewer = proposals.clone();
        fewer.remove(at);
        if finish(&played(&fewer), plan).is_err() {
            proposals = fewer;
        } else {
            at += 1;
        }
    }
    proposals
}

/// A history by whoever, some of them liars, and the ways to the end from several of its states.
fn live(seed: u64, tally: &mut (usize, usize)) {
    let mut prng = Prng::new(seed ^ 0xE17D);
    let mut walker = Walker::new(seed);
    let mut runner = Runner::new();
    let mut ticket: Option<Ticket> = None;
    let mut proposals = Vec::new();
    for step in 0..90 {
        let proposed = walker.propose(ticket.as_ref(), super::CUSTOMER, &seal);
        let nonsense = ticket.as_ref().filter(|_| proposed.is_none() || prng.percent(50));
        let proposal = match (nonsense, proposed) {
            (Some(ticket), proposed) => {
                let at = proposed.map_or_else(|| after(ticket.last_recorded_at, 60), |proposal| proposal.at);
                nonsense::propose(&mut prng, ticket, at)
            }
            (None, Some(proposal)) => proposal,
            (None, None) => break,
        };
        let id = CommandId(prng.uuid());
        if runner.run(&mut ticket, id, &proposal).is_ok() {
            proposals.push((id, proposal));
        }
        if step % 15 != 14 || ticket.is_none() {
            continue;
        }
        let plan = **prng.pick(&PLANS.each_ref().each_ref());
        match finish(&runner, plan) {
            Ok(steps) => *tally = (tally.0 + 1, tally.1.max(steps)),
            Err(why) => {
                let list = shortest(proposals, plan);
                let why = finish(&played(&list), plan).err().unwrap_or(why);
                let list = list.iter().map(|(_, it)| format!("{} {}: {:?}", it.at, it.actor.id, it.command));
                panic!("seed {seed}, {plan:?}: stuck, as {why}\n{}", list.collect::<Vec<_>>().join("\n"));
            }
        }
    }
}

#[test]
fn from_any_state_lawful_commands_reach_an_end() {
    let count = walks(120);
    let mut tally = (0, 0);
    for seed in 50_000..50_000 + count {
        live(seed, &mut tally);
    }
    println!("{} states of {count} histories, the longest way to an end {} commands", tally.0, tally.1);
    assert!(tally.0 as u64 > count);
}

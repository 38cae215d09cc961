//! Gates, measures, waivers, verdicts, appeals, penalties, dues, and who may judge.

use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{DueNo, EventId, MeasureNo, ProblemId, UnitId, VerdictNo};
use duban_aggregates::rejection::{Missing, Problem, Rejection};
use duban_aggregates::ticket::gate::Command as Do;
use duban_aggregates::ticket::order::MeasurePlan;
use duban_aggregates::ticket::verdict::{Command as Verdict, Finding};
use duban_aggregates::ticket::{Command, chain, intake, money};
use duban_aggregates::words::{DueReason, Gate, Kind, Role, Settlement, Stage};
use duban_sample_tickets::scripted::*;

const ONE: VerdictNo = VerdictNo(1);

fn close() -> Command {
    chain::Command::Close.into()
}

fn supervisor() -> Actor {
    a(Role::Supervisor)
}

fn waive(gate: Gate) -> Command {
    Do::Waive { gate, reason: s("设备停产") }.into()
}

fn plan(office: &Office) -> Command {
    Do::PlanMeasure {
        plan: MeasurePlan { text: s("补标志桩"), owner: "planning".into(), due_on: day(office) },
    }
    .into()
}

/// At close with one verdict on the lead's unit.
fn assessed(finding: Finding) -> Office {
    Office::at_stage(Kind::Complaint, Stage::Assess)
        .then(a(Role::Assessment), assess(&[("line-crew", finding)]))
}

#[test]
fn inspection_judges_each_of_three_gates_once_on_the_record() {
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    let measure = Rejection::GateUnproved { gate: Gate::ServiceImproved, missing: vec![Missing::Measure] };
    check(&office, (a(Role::Inspection), inspect(&[])), Err(measure));
    let with = |judgements| -> Command { chain::Command::Inspect { judgements, units: Vec::new() }.into() };
    let mut all = judgements(&[Gate::ServiceImproved]);
    let (gate, missing) = (Gate::ServiceImproved, vec![Missing::Judgement(Gate::ServiceImproved)]);
    check(
        &office,
        (a(Role::Inspection), with(all[..2].to_vec())),
        Err(Rejection::GateUnproved { gate, missing }),
    );
    all[2].gate = Gate::PenaltyCarriedOut;
    let unfit = Rejection::invalid("judgements.gate", Problem::Unfit("inspection judges gates 1 to 3"));
    check(&office, (a(Role::Inspection), with(all.clone())), Err(unfit));
    all[2].gate = Gate::CauseKnown;
    let twice = Rejection::invalid("judgements.gate", Problem::Twice("cause_known".into()));
    check(&office, (a(Role::Inspection), with(all.clone())), Err(twice));
    all[0].evidence = s("");
    let evidence = Rejection::invalid("judgements.evidence", Problem::Required);
    check(&office, (a(Role::Inspection), with(all)), Err(evidence));
}

#[test]
fn nobody_judges_what_they_handled() {
    let own = || Err(Rejection::OwnWork);
    let as_role = |role, person: &Actor| Actor { id: person.id.clone(), ..a(role) };
    let inspected = Office::at_stage(Kind::Complaint, Stage::Inspect)
        .then(a(Role::Dispatch), Do::NoMeasureNeeded { reason: s("-") }.into());
    for handler in [a(Role::Desk), a(Role::Investigation), a(Role::Dispatch), of("line-crew")] {
        check(&inspected, (as_role(Role::Inspection, &handler), inspect(&[])), own());
        check(&inspected, (as_role(Role::Supervisor, &handler), waive(Gate::CauseKnown)), own());
        let office = inspected.clone().pass(Stage::Inspect).pass(Stage::Report);
        let verdicts = assess(&[("line-crew", blameless())]);
        check(&office, (as_role(Role::Assessment, &handler), verdicts), own());
    }
    // Inspecting an earlier round is not handling, but it is a part in the ticket, so no waiver.
    check(
        &inspected.clone().pass(Stage::Inspect),
        (as_role(Role::Supervisor, &a(Role::Inspection)), waive(Gate::CauseKnown)),
        own(),
    );
    let next = inspected.then(a(Role::Inspection), inspect(&[Gate::ProblemSolved]));
    let next = [Stage::Dispatch, Stage::Reply, Stage::Feedback].into_iter().fold(next, Office::pass);
    next.then(a(Role::Inspection), inspect(&[]));
}

#[test]
fn gates_one_three_and_five_may_be_waived_and_two_and_four_never() {
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    let refused = duban_aggregates::ticket::draft::out_of_turn(Stage::Feedback, Stage::Inspect);
    check(&office, (supervisor(), waive(Gate::CauseKnown)), Err(refused));
    let office = office.pass(Stage::Feedback);
    for gate in [Gate::ProblemSolved, Gate::ResponsibilitySettled] {
        check(&office, (supervisor(), waive(gate)), Err(Rejection::NeverWaived { gate }));
    }
    let office = check(&office, (supervisor(), waive(Gate::CauseKnown)), Ok(&["Waived"]));
    check(&office, (supervisor(), waive(Gate::CauseKnown)), Ok(&[]));
    // The same supervisor may waive another: a waiver is no part in the work.
    let office = check(&office, (supervisor(), waive(Gate::ServiceImproved)), Ok(&["Waived"]));
    let office = office.then(a(Role::Inspection), inspect(&[Gate::CauseKnown, Gate::ServiceImproved]));
    assert_eq!(office.stage(), Stage::Report, "waived gates fail nothing");
}

#[test]
fn measures_are_planned_and_carried_out_by_their_owner() {
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    let late = MeasurePlan { text: s("-"), owner: "planning".into(), due_on: jiff::civil::date(2026, 3, 1) };
    let past = Rejection::invalid("measure.due_on", Problem::NotInFuture);
    check(&office, (a(Role::Dispatch), Do::PlanMeasure { plan: late }.into()), Err(past));
    let office = check(&office, (a(Role::Dispatch), plan(&office)), Ok(&["MeasurePlanned"]));
    let stages = [Stage::Inspect, Stage::Report, Stage::Assess];
    let office = stages.into_iter().fold(office, Office::pass);
    let missing = vec![Missing::MeasureCarriedOut(MeasureNo(1))];
    let refused = Rejection::GatesOpen { missing };
    assert_eq!(refused.stage_needed(), Some(Stage::Close));
    check(&office, (a(Role::Assessment), close()), Err(refused));
    let done = |measure| -> Command {
        Do::CarryOutMeasure { measure: MeasureNo(measure), evidence: s("照片") }.into()
    };
    check(&office, (of("planning"), done(2)), Err(Rejection::UnknownMeasure { measure: MeasureNo(2) }));
    check(&office, (of("power"), done(1)), Err(Rejection::NotYours { whose: "planning".into() }));
    let office = check(&office, (of("planning"), done(1)), Ok(&["MeasureCarriedOut"]));
    check(&office, (of("planning"), done(1)), Ok(&[]));
    office.pass(Stage::Close);
}

#[test]
fn a_problems_action_serves_the_tickets_that_joined_it() {
    let (problem, action) = (ProblemId(Uuid::from_u128(3)), EventId(Uuid::from_u128(4)));
    let serve = || -> Command { Do::ServeMeasure { problem, action }.into() };
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    check(&office, (a(Role::Rule), serve()), Err(Rejection::NotInProblem));
    let office = office.then(a(Role::Desk), intake::Command::JoinProblem { problem, open: true }.into());
    let office = office.clone().then(a(Role::Dispatch), plan(&office));
    let office = check(&office, (a(Role::Rule), serve()), Ok(&["MeasureServed"]));
    check(&office, (a(Role::Rule), serve()), Ok(&[]));
    let stages = [Stage::Inspect, Stage::Report, Stage::Assess, Stage::Close];
    stages.into_iter().fold(office, Office::pass);
}

#[test]
fn every_involved_unit_and_nobody_else_gets_one_verdict() {
    let office = Office::at_stage(Kind::Complaint, Stage::Assess);
    let refused = |verdicts: &[(&str, Finding)], refused| {
        check(&office, (a(Role::Assessment), assess(verdicts)), Err(refused));
    };
    refused(&[], Rejection::VerdictsMissing { missing: vec![Missing::Verdict("line-crew".into())] });
    let stranger = [("line-crew", blameless()), ("power", blameless())];
    refused(&stranger, Rejection::NotInvolved { unit: "power".into() });
    let twice = [("line-crew", blameless()), ("line-crew", blameless())];
    refused(&twice, Rejection::invalid("verdicts.unit", Problem::Twice("line-crew".into())));
    let silent = [("line-crew", Finding::NotAtFault { reason: s("") })];
    refused(&silent, Rejection::invalid("verdicts.reason", Problem::Required));
    let baseless =
        Finding::AtFault { rule: "1".into(), points: 1, penalty_fen: 0, because: Vec::new(), reason: s("-") };
    refused(&[("line-crew", baseless)], Rejection::invalid("verdicts.because", Problem::Required));
    let elsewhere = EventId(Uuid::from_u128(2));
    let pointing = |because: Vec<EventId>| -> Finding {
        Finding::AtFault { rule: "1".into(), points: 0, penalty_fen: 0, because, reason: s("-") }
    };
    let own = office.event("Replied");
    let foreign = Rejection::ForeignEvent { event: elsewhere };
    refused(&[("line-crew", pointing(vec![own, elsewhere]))], foreign);
    let every = office.history.iter().map(|(meta, _)| meta.id).collect();
    office.clone().then(a(Role::Assessment), assess(&[("line-crew", pointing(every))]));
    let confirm = chain::Command::Assess { verdicts: Vec::new(), confirmed: vec![ONE] };
    let unknown = Rejection::UnknownVerdict { verdict: ONE };
    check(&office, (a(Role::Assessment), confirm.into()), Err(unknown));
}

#[test]
fn a_department_whose_stage_clock_breached_is_involved() {
    let office = Office::at_stage(Kind::Complaint, Stage::Report).until(march(12, 9, 0));
    let office = office.pass(Stage::Report);
    let units: Vec<UnitId> = office.t().involved().into_iter().collect();
    assert_eq!(units, ["line-crew".into(), "reporting".into()]);
}

#[test]
fn a_verdict_is_final_when_accepted_and_points_are_carried_out_then() {
    let office = assessed(at_fault(2, 0));
    let open = vec![Missing::FinalVerdict(ONE), Missing::Penalty(ONE)];
    check(&office, (a(Role::Assessment), close()), Err(Rejection::GatesOpen { missing: open }));
    let accept = || -> Command { Verdict::Accept { verdict: ONE }.into() };
    check(&office, (of("power"), accept()), Err(Rejection::NotYours { whose: "line-crew".into() }));
    let unknown = Verdict::Accept { verdict: VerdictNo(7) };
    check(&office, (of("power"), unknown.into()), Err(Rejection::UnknownVerdict { verdict: VerdictNo(7) }));
    let then = ["Accepted", "BecameFinal", "PenaltyCarriedOut"];
    let office = check(&office, (of("line-crew"), accept()), Ok(&then));
    check(&office, (of("line-crew"), accept()), Ok(&[]));
    let appeal: Command = Verdict::Appeal { verdict: ONE, grounds: s("不服") }.into();
    check(&office, (of("line-crew"), appeal), Err(Rejection::VerdictFinal { verdict: ONE }));
    office.pass(Stage::Close);
}

#[test]
fn a_verdict_is_final_after_five_working_days_without_an_appeal() {
    let office = assessed(at_fault(2, 0));
    let fifth = march(10, 0, 0);
    let appeal = || -> Command { Verdict::Appeal { verdict: ONE, grounds: s("不服") }.into() };
    check(&office.clone().until(fifth), (of("line-crew"), appeal()), Ok(&["Appealed"]));
    let late = office.until(fifth).wait_minutes(1);
    check(&late, (of("line-crew"), appeal()), Err(Rejection::VerdictFinal { verdict: ONE }));
    check(&late, tick(), Ok(&["BecameFinal", "PenaltyCarriedOut"]));
    check(
        &late,
        (a(Role::Assessment), close()),
        Ok(&["BecameFinal", "PenaltyCarriedOut", "Closed", "met closing"]),
    );
}

#[test]
fn appeals_are_granted_or_refused_by_another_assessor() {
    let decide =
        |granted| -> Command { Verdict::DecideAppeal { verdict: ONE, granted, reason: s("复核") }.into() };
    let office = assessed(at_fault(0, 5_000));
    check(&office, (other(Role::Assessment), decide(true)), Err(Rejection::NoAppeal { verdict: ONE }));
    let pay = || -> Command {
        Verdict::CarryOutPenalty { verdict: ONE, payroll_reference: "gz-202603".into() }.into()
    };
    check(&office, (a(Role::Assessment), pay()), Err(Rejection::VerdictNotFinal { verdict: ONE }));
    let appeal = || -> Command { Verdict::Appeal { verdict: ONE, grounds: s("不服") }.into() };
    let office = check(&office, (of("line-crew"), appeal()), Ok(&["Appealed"]));
    check(&office, (of("line-crew"), appeal()), Ok(&[]));
    let accept: Command = Verdict::Accept { verdict: ONE }.into();
    check(&office, (of("line-crew"), accept), Err(Rejection::AppealPending { verdict: ONE }));
    check(&office, (a(Role::Assessment), decide(true)), Err(Rejection::OwnWork));
    let waited = office.clone().until(march(13, 9, 0));
    check(&waited, (other(Role::Assessment), decide(false)), Ok(&["AppealRefused", "BecameFinal"]));

    let granted =
        check(&office, (other(Role::Assessment), decide(true)), Ok(&["AppealGranted", "BecameFinal"]));
    check(&granted, (a(Role::Assessment), pay()), Err(Rejection::VerdictGone { verdict: ONE }));
    granted.pass(Stage::Close);

    let refused =
        check(&office, (other(Role::Assessment), decide(false)), Ok(&["AppealRefused", "BecameFinal"]));
    let owes = Rejection::GatesOpen { missing: vec![Missing::Penalty(ONE)] };
    check(&refused, (a(Role::Assessment), close()), Err(owes));
    check(&refused, (supervisor(), waive(Gate::PenaltyCarriedOut)), Ok(&["Waived"])).pass(Stage::Close);
    let paid = check(&refused, (a(Role::Assessment), pay()), Ok(&["PenaltyCarriedOut"]));
    check(&paid, (a(Role::Assessment), pay()), Ok(&[]));
    paid.pass(Stage::Close);
}

#[test]
fn a_reversal_after_closing_is_an_erratum_and_does_not_reopen() {
    let reverse = || -> Command { Verdict::Reverse { verdict: ONE, reason: s("证据更正") }.into() };
    let office = assessed(at_fault(2, 0));
    check(&office, (other(Role::Assessment), reverse()), Err(Rejection::VerdictNotFinal { verdict: ONE }));
    let office = office.then(of("line-crew"), Verdict::Accept { verdict: ONE }.into()).pass(Stage::Close);
    check(&office, (a(Role::Assessment), reverse()), Err(Rejection::OwnWork));
    let office = check(&office, (other(Role::Assessment), reverse()), Ok(&["ErratumRecorded"]));
    check(&office, (other(Role::Assessment), reverse()), Ok(&[]));
    assert!(!office.t().is_open());
    let blameless = assessed(blameless());
    check(&blameless, (other(Role::Assessment), reverse()), Err(Rejection::NoPenalty { verdict: ONE }));
    let pay = Verdict::CarryOutPenalty { verdict: ONE, payroll_reference: "gz".into() };
    check(&blameless, (a(Role::Assessment), pay.into()), Err(Rejection::NoPenalty { verdict: ONE }));
}

#[test]
fn dues_are_accrued_approved_and_settled_before_closing() {
    let due = DueNo(1);
    let accrue = |amount_fen, because| -> Command {
        money::Command::Accrue { reason: DueReason::LateInstall, amount_fen, because }.into()
    };
    let by = || a(Role::Assessment);
    let office = assessed(blameless());
    let own = office.event("Reported");
    let some = || vec![own];
    let foreign = EventId(Uuid::from_u128(2));
    check(&office, (by(), accrue(1, vec![own, foreign])), Err(Rejection::ForeignEvent { event: foreign }));
    check(&office, (by(), accrue(0, some())), Err(Rejection::invalid("amount_fen", Problem::Required)));
    check(&office, (by(), accrue(1, Vec::new())), Err(Rejection::invalid("because", Problem::Required)));
    let office = check(&office, (by(), accrue(100, some())), Ok(&["Accrued"]));
    let missing = vec![Missing::Settlement(due)];
    check(&office, (by(), close()), Err(Rejection::GatesOpen { missing }));
    let settle = || -> Command {
        money::Command::Settle { due, settlement: Settlement::Credited, reference: "tf-1".into() }.into()
    };
    let approve = |due| -> Command { money::Command::Approve { due }.into() };
    check(&office, (by(), settle()), Err(Rejection::DueNotApproved { due }));
    check(&office, (by(), approve(DueNo(2))), Err(Rejection::UnknownDue { due: DueNo(2) }));
    let office = check(&office, (by(), approve(due)), Ok(&["Approved"]));
    check(&office, (by(), approve(due)), Ok(&[]));
    let office = check(&office, (by(), settle()), Ok(&["Settled"]));
    check(&office, (by(), settle()), Ok(&[]));
    let office = office.pass(Stage::Close);
    check(&office, (by(), accrue(100, some())), Err(Rejection::TicketEnded));
}

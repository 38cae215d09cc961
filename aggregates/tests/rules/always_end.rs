//! Cases that always end: whatever happens, there is a way on.

use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CustomerId, DueNo, EventId, MeasureNo, OrderNo, ProblemId};
use duban_aggregates::rejection::{Missing, Problem, Rejection};
use duban_aggregates::ticket::chain::{self, Cause, Command as Do};
use duban_aggregates::ticket::intake::{Intake, KnownReporter, Reporter};
use duban_aggregates::ticket::order::{self, MeasurePlan};
use duban_aggregates::ticket::{Command, Event, clock, gate, intake as around, money};
use duban_aggregates::words::{
    Answer, ClockKind, DueReason, FeedbackPassed, Gate, Ground, Kind, Milestone, NotProvidedGround, Part,
    ReporterKind, Role, Settlement, Stage,
};
use duban_sample_tickets::scripted::*;

fn desk() -> Actor {
    a(Role::Desk)
}

fn supervisor() -> Actor {
    a(Role::Supervisor)
}

fn through(office: Office, stages: &[Stage]) -> Office {
    stages.iter().fold(office, |office, stage| office.pass(*stage))
}

const JUDGED: [Stage; 4] = [Stage::Inspect, Stage::Report, Stage::Assess, Stage::Close];

fn certificate(office: &Office) -> duban_aggregates::ticket::gate::Certificate {
    let id = office.t().certificate.expect("a certificate");
    match &office.history.iter().find(|(meta, _)| meta.id == id).unwrap().1 {
        Event::Chain(chain::Event::Closed { certificate }) => certificate.clone(),
        other => panic!("{other:?}"),
    }
}

fn not_provided(order: u32) -> Command {
    order::Command::Reply {
        order: OrderNo(order),
        resolution: s("小区无空余端口"),
        cause: None,
        measures: Vec::new(),
        done_by: vec!["line-crew-1".into()],
        not_provided: Some(order::NotProvided {
            ground: NotProvidedGround::NoResources,
            evidence: s("资源系统截图"),
            offered: s("无线宽带"),
        }),
    }
    .into()
}

fn consent() -> Command {
    Do::ConsentToNotProvided { reason: s("情况属实") }.into()
}

#[test]
fn a_service_that_cannot_be_given_is_replied_consented_to_told_and_closed() {
    for kind in [Kind::Install, Kind::Fault, Kind::Complaint] {
        let office = Office::at_stage(kind, Stage::Reply).then(of("line-crew"), accept(1));
        let office = office.then(of("line-crew"), not_provided(1));
        assert_eq!(office.stage(), Stage::Feedback);
        // Nobody tells the customer before a supervisor who did no part consents.
        check(&office, (desk(), feedback(Answer::Satisfied)), Err(Rejection::ConsentMissing));
        let conclude =
            Do::ConcludeFeedback { ground: Ground::RemedyRefused, offer: s("-"), appeal_explained: rec() };
        check(&office, (supervisor(), conclude.into()), Err(Rejection::ConsentMissing));
        let taker = Actor { role: Role::Supervisor, ..desk() };
        check(&office, (taker, consent()), Err(Rejection::OwnWork));
        let office = check(&office, (supervisor(), consent()), Ok(&["NotProvidedConsented"]));
        check(&office, (supervisor(), consent()), Ok(&[]));
        assert!(!office.t().is_routine(), "people look at it");
        let office = office.pass(Stage::Feedback);
        let waits = office.t().clocks.iter().any(|clock| {
            clock.is_live() && matches!(clock.start.kind, ClockKind::Repair | ClockKind::Activation)
        });
        assert!(!waits, "the service will not come");
        check(&office, (a(Role::Rule), inspect(&[])), Err(Rejection::NotRoutine));
        let office = through(office, &JUDGED);
        assert_eq!(certificate(&office).not_provided, Some(NotProvidedGround::NoResources));
    }
    let office = Office::at_stage(Kind::Install, Stage::Feedback);
    check(&office, (supervisor(), consent()), Err(Rejection::ServiceProvided));
    assert_eq!(certificate(&Office::closed(Kind::Install)).not_provided, None);
}

#[test]
fn only_the_lead_says_that_a_service_cannot_be_given_and_only_for_its_round() {
    let orders = [("line-crew", Part::Lead), ("power", Part::Assist)];
    let office = Office::at_stage(Kind::Install, Stage::Dispatch)
        .then(a(Role::Dispatch), dispatch(&orders))
        .then(of("power"), accept(2));
    check(&office, (of("power"), not_provided(2)), Err(Rejection::WrongPart { order: OrderNo(2) }));
    let wrong = |evidence: &str, offered: &str| -> Command {
        order::Command::Reply {
            order: OrderNo(1),
            resolution: s("无端口"),
            cause: None,
            measures: Vec::new(),
            done_by: vec!["line-crew-1".into()],
            not_provided: Some(order::NotProvided {
                ground: NotProvidedGround::EntryRefused,
                evidence: s(evidence),
                offered: s(offered),
            }),
        }
        .into()
    };
    let required = |field| Err(Rejection::invalid(field, Problem::Required));
    check(&office, (of("line-crew"), wrong("", "改约")), required("not_provided.evidence"));
    check(&office, (of("line-crew"), wrong("照片", "")), required("not_provided.offered"));
    // A customer who is less than satisfied with it opens the next round, which is proved or replied anew.
    let office = Office::at_stage(Kind::Install, Stage::Reply)
        .then(of("line-crew"), accept(1))
        .then(of("line-crew"), not_provided(1))
        .then(supervisor(), consent())
        .then(desk(), feedback(Answer::Dissatisfied))
        .pass(Stage::Dispatch)
        .then(of("line-crew"), accept(2));
    let missing = vec![Missing::Activation];
    check(&office, (of("line-crew"), reply(2)), Err(Rejection::ReplyUnproved { missing }));
    // Sent back by the desk it needs another consent.
    let office = office.then(of("line-crew"), not_provided(2)).then(supervisor(), consent());
    let back = Do::SendReplyBack { assists: Vec::new(), reason: s("缺照片") };
    let office = office.then(desk(), back.into()).then(of("line-crew"), not_provided(2));
    check(&office, (desk(), feedback(Answer::Satisfied)), Err(Rejection::ConsentMissing));
}

#[test]
fn a_service_that_could_not_be_given_and_is_asked_for_again_has_its_clock_again() {
    let office = Office::at_stage(Kind::Fault, Stage::Reply)
        .then(of("line-crew"), accept(1))
        .then(of("line-crew"), not_provided(1))
        .then(supervisor(), consent())
        .pass(Stage::Feedback)
        .pass(Stage::Inspect);
    let next = Do::OpenNextRound { stage: Stage::Dispatch, reason: s("用户同意入户") };
    let office = office.then(desk(), next.into());
    let repair = office.t().clock(ClockKind::Repair, clock::Subject::Ticket).unwrap();
    assert!(repair.is_running());
    let office = through(office, &[Stage::Dispatch, Stage::Reply, Stage::Feedback]);
    let office = through(office, &JUDGED);
    assert_eq!(certificate(&office).not_provided, None);
}

fn sign_off_declined() -> Command {
    Do::SignOffDeclined { reason: s("用户不愿评价") }.into()
}

#[test]
fn a_customer_who_will_not_rate_passes_by_a_supervisors_sign_off_as_an_answer_of_its_own() {
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    check(&office, (supervisor(), sign_off_declined()), Err(Rejection::NotDeclined));
    let silent = Do::RecordFeedback {
        answer: Answer::Declined,
        words: s("不评价"),
        recording: None,
        investigate_again: false,
    };
    check(&office, (desk(), silent.into()), Err(Rejection::invalid("recording", Problem::Required)));
    let then = ["FeedbackRecorded", "met contact", "met answer", "met stage feedback"];
    let office = check(&office, (desk(), feedback(Answer::Declined)), Ok(&then));
    assert_eq!((office.stage(), office.t().round.number), (Stage::Feedback, 1), "it opens no round");
    assert_eq!(office.t().dissatisfied_rounds, 0);
    // Who called does not sign off; who rates after all is heard.
    let caller = Actor { role: Role::Supervisor, ..desk() };
    check(&office, (caller, sign_off_declined()), Err(Rejection::OwnWork));
    assert_eq!(office.clone().pass(Stage::Feedback).t().round.passed.unwrap().0, FeedbackPassed::Satisfied);
    let office = office.then(supervisor(), sign_off_declined());
    assert_eq!(office.t().round.passed.unwrap().0, FeedbackPassed::Declined);
    assert_eq!(certificate(&through(office, &JUDGED)).feedback, FeedbackPassed::Declined);
}

fn reported(kind: ReporterKind, known: bool) -> Intake {
    let mut new = intake(Kind::Fault, march(2, 9, 0));
    let known =
        known.then(|| KnownReporter { name: s("李强"), phone: s("13900001111"), phone_hash: [5; 16] });
    let relation = (kind == ReporterKind::OnBehalf).then(|| s("女儿"));
    new.reporter =
        Some(Reporter { id: CustomerId(Uuid::from_u128(8)), kind, known, relation, authority: None });
    if kind != ReporterKind::OnBehalf {
        (new.customer, new.service) = (None, None);
    }
    new
}

#[test]
fn reporters_are_the_customer_somebody_on_their_behalf_a_non_user_or_nobody_to_name() {
    let refuse = |new: Intake, field, problem| {
        check(&Office::empty(), (desk(), take_in(new)), Err(Rejection::invalid(field, problem)));
    };
    let without = |mut new: Intake| {
        (new.customer, new.service) = (None, None);
        new
    };
    use Problem::{Required, Unfit};
    refuse(without(intake(Kind::Fault, march(2, 9, 0))), "customer", Required);
    refuse(without(reported(ReporterKind::OnBehalf, true)), "customer", Required);
    refuse(reported(ReporterKind::OnBehalf, false), "reporter.name", Required);
    refuse(reported(ReporterKind::NonUser, false), "reporter.name", Required);
    refuse(reported(ReporterKind::Anonymous, true), "reporter.name", Unfit("an anonymous reporter has none"));
    let mut unrelated = reported(ReporterKind::OnBehalf, true);
    unrelated.reporter.as_mut().unwrap().relation = None;
    refuse(unrelated, "reporter.relation", Required);
    let mut related = reported(ReporterKind::NonUser, true);
    related.reporter.as_mut().unwrap().relation = Some(s("路人"));
    refuse(related, "reporter.relation", Unfit("only who acts for a customer has one"));
    let mut half = reported(ReporterKind::NonUser, true);
    half.service = intake(Kind::Fault, march(2, 9, 0)).service;
    refuse(half, "service", Unfit("a service has a customer"));
    let mut install = without(intake(Kind::Install, march(2, 9, 0)));
    install.reporter = reported(ReporterKind::NonUser, true).reporter;
    refuse(install, "customer", Required);

    let behalf = Office::opened(reported(ReporterKind::OnBehalf, true));
    assert_eq!(behalf.t().intake.person(), CUSTOMER);
    for new in [reported(ReporterKind::NonUser, true), reported(ReporterKind::Anonymous, false)] {
        let office = Office::opened(new);
        assert_eq!(office.t().intake.person(), CustomerId(Uuid::from_u128(8)));
        let own = vec![office.t().intake_event];
        let accrue = money::Command::Accrue { reason: DueReason::Promise, amount_fen: 1, because: own };
        check(&office, (a(Role::Assessment), accrue.into()), Err(Rejection::NoCustomer));
    }
}

#[test]
fn where_there_is_nobody_to_ask_a_supervisor_signs_off_and_inspection_looks() {
    let sign_off = || -> Command { Do::SignOffNobodyToAsk { reason: s("匿名反映") }.into() };
    let asked = through(
        Office::opened(reported(ReporterKind::NonUser, true)),
        &[Stage::Investigate, Stage::Dispatch],
    )
    .then(of("line-crew"), accept(1))
    .then(of("line-crew"), reply(1));
    check(&asked, (supervisor(), sign_off()), Err(Rejection::SomebodyToAsk));
    through(asked.pass(Stage::Feedback), &JUDGED);
    let office = through(
        Office::opened(reported(ReporterKind::Anonymous, false)),
        &[Stage::Investigate, Stage::Dispatch],
    )
    .then(of("line-crew"), accept(1))
    // A broken pole is nobody's service: there is nothing to test.
    .then(of("line-crew"), reply(1));
    let taker = Actor { role: Role::Supervisor, ..desk() };
    check(&office, (taker, sign_off()), Err(Rejection::OwnWork));
    let office = office.then(supervisor(), sign_off());
    check(&office, (a(Role::Rule), inspect(&[])), Err(Rejection::NotRoutine));
    assert_eq!(certificate(&through(office, &JUDGED)).feedback, FeedbackPassed::NobodyToAsk);
}

#[test]
fn rounds_that_ended_less_than_satisfied_count_towards_concluding() {
    let conclude = || -> Command {
        let ground = Ground::BeyondLawOrContract;
        Do::ConcludeFeedback { ground, offer: s("减免"), appeal_explained: rec() }.into()
    };
    let mut office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    for (rounds, answer) in (0..).zip([Answer::BasicallySatisfied, Answer::Dissatisfied]) {
        check(&office, (supervisor(), conclude()), Err(Rejection::TooFewDissatisfiedRounds { rounds }));
        office = office.then(desk(), feedback(answer)).pass(Stage::Dispatch).pass(Stage::Reply);
    }
    office.then(supervisor(), conclude());
}

fn accrued() -> Office {
    let office = Office::at_stage(Kind::Complaint, Stage::Close);
    let because = vec![office.event("Reported")];
    let accrue = money::Command::Accrue { reason: DueReason::Promise, amount_fen: 2_000, because };
    office.then(a(Role::Assessment), accrue.into())
}

#[test]
fn a_due_is_cancelled_with_a_reason_by_somebody_else_before_the_customer_has_it() {
    let due = DueNo(1);
    let cancel = |reason: &str| -> Command { money::Command::Cancel { due, reason: s(reason) }.into() };
    let approve = || -> Command { money::Command::Approve { due }.into() };
    let settle = || -> Command {
        money::Command::Settle { due, settlement: Settlement::Paid, reference: "tf-1".into() }.into()
    };
    let office = accrued();
    let required = Err(Rejection::invalid("reason", Problem::Required));
    check(&office, (other(Role::Assessment), cancel("")), required);
    let oneself = Actor { id: " ASSESSMENT-01".into(), ..a(Role::Assessment) };
    assert!(oneself.id.is_same(&a(Role::Assessment).id), "{}", a(Role::Assessment).id);
    check(&office, (oneself, cancel("重复")), Err(Rejection::OwnWork));
    let unknown = money::Command::Cancel { due: DueNo(2), reason: s("-") };
    check(&office, (other(Role::Assessment), unknown.into()), Err(Rejection::UnknownDue { due: DueNo(2) }));
    let cancelled = check(&office, (other(Role::Assessment), cancel("重复")), Ok(&["Cancelled"]));
    check(&cancelled, (other(Role::Assessment), cancel("重复")), Ok(&[]));
    check(&cancelled, (a(Role::Assessment), approve()), Err(Rejection::DueCancelled { due }));
    cancelled.pass(Stage::Close);
    let approved = office.then(other(Role::Assessment), approve());
    check(&approved, (other(Role::Assessment), cancel("重复")), Err(Rejection::OwnWork));
    let third = duban_sample_tickets::walker::actor(Role::Assessment, 3);
    let cancelled = approved.clone().then(third.clone(), cancel("重复"));
    check(&cancelled, (third.clone(), settle()), Err(Rejection::DueCancelled { due }));
    let settled = approved.then(third.clone(), settle());
    check(&settled, (third, cancel("重复")), Err(Rejection::DueSettled { due }));
}

#[test]
fn a_matter_that_returns_before_the_end_opens_the_next_round() {
    let next = |stage| -> Command { Do::OpenNextRound { stage, reason: s("线路又断") }.into() };
    let early = Office::at_stage(Kind::Fault, Stage::Inspect);
    let refused = duban_aggregates::ticket::draft::out_of_turn(Stage::Inspect, Stage::Report);
    check(&early, (desk(), next(Stage::Dispatch)), Err(refused));
    for at in [Stage::Report, Stage::Assess, Stage::Close] {
        let office = Office::at_stage(Kind::Fault, at);
        let unfit = Problem::Unfit("a round opens at investigate or dispatch");
        check(&office, (desk(), next(Stage::Reply)), Err(Rejection::invalid("stage", unfit)));
        let office = office.then(desk(), next(Stage::Investigate));
        assert_eq!((office.stage(), office.t().round.number), (Stage::Investigate, 2));
        assert_eq!(office.t().fault.missing(), [Missing::ServiceUp, Missing::PassingTest]);
        assert!(office.t().clock(ClockKind::Repair, clock::Subject::Ticket).unwrap().is_running());
        assert!(office.t().clock(ClockKind::Ticket, clock::Subject::Ticket).unwrap().is_running());
        let stages = [Stage::Investigate, Stage::Dispatch, Stage::Reply, Stage::Feedback];
        through(through(office, &stages), &JUDGED);
    }
    check(&Office::closed(Kind::Fault), (desk(), next(Stage::Dispatch)), Err(Rejection::TicketEnded));
}

#[test]
fn a_wrong_name_is_struck_by_a_supervisor_who_did_no_part() {
    let inspector = a(Role::Inspection);
    let typed = format!("  {} ", inspector.id.as_str().to_uppercase());
    let named = order::Command::Reply {
        order: OrderNo(1),
        resolution: s("已接通"),
        cause: None,
        measures: Vec::new(),
        done_by: vec![typed.as_str().into()],
        not_provided: None,
    };
    let office = Office::at_stage(Kind::Complaint, Stage::Reply)
        .then(of("line-crew"), accept(1))
        .then(of("line-crew"), named.into())
        .pass(Stage::Feedback)
        .then(a(Role::Dispatch), gate::Command::NoMeasureNeeded { reason: s("-") }.into());
    check(&office, (inspector.clone(), inspect(&[])), Err(Rejection::OwnWork));
    let strike = |order, person: &str, reason: &str| -> Command {
        order::Command::StrikeDoneBy { order: OrderNo(order), person: person.into(), reason: s(reason) }
            .into()
    };
    let id = inspector.id.as_str();
    check(&office, (supervisor(), strike(1, id, "")), Err(Rejection::invalid("reason", Problem::Required)));
    check(&office, (supervisor(), strike(1, " ", "-")), Err(Rejection::invalid("person", Problem::Required)));
    check(&office, (supervisor(), strike(2, id, "-")), Err(Rejection::UnknownOrder { order: OrderNo(2) }));
    check(&office, (supervisor(), strike(1, "desk-77", "-")), Err(Rejection::NotNamed { order: OrderNo(1) }));
    let taker = Actor { role: Role::Supervisor, ..desk() };
    check(&office, (taker, strike(1, id, "填错")), Err(Rejection::OwnWork));
    let office = check(&office, (supervisor(), strike(1, id, "填错")), Ok(&["DoneByStruck"]));
    check(&office, (supervisor(), strike(1, id, "填错")), Err(Rejection::NotNamed { order: OrderNo(1) }));
    // What somebody did with their own hands is not struck with a name.
    let replier = Actor { role: Role::Inspection, ..of("line-crew") };
    check(&office, (replier, inspect(&[])), Err(Rejection::OwnWork));
    office.then(inspector, inspect(&[]));
}

#[test]
fn whoever_writes_their_number_otherwise_is_the_same_person() {
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect)
        .then(a(Role::Dispatch), gate::Command::NoMeasureNeeded { reason: s("-") }.into());
    for id in [" desk-01", "DESK-01", "Desk-01\t"] {
        let same = Actor { id: id.into(), ..a(Role::Inspection) };
        assert!(same.id.is_same(&desk().id), "{}", desk().id);
        check(&office, (same, inspect(&[])), Err(Rejection::OwnWork));
    }
}

#[test]
fn a_closed_problem_is_not_joined() {
    let problem = ProblemId(Uuid::from_u128(3));
    let join = |open| -> Command { around::Command::JoinProblem { problem, open }.into() };
    let office = Office::new(Kind::Complaint);
    check(&office, (desk(), join(false)), Err(Rejection::ProblemClosed));
    let office = check(&office, (desk(), join(true)), Ok(&["ProblemJoined"]));
    check(&office, (desk(), join(false)), Ok(&[]));
}

#[test]
fn a_measure_that_failed_proves_no_gate_and_another_takes_its_place() {
    let day_of = |office: &Office| duban_aggregates::calendar::add_days(day(office), 7);
    let plan = |office: &Office| -> Command {
        let plan = MeasurePlan { text: s("改标"), owner: "planning".into(), due_on: day_of(office) };
        gate::Command::PlanMeasure { plan }.into()
    };
    let fail = |measure, finding: &str| -> Command {
        gate::Command::FailMeasure { measure: MeasureNo(measure), finding: s(finding) }.into()
    };
    let done = |measure| -> Command {
        gate::Command::CarryOutMeasure { measure: MeasureNo(measure), evidence: s("照片") }.into()
    };
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    let office = office.clone().then(a(Role::Dispatch), plan(&office)).then(of("planning"), done(1));
    let by = || a(Role::Inspection);
    check(&office, (by(), fail(1, "")), Err(Rejection::invalid("finding", Problem::Required)));
    check(&office, (by(), fail(2, "-")), Err(Rejection::UnknownMeasure { measure: MeasureNo(2) }));
    let doer = Actor { role: Role::Inspection, ..of("planning") };
    check(&office, (doer, fail(1, "-")), Err(Rejection::OwnWork));
    let office = check(&office, (by(), fail(1, "又挖断")), Ok(&["MeasureFailed"]));
    check(&office, (by(), fail(1, "又挖断")), Ok(&[]));
    check(&office, (of("planning"), done(1)), Err(Rejection::MeasureFailed { measure: MeasureNo(1) }));
    let missing = vec![Missing::Measure];
    let refused = Rejection::GateUnproved { gate: Gate::ServiceImproved, missing };
    check(&office, (by(), inspect(&[])), Err(refused));
    let office = office.clone().then(a(Role::Dispatch), plan(&office)).then(of("planning"), done(2));
    let carried_out = office.event("MeasureCarriedOut");
    let office = through(office, &JUDGED);
    let held = &certificate(&office).gates[2];
    let failed = office.t().measures[0].carried_out.unwrap();
    assert!(held.proof.contains(&carried_out) && !held.proof.contains(&failed));
}

#[test]
fn a_problems_action_that_failed_serves_no_ticket_any_more() {
    let problem = ProblemId(Uuid::from_u128(3));
    let event = |number| EventId(Uuid::from_u128(number));
    let serve = |action| -> Command { gate::Command::ServeMeasure { problem, action: event(action) }.into() };
    let fail = || -> Command { gate::Command::FailServedAction { problem, failure: event(5) }.into() };
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    check(&office, (a(Role::Rule), fail()), Err(Rejection::NotInProblem));
    let office = office.then(desk(), around::Command::JoinProblem { problem, open: true }.into());
    check(&office, (a(Role::Rule), fail()), Ok(&[]));
    let office = office.then(a(Role::Rule), serve(4));
    let office = check(&office, (a(Role::Rule), fail()), Ok(&["ServedActionFailed"]));
    let missing = vec![Missing::Measure];
    let refused = Rejection::GateUnproved { gate: Gate::ServiceImproved, missing };
    check(&office, (a(Role::Inspection), inspect(&[])), Err(refused));
    through(office.then(a(Role::Rule), serve(6)), &JUDGED);
}

#[test]
fn an_install_without_ports_has_an_end() {
    let office = Office::new(Kind::Install).then(desk(), reach(Milestone::Accepted));
    let now = Stage::Investigate;
    let missing = vec![Missing::SurveyAndResources];
    for cause in [Cause::NotYetKnown, Cause::NewOrder] {
        let refused = Rejection::OutOfTurn { now, needed: now, missing: missing.clone() };
        check(&office, (a(Role::Investigation), investigate(cause, &[])), Err(refused));
    }
    // The findings say why there will be no survey or no resources; the lead's reply says what follows.
    let office = office
        .then(a(Role::Investigation), investigate(Cause::Known(s("小区无端口")), &[]))
        .pass(Stage::Dispatch)
        .then(of("line-crew"), accept(1));
    let missing = vec![Missing::Activation];
    check(&office, (of("line-crew"), reply(1)), Err(Rejection::ReplyUnproved { missing }));
    let office = office.then(of("line-crew"), not_provided(1)).then(supervisor(), consent());
    through(office.pass(Stage::Feedback), &JUDGED);
}

//! The chain from stage to stage, and every command out of turn.

use duban_aggregates::ids::{OrderNo, VerdictNo};
use duban_aggregates::rejection::{Missing, Rejection};
use duban_aggregates::ticket::chain::{self, Cause};
use duban_aggregates::ticket::{Command, gate};
use duban_aggregates::words::{self, Answer, Channel, FeedbackPassed, Gate, Ground, Kind, Part, Role, Stage};
use duban_sample_tickets::scripted::*;

#[test]
fn a_complaint_passes_every_stage_with_its_clocks() {
    let office = Office::new(Kind::Complaint);
    assert_eq!(
        office.names(),
        [
            "TakenIn",
            "started ticket",
            "started appealable",
            "started contact",
            "started answer",
            "started stage investigate"
        ]
    );
    let when = (a(Role::Investigation), investigate(Cause::Known(s("重复扣费")), &["billing"]));
    let office =
        check(&office, when, Ok(&["Investigated", "met stage investigate", "started stage dispatch"]));
    let orders = [("billing", Part::Assist), ("sales", Part::Lead)];
    let office = check(
        &office,
        (a(Role::Dispatch), dispatch(&orders)),
        Ok(&[
            "Dispatched",
            "met stage dispatch",
            "started stage reply",
            "Issued",
            "started order",
            "Issued",
            "started order",
        ]),
    );
    assert_eq!(office.t().lead().unwrap().number, OrderNo(2), "orders are numbered as they were given");
    let office = check(&office, (of("billing"), accept(1)), Ok(&["Accepted"]));
    let office = check(&office, (of("sales"), accept(2)), Ok(&["Accepted"]));
    let office = check(&office, (of("sales"), accept(2)), Ok(&[]));
    let office = check(&office, (of("billing"), reply(1)), Ok(&["Replied", "met order"]));
    let then = ["Replied", "met order", "met stage reply", "started stage feedback"];
    let office = check(&office, (of("sales"), reply(2)), Ok(&then));
    let office = check(
        &office,
        (a(Role::Desk), feedback(Answer::Satisfied)),
        Ok(&[
            "FeedbackRecorded",
            "met contact",
            "met answer",
            "met stage feedback",
            "met ticket",
            "met appealable",
            "started closing",
            "started stage inspect",
        ]),
    );
    let nothing_needed: Command = gate::Command::NoMeasureNeeded { reason: s("一次") }.into();
    let office = check(&office, (a(Role::Dispatch), nothing_needed.clone()), Ok(&["NoMeasureNeeded"]));
    let office = check(&office, (a(Role::Dispatch), nothing_needed), Ok(&[]));
    let then = ["Inspected", "met stage inspect", "started stage report"];
    let office = check(&office, (a(Role::Inspection), inspect(&[])), Ok(&then));
    let then = ["Reported", "met stage report", "started stage assess"];
    let office = check(&office, (a(Role::Reporting), report()), Ok(&then));
    let verdicts = [("billing", blameless()), ("sales", blameless())];
    let office =
        check(&office, (a(Role::Assessment), assess(&verdicts)), Ok(&["Assessed", "met stage assess"]));
    let office =
        check(&office, (a(Role::Assessment), chain::Command::Close.into()), Ok(&["Closed", "met closing"]));
    assert!(office.t().clocks.iter().all(|clock| !clock.is_live() && !clock.is_breached()));
}

/// A command of each stage, by somebody who may give it.
fn step_of(stage: Stage) -> Vec<(duban_aggregates::actor::Actor, Command)> {
    let reason = || s("原因");
    match stage {
        Stage::Investigate => vec![
            (a(Role::Investigation), investigate(Cause::NotYetKnown, &[])),
            (a(Role::Desk), chain::Command::DispatchUrgent { facts: s("110"), orders: Vec::new() }.into()),
        ],
        Stage::Dispatch => vec![(a(Role::Dispatch), dispatch(&[("line-crew", Part::Lead)]))],
        Stage::Reply => orders_commands(),
        Stage::Feedback => vec![
            (a(Role::Desk), feedback(Answer::Satisfied)),
            (a(Role::Desk), chain::Command::AttemptContact { recording: rec() }.into()),
            (a(Role::Supervisor), chain::Command::SignOffUnreachable { reason: reason() }.into()),
            (
                a(Role::Supervisor),
                chain::Command::ConcludeFeedback {
                    ground: Ground::Abuse,
                    offer: s("退费"),
                    appeal_explained: rec(),
                }
                .into(),
            ),
            (a(Role::Desk), chain::Command::SendReplyBack { assists: Vec::new(), reason: reason() }.into()),
        ],
        Stage::Inspect => vec![(a(Role::Inspection), inspect(&[]))],
        Stage::Report => vec![(a(Role::Reporting), report())],
        Stage::Assess => vec![
            (a(Role::Assessment), assess(&[])),
            (a(Role::Assessment), chain::Command::RequestFacts { reason: reason() }.into()),
        ],
        Stage::Close => vec![(a(Role::Assessment), chain::Command::Close.into())],
    }
}

fn orders_commands() -> Vec<(duban_aggregates::actor::Actor, Command)> {
    use duban_aggregates::ticket::order::Command as Do;
    let (order, reason) = (OrderNo(1), || s("原因"));
    let until = march(20, 0, 0);
    let unit = [
        Do::Accept { order },
        Do::RequestReturn { order, reason: reason() },
        Do::AskExtension { order, until, reason: reason() },
        Do::WaitForAssist { order, assist: OrderNo(2) },
    ];
    let dispatchers = [
        Do::GrantReturn { order, replacement: None },
        Do::RefuseReturn { order, reason: reason() },
        Do::AddAssist { order: new_order("power", Part::Assist) },
        Do::Release { order, reason: reason() },
        Do::Recall { order, reason: reason(), replacement: None },
        Do::GrantExtension { order, until: None },
        Do::RefuseExtension { order, reason: reason() },
    ];
    let unit = unit.into_iter().map(|command| (of("line-crew"), command.into()));
    let dispatchers = dispatchers.into_iter().map(|command| (a(Role::Dispatch), command.into()));
    unit.chain([(of("line-crew"), reply(1))]).chain(dispatchers).collect()
}

#[test]
fn every_command_of_another_stage_is_refused_with_the_stage_now_the_stage_needed_and_what_is_missing() {
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        for now in Stage::ALL {
            let office = Office::at_stage(kind, now);
            assert_eq!(office.stage(), now);
            for needed in Stage::ALL.into_iter().filter(|needed| *needed != now) {
                let between = Stage::ALL.into_iter().filter(|stage| now <= *stage && *stage < needed);
                let missing: Vec<_> = if now < needed {
                    between.map(|stage| Missing::Completion(stage, stage.department())).collect()
                } else {
                    vec![Missing::NewRound]
                };
                for (actor, command) in step_of(needed) {
                    let refused = Rejection::OutOfTurn { now, needed, missing: missing.clone() };
                    assert_eq!(refused.stage_needed(), Some(needed));
                    assert_eq!(refused.missing(), missing);
                    check(&office, (actor, command), Err(refused));
                }
            }
        }
    }
}

#[test]
fn an_install_is_investigated_by_survey_and_resources() {
    let office = Office::new(Kind::Install);
    let (now, needed) = (Stage::Investigate, Stage::Investigate);
    let refused = Rejection::OutOfTurn { now, needed, missing: vec![Missing::SurveyAndResources] };
    check(&office, (a(Role::Investigation), investigate(Cause::NewOrder, &[])), Err(refused));
    let office = office.pass(Stage::Investigate);
    assert!(office.t().cause.is_some(), "a new order is a known cause");
}

#[test]
fn a_cause_that_is_not_yet_known_supersedes_none_and_the_unit_may_find_it() {
    let office =
        Office::new(Kind::Complaint).then(a(Role::Investigation), investigate(Cause::NotYetKnown, &[]));
    assert_eq!(office.t().cause, None);
    let office = office.pass(Stage::Dispatch).then(of("line-crew"), accept(1));
    let found = duban_aggregates::ticket::order::Command::Reply {
        not_provided: None,
        order: OrderNo(1),
        resolution: s("已更正"),
        cause: Some(Cause::Known(s("录入错误"))),
        measures: vec![duban_aggregates::ticket::order::MeasurePlan {
            text: s("双人复核"),
            owner: "billing".into(),
            due_on: day(&office),
        }],
        done_by: vec!["x".into()],
    };
    let then = ["Replied", "met order", "met stage reply", "started stage feedback", "MeasurePlanned"];
    let office = check(&office, (of("line-crew"), found.into()), Ok(&then));
    assert_eq!(office.t().cause, Some(office.event("Replied")));
}

#[test]
fn anything_less_than_satisfied_opens_the_next_round_where_the_desk_says() {
    for (answer, again, stage) in [
        (Answer::BasicallySatisfied, false, Stage::Dispatch),
        (Answer::Dissatisfied, false, Stage::Dispatch),
        (Answer::Dissatisfied, true, Stage::Investigate),
    ] {
        let command = chain::Command::RecordFeedback {
            answer,
            words: s("晚上慢"),
            recording: None,
            investigate_again: again,
        };
        let office = Office::at_stage(Kind::Fault, Stage::Feedback).then(a(Role::Desk), command.into());
        let round = &office.t().round;
        assert_eq!((office.stage(), round.number, round.reply, round.lead), (stage, 2, None, None));
        assert_eq!(office.t().dissatisfied_rounds, 1);
        let next = Stage::ALL.into_iter().filter(|passed| (stage..Stage::Close).contains(passed));
        let office = next.fold(office, Office::pass).pass(Stage::Close);
        assert_eq!(office.t().round.number, 2);
    }
}

#[test]
fn a_failed_inspection_opens_a_round_at_investigate_only_for_gate_one() {
    let office = Office::at_stage(Kind::Complaint, Stage::Inspect);
    let office = office.then(a(Role::Dispatch), gate::Command::NoMeasureNeeded { reason: s("-") }.into());
    for (failed, stage) in [
        (vec![Gate::CauseKnown, Gate::ServiceImproved], Stage::Investigate),
        (vec![Gate::ProblemSolved], Stage::Dispatch),
        (vec![Gate::ServiceImproved], Stage::Dispatch),
    ] {
        let entered = format!("started stage {}", stage.name());
        let then = [
            "Inspected",
            "met stage inspect",
            "RoundOpened",
            "cancelled closing",
            "started ticket",
            &entered,
        ];
        let office = check(&office, (a(Role::Inspection), inspect(&failed)), Ok(&then));
        assert_eq!(office.t().round.passed, None, "feedback of an earlier round does not count");
    }
}

#[test]
fn assessment_that_lacks_facts_sends_back_to_investigate() {
    let office = Office::at_stage(Kind::Complaint, Stage::Assess);
    let command: Command = chain::Command::RequestFacts { reason: s("缺测试记录") }.into();
    let then = [
        "RoundOpened",
        "cancelled closing",
        "started ticket",
        "cancelled stage assess",
        "started stage investigate",
    ];
    check(&office, (a(Role::Assessment), command), Ok(&then));
}

#[test]
fn replies_sent_back_keep_the_round_and_the_first_verdict() {
    let orders = [("line-crew", Part::Lead), ("power", Part::Assist)];
    let office = Office::at_stage(Kind::Complaint, Stage::Dispatch)
        .then(a(Role::Dispatch), dispatch(&orders))
        .then(of("power"), accept(2))
        .then(of("line-crew"), accept(1))
        .then(of("power"), reply(2))
        .then(of("line-crew"), reply(1));
    let back: Command =
        chain::Command::SendReplyBack { assists: vec![OrderNo(2)], reason: s("缺照片") }.into();
    let then = [
        "ReplySentBack",
        "cancelled stage feedback",
        "started stage reply",
        "started order",
        "started order",
    ];
    let office = check(&office, (a(Role::Desk), back), Ok(&then));
    assert_eq!((office.stage(), office.t().round.number, office.t().round.sent_back), (Stage::Reply, 1, 1));
    let met = office.names().iter().filter(|name| *name == "met order").count();
    assert_eq!(met, 2, "the first verdicts stand");
    let office = office.then(of("power"), reply(2)).then(of("line-crew"), reply(1));
    assert_eq!(office.stage(), Stage::Feedback);
}

#[test]
fn a_customer_who_is_never_reached_is_signed_off_after_three_attempts_on_two_days() {
    let attempt = || -> Command { chain::Command::AttemptContact { recording: rec() }.into() };
    let sign_off = || -> Command { chain::Command::SignOffUnreachable { reason: s("三次未接") }.into() };
    let missing = |missing| Err(Rejection::AttemptsMissing { missing });
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    let supervisor = || a(Role::Supervisor);
    check(&office, (supervisor(), sign_off()), missing(vec![Missing::Attempts(3), Missing::SecondDay]));
    let office = check(&office, (a(Role::Desk), attempt()), Ok(&["ContactAttempted"])).wait_minutes(60);
    // Only an hour later: an event, but none that counts.
    let office = office.then(a(Role::Desk), attempt()).wait_minutes(60).then(a(Role::Desk), attempt());
    check(&office, (supervisor(), sign_off()), missing(vec![Missing::Attempts(1), Missing::SecondDay]));
    let same_day = office.clone().wait_minutes(125).then(a(Role::Desk), attempt());
    check(&same_day, (supervisor(), sign_off()), missing(vec![Missing::SecondDay]));
    let office = office.until(march(3, 9, 0)).then(a(Role::Desk), attempt());
    check(&office, (a(Role::Desk), sign_off()), Err(Rejection::OwnWork));
    let then = [
        "UnreachableSignedOff",
        "met ticket",
        "met appealable",
        "started closing",
        "met stage feedback",
        "started stage inspect",
    ];
    let names = check(&office, (supervisor(), sign_off()), Ok(&then[..])).t().round.passed;
    assert_eq!(names.unwrap().0, FeedbackPassed::Unreachable);
}

#[test]
fn a_customer_who_is_never_satisfied_is_concluded_after_two_dissatisfied_rounds() {
    let conclude = || -> Command {
        chain::Command::ConcludeFeedback {
            ground: Ground::BeyondLawOrContract,
            offer: s("减免一个月月租"),
            appeal_explained: rec(),
        }
        .into()
    };
    let mut office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    for rounds in 0..2 {
        let refused = Rejection::TooFewDissatisfiedRounds { rounds };
        check(&office, (a(Role::Supervisor), conclude()), Err(refused));
        office = office.then(a(Role::Desk), feedback(Answer::Dissatisfied));
        office = office.pass(Stage::Dispatch).pass(Stage::Reply);
    }
    let office = office.then(a(Role::Supervisor), conclude());
    let office =
        [Stage::Inspect, Stage::Report, Stage::Assess, Stage::Close].into_iter().fold(office, Office::pass);
    let Some((_, duban_aggregates::ticket::Event::Chain(chain::Event::Closed { certificate }))) =
        office.history.iter().rev().find(|(meta, _)| meta.id == office.t().certificate.unwrap())
    else {
        panic!("no certificate")
    };
    assert_eq!((certificate.round, certificate.feedback), (3, FeedbackPassed::Concluded));
}

#[test]
fn the_desk_dispatches_110_cases_and_mass_outages_itself() {
    let urgent =
        |orders| -> Command { chain::Command::DispatchUrgent { facts: s("主干中断"), orders }.into() };
    let lead = || vec![new_order("line-crew", Part::Lead)];
    check(&Office::new(Kind::Fault), (a(Role::Desk), urgent(lead())), Err(Rejection::NotUrgent));
    let mut police = intake(Kind::Fault, march(2, 9, 0));
    police.channel = Channel::Police110;
    let mut outage = intake(Kind::Fault, march(2, 9, 0));
    outage.mass_outage = true;
    for intake in [police, outage] {
        let then = [
            "Investigated",
            "met stage investigate",
            "started stage dispatch",
            "Dispatched",
            "met stage dispatch",
            "started stage reply",
            "Issued",
            "started order",
        ];
        let office = check(&Office::opened(intake), (a(Role::Desk), urgent(lead())), Ok(&then));
        assert_eq!(office.t().cause, None, "not yet known");
    }
}

#[test]
fn routine_faults_and_installs_are_judged_by_the_standing_rule_and_complaints_never() {
    for kind in [Kind::Fault, Kind::Install] {
        let office = Office::at_stage(kind, Stage::Inspect)
            .then(a(Role::Rule), inspect(&[]))
            .then(a(Role::Rule), report())
            .then(a(Role::Rule), assess(&[("line-crew", blameless())]))
            .pass(Stage::Close);
        assert!(!office.t().is_open());
    }
    let not_routine = |office: &Office| {
        check(office, (a(Role::Rule), inspect(&[])), Err(Rejection::NotRoutine));
    };
    not_routine(&Office::at_stage(Kind::Complaint, Stage::Inspect));
    let second = Office::at_stage(Kind::Fault, Stage::Feedback)
        .then(a(Role::Desk), feedback(Answer::BasicallySatisfied))
        .pass(Stage::Dispatch)
        .pass(Stage::Reply)
        .pass(Stage::Feedback);
    not_routine(&second);
    let late = Office::new(Kind::Fault).wait_minutes(60 * 24);
    let late = [Stage::Investigate, Stage::Dispatch, Stage::Reply, Stage::Feedback]
        .into_iter()
        .fold(late, Office::pass);
    not_routine(&late);
}

#[test]
fn a_later_round_may_confirm_verdicts_and_never_repeats_a_penalty() {
    let office = Office::at_stage(Kind::Complaint, Stage::Assess)
        .then(a(Role::Assessment), assess(&[("line-crew", at_fault(2, 0))]))
        .then(
            of("line-crew"),
            duban_aggregates::ticket::verdict::Command::Accept { verdict: VerdictNo(1) }.into(),
        )
        .pass(Stage::Close);
    let again =
        chain::Command::Reopen { because: words::ReopenCause::CustomerReturned, reason: s("又来电") };
    let office = office.then(a(Role::Desk), again.into());
    let stages = Stage::ALL.into_iter().filter(|stage| *stage < Stage::Assess);
    let office = stages.fold(office, Office::pass);
    let refused = Rejection::PenaltyAlreadyCarriedOut { verdict: VerdictNo(1) };
    check(&office, (a(Role::Assessment), assess(&[("line-crew", at_fault(2, 0))])), Err(refused));
    let confirm = chain::Command::Assess { verdicts: Vec::new(), confirmed: vec![VerdictNo(1)] };
    let office = office.then(a(Role::Assessment), confirm.into()).pass(Stage::Close);
    let carried_out = office.names().iter().filter(|name| *name == "PenaltyCarriedOut").count();
    assert_eq!(carried_out, 1);
}

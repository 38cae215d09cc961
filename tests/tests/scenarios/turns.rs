//! The chain: at every stage, every other stage's commands are refused and change nothing.

use std::collections::BTreeSet;

use duban_proto::api::v1::TicketState;
use duban_proto::event::v1::{Answer, Role, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::script::{Case, Make, way};
use tonic::Code;

const STAGES: [Stage; 8] = [
    Stage::Investigate,
    Stage::Dispatch,
    Stage::Reply,
    Stage::Feedback,
    Stage::Inspect,
    Stage::Report,
    Stage::Assess,
    Stage::Close,
];

const KINDS: [TicketKind; 3] = [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install];

/// Every command that belongs to one stage of the chain.
fn commands() -> Vec<(Stage, Make)> {
    let of = |stage: Stage, commands: &[Make]| commands.iter().map(|make| (stage, *make)).collect::<Vec<_>>();
    [
        of(Stage::Investigate, &[c::investigate, c::dispatch_urgent]),
        of(Stage::Dispatch, &[c::dispatch]),
        of(
            Stage::Reply,
            &[
                c::accept,
                c::reply,
                c::request_return,
                c::grant_return,
                c::refuse_return,
                c::third_return,
                c::add_assist,
                c::release,
                c::recall,
                c::ask_extension,
                c::grant_extension,
                c::refuse_extension,
                c::wait_for_assist,
            ],
        ),
        of(Stage::Feedback, &[c::feedback, c::attempt_contact, c::send_reply_back, c::sign_off, c::conclude]),
        of(Stage::Inspect, &[c::inspect]),
        of(Stage::Report, &[c::report]),
        of(Stage::Assess, &[c::assess, c::request_facts]),
        of(Stage::Close, &[c::close]),
    ]
    .concat()
}

fn name(stage: Stage) -> String {
    stage.as_str_name().trim_start_matches("STAGE_").to_lowercase()
}

/// What stands between: each stage's completion, or a new round where the stage lies behind.
fn expected_missing(now: Stage, needed: Stage) -> Vec<String> {
    if now > needed {
        return vec!["new round".to_owned()];
    }
    let between = STAGES.into_iter().filter(|stage| (now..needed).contains(stage));
    between.map(|stage| format!("{} to be completed", name(stage))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_stage_every_other_stages_commands_are_out_of_turn_and_change_nothing() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut refused = 0;
    for kind in KINDS {
        for now in STAGES {
            let mut case = Case::new(&format!("turns-{kind:?}-{now:?}"), kind);
            case.bring_to(&wire, now).await;
            let before = case.state(&wire).await.unwrap();
            let summary = before.summary.clone().unwrap_or_default();
            assert_eq!(summary.stage(), now, "a ticket that was brought to {now:?} is there");
            for (needed, make) in commands().into_iter().filter(|(needed, _)| *needed != now) {
                let sent = make(&mut case);
                let what = format!("{} at {now:?} ({kind:?})", sent.method);
                let refusal = duban_tests::refusal::refused(wire.send(&sent).await, &what);
                assert_eq!(refusal.code, Code::FailedPrecondition, "{what}: {refusal:?}");
                assert_eq!(refusal.reason, "OUT_OF_TURN", "{what}: {refusal:?}");
                assert_eq!(refusal.metadata("stage_now"), name(now), "{what}: {refusal:?}");
                assert_eq!(refusal.metadata("stage_needed"), name(needed), "{what}: {refusal:?}");
                for part in expected_missing(now, needed) {
                    assert!(refusal.metadata("missing").contains(&part), "{what} misses {part}: {refusal:?}");
                    assert!(
                        refusal.preconditions.iter().any(|it| it.description.contains(&part)),
                        "{what}: {refusal:?}"
                    );
                }
                refused += 1;
            }
            let after = case.state(&wire).await.unwrap();
            assert_eq!(after, before, "what was refused at {now:?} changed the ticket");
        }
    }
    // 26 commands in all; each is in turn at one stage of eight.
    assert_eq!(refused, KINDS.len() * commands().len() * (STAGES.len() - 1));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_goes_the_whole_way_and_its_certificate_has_five_gates() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for kind in KINDS {
        let mut case = Case::new(&format!("whole-{kind:?}"), kind);
        case.close(&wire).await;
        let state = case.state(&wire).await.unwrap();
        assert_eq!(state.summary.clone().unwrap_or_default().state(), TicketState::Closed);
        let certificate = state.certificate.expect("a closed ticket has a certificate");
        let gates: BTreeSet<_> = certificate.gates.iter().map(|gate| gate.gate).collect();
        assert_eq!(gates.len(), 5, "{certificate:?}");
        assert!(certificate.gates.iter().all(|gate| !gate.waived), "{certificate:?}");
        let events = histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
        let known: BTreeSet<_> =
            events.iter().filter_map(|shown| Some(shown.event.as_ref()?.id.clone())).collect();
        for proof in certificate.gates.iter().flat_map(|gate| &gate.proof) {
            assert!(
                known.contains(proof),
                "a certificate names an event that the ticket does not have: {proof}"
            );
        }
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_every_stages_command_is_refused_because_the_ticket_has_ended() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("ended", TicketKind::Complaint);
    case.close(&wire).await;
    let before = case.state(&wire).await.unwrap();
    for (_, make) in commands() {
        let refusal = case.refused(&wire, make).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::FailedPrecondition, "TICKET_ENDED"),
            "{refusal:?}"
        );
    }
    assert_eq!(case.state(&wire).await.unwrap(), before);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn less_than_satisfied_opens_the_next_round_at_dispatch() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for (number, answer) in [Answer::BasicallySatisfied, Answer::Dissatisfied].into_iter().enumerate() {
        let mut case = Case::new(&format!("round-{number}"), TicketKind::Complaint);
        case.bring_to(&wire, Stage::Feedback).await;
        let sent = c::feedback_of(&mut case, answer);
        let answer = wire.send(&sent).await.unwrap();
        case.done.push((sent, answer));
        let summary = case.state(&wire).await.unwrap().summary.unwrap_or_default();
        assert_eq!((summary.stage(), summary.round), (Stage::Dispatch, 2));
        // This round's reply, feedback and inspection count, and no earlier ones.
        let refusal = case.refused(&wire, c::inspect).await;
        assert_eq!(refusal.reason, "OUT_OF_TURN");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_the_gates_and_names_what_is_missing() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("gates", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Close).await;
    let refusal = case.refused(&wire, c::close).await;
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "GATES_OPEN"),
        "{refusal:?}"
    );
    assert!(refusal.metadata("missing").contains("verdict 1 to become final"), "{refusal:?}");
    case.done(&wire, c::accept_verdict).await;
    case.done(&wire, c::close).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routine_fault_is_inspected_reported_and_assessed_by_the_standing_rule() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("routine", TicketKind::Fault);
    case.bring_to(&wire, Stage::Reply).await;
    for make in [c::accept, c::line_test, c::service_up, c::reply, c::feedback] {
        case.done(&wire, make).await;
    }
    inside.size().await;
    let state = case.state(&wire).await.unwrap();
    assert_eq!(state.summary.unwrap_or_default().stage(), Stage::Close);
    let events = histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
    for name in ["chain.inspected.v1", "chain.reported.v1", "chain.assessed.v1"] {
        let event = events.iter().filter_map(|shown| shown.event.as_ref()).find(|event| event.r#type == name);
        let metadata = event.and_then(|event| event.metadata.clone()).expect("the rule did it");
        assert_eq!(metadata.role(), Role::Rule, "{name}");
        assert!(metadata.causation.is_some(), "{name} names the event that it answers to");
    }
    case.done(&wire, c::close).await;
    inside.stop().await;
}

#[test]
fn the_way_of_every_kind_passes_every_stage() {
    for kind in KINDS {
        let stages: Vec<_> = way(kind).into_iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages, STAGES);
    }
}

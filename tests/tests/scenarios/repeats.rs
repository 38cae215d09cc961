//! Commands sent again, at once, and against a ticket that has gone on.

use std::collections::BTreeSet;

use duban_client::Refusal;
use duban_client::TokenHolder;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::refusal::refused;
use duban_tests::script::{Case, id};
use futures::future::join_all;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_a_ticket_sent_again_answers_the_same_and_writes_nothing() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for kind in [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install] {
        let mut case = Case::new(&format!("again-{kind:?}"), kind);
        case.close(&wire).await;
        let before = histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
        let size = inside.size().await;
        inside.clock().advance(std::time::Duration::from_secs(60));
        for (sent, answer) in &case.done {
            let again = wire.send(sent).await;
            let again =
                again.unwrap_or_else(|status| panic!("{}: {:?}", sent.method, Refusal::from(&status)));
            assert_eq!(again, *answer, "{} of {kind:?}", sent.method);
        }
        let after = histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
        assert_eq!(after, before);
        assert_eq!(inside.size().await, size, "a repeat writes nothing, in no stream");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_repeated_at_once_after_its_first_answer_changes_nothing_either() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("hot-repeats", TicketKind::Fault);
    case.bring_to(&wire, Stage::Dispatch).await;
    for make in [c::dispatch, c::accept, c::line_test, c::service_up, c::reply, c::feedback] {
        let first = case.done(&wire, make).await;
        let (sent, _) = case.done.last().cloned().unwrap();
        assert_eq!(wire.send(&sent).await.unwrap(), first, "{}", sent.method);
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_on_another_request_is_refused_by_its_field() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("other-body", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Dispatch).await;
    let size = inside.size().await;
    let used = case.done.last().map(|(sent, _)| sent.command.clone()).unwrap();
    let other = api::InvestigateRequest {
        ticket_id: case.ticket.clone(),
        command_id: used.clone(),
        expected_revision: None,
        cause: Some(api::Cause { kind: duban_proto::event::v1::CauseKind::NotYetKnown.into(), text: None }),
        facts: "另有情况".into(),
        units: Vec::new(),
    };
    let same_method =
        case.sent("InvestigationService/Investigate", inside.who("investigation"), &used, &other);
    let contact = api::ContactCustomerRequest {
        ticket_id: case.ticket.clone(),
        command_id: used.clone(),
        reason: duban_proto::event::v1::ContactReason::Question.into(),
        said: "问".into(),
        ..Default::default()
    };
    let other_method = case.sent("DeskService/ContactCustomer", inside.who("desk"), &used, &contact);
    for sent in [same_method, other_method] {
        let refusal = refused(wire.send(&sent).await, sent.method);
        assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
        assert_eq!(refusal.field_names(), ["command_id"], "{refusal:?}");
    }
    assert_eq!(inside.size().await, size);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_identical_commands_at_once_have_one_effect() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for (number, stage) in [Stage::Investigate, Stage::Feedback].into_iter().enumerate() {
        let mut case = Case::new(&format!("fifty-{number}"), TicketKind::Complaint);
        case.bring_to(&wire, stage).await;
        let sent =
            if stage == Stage::Investigate { c::investigate(&mut case) } else { c::feedback(&mut case) };
        let answers = join_all((0..50).map(|_| wire.send(&sent))).await;
        let answers: Vec<_> =
            answers.into_iter().map(|answer| answer.expect("a repeat is answered")).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let events = histories::events(&wire, &case.ticket, &answers[0].position).await.unwrap();
        let command = uuid::Uuid::parse_str(&sent.command).unwrap();
        let by_it = events.iter().filter_map(|shown| shown.event.as_ref());
        let by_it = by_it.filter(|event| {
            event.metadata.as_ref().is_some_and(|metadata| metadata.command_id == command.as_bytes())
        });
        let revisions: Vec<_> = by_it.map(|event| event.revision).collect();
        let last = *revisions.last().expect("it had its effect");
        assert_eq!(last, answers[0].revision);
        assert_eq!(last - revisions[0] + 1, revisions.len() as u64, "its events stand together");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_identical_intakes_at_once_take_in_one_ticket() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("fifty-intakes", TicketKind::Complaint);
    let sent = c::take_in(&mut case);
    let answers = join_all((0..50).map(|_| wire.send(&sent))).await;
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| {
            answer.unwrap_or_else(|status| panic!("a repeat is answered: {:?}", Refusal::from(&status)))
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(histories::tickets(&wire, &answers[0].position).await.unwrap().len(), 1);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intake_without_a_ticket_id_finds_its_ticket_again() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let case = Case::new("derived", TicketKind::Complaint);
    let command = id("derived", "command");
    let request = api::TakeInRequest { ticket_id: String::new(), ..c::take_in_request(&case, &command) };
    let sent = case.sent("DeskService/TakeIn", inside.who("desk"), &command, &request);
    let first = wire.send(&sent).await.unwrap();
    assert_eq!(wire.send(&sent).await.unwrap(), first);
    assert_eq!(histories::tickets(&wire, &first.position).await.unwrap().len(), 1);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_different_commands_at_once_on_one_ticket_leave_one_history() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("twenty", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    let before = case.revision(&wire).await.unwrap();
    let all: Vec<_> = (0..20)
        .map(|number| match number % 4 {
            0 => c::contact(&mut case),
            1 => c::attach(&mut case),
            2 => c::accept(&mut case),
            _ => c::add_assist(&mut case),
        })
        .collect();
    let answers = join_all(all.iter().map(|sent| wire.send(sent))).await;
    let mut last = String::new();
    let mut revisions = BTreeSet::new();
    for (sent, answer) in all.iter().zip(answers) {
        match answer {
            Ok(answer) => {
                revisions.insert(answer.revision);
                if position(&answer.position) > position(&last) {
                    last = answer.position;
                }
            }
            // Five assists of one unit: one is issued, four find that the unit has an order.
            Err(status) => {
                let refusal = Refusal::from(&status);
                assert_eq!(sent.method, "DispatchService/AddAssist", "{refusal:?}");
                assert_eq!(refusal.reason, "UNIT_HAS_ORDER", "{refusal:?}");
            }
        }
    }
    let events = histories::events(&wire, &case.ticket, &last).await.unwrap();
    let dense = events
        .iter()
        .enumerate()
        .all(|(index, shown)| shown.event.as_ref().is_some_and(|event| event.revision == index as u64));
    assert!(dense, "revisions follow one another without gap or copy");
    assert!(revisions.iter().all(|revision| *revision < events.len() as u64 && *revision >= before));
    let recorded = |shown: &api::HistoryEvent| shown.event.as_ref().and_then(|event| event.recorded_at);
    assert!(events.windows(2).all(|pair| {
        let (first, second) = (recorded(&pair[0]).unwrap(), recorded(&pair[1]).unwrap());
        (first.seconds, first.nanos) <= (second.seconds, second.nanos)
    }));
    let count = |name: &str| {
        events.iter().filter_map(|shown| shown.event.as_ref()).filter(|event| event.r#type == name).count()
    };
    assert_eq!(count("ticket.customer_contacted.v1"), 5);
    assert_eq!(count("ticket.attached.v1"), 5);
    assert_eq!(count("order.accepted.v1"), 1, "accepting twice changes nothing");
    assert_eq!(count("order.issued.v1"), 2, "the lead's, and one assist's");
    inside.stop().await;
}

fn position(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_expects_another_revision_is_aborted_and_told_the_one_now() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("expected", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Dispatch).await;
    let now = case.revision(&wire).await.unwrap();
    let size = inside.size().await;
    let expecting = |case: &mut Case, revision: u64| {
        let command = case.next_id();
        let request = api::AttachRequest {
            ticket_id: case.ticket.clone(),
            command_id: command.clone(),
            expected_revision: Some(revision),
            attachment: Some(c::recording("附件")),
        };
        case.sent("DeskService/Attach", TokenHolder::new("desk", "desk"), &command, &request)
    };
    for wrong in [0, now - 1, now + 1, u64::MAX] {
        let sent = expecting(&mut case, wrong);
        let refusal = refused(wire.send(&sent).await, "a command that expects another revision");
        assert_eq!(refusal.code, Code::Aborted, "{wrong}: {refusal:?}");
        assert_eq!(refusal.metadata("revision_now"), now.to_string(), "{wrong}: {refusal:?}");
    }
    assert_eq!(inside.size().await, size);
    let right = expecting(&mut case, now);
    let first = wire.send(&right).await.unwrap();
    assert!(first.revision > now);
    assert_eq!(wire.send(&right).await.unwrap(), first, "its repeat is no conflict");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_leaves_no_trace_and_its_id_may_be_used() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("no-trace", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Investigate).await;
    let early = c::dispatch(&mut case);
    let size = inside.size().await;
    assert_eq!(refused(wire.send(&early).await, "an early dispatch").reason, "OUT_OF_TURN");
    assert_eq!(inside.size().await, size);
    case.done(&wire, c::investigate).await;
    wire.send(&early).await.expect("the same command, now in turn");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_tickets_merged_into_each_other_at_once_one_goes_on() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for round in 0..10 {
        let mut one = Case::new(&format!("merge-{round}"), TicketKind::Complaint);
        one.done(&wire, c::take_in).await;
        let (ticket, command) = (id("merge-other", &round.to_string()), one.next_id());
        let mut request = c::take_in_request(&one, &command);
        request.ticket_id.clone_from(&ticket);
        request.category = "complaint.billing.dispute".into();
        wire.send(&one.sent("DeskService/TakeIn", inside.who("desk"), &command, &request)).await.unwrap();
        let here = one.ticket.clone();
        let mut merge = |from: &str, into: &str| {
            let command = one.next_id();
            let request = api::MergeRequest {
                ticket_id: from.to_owned(),
                command_id: command.clone(),
                into: into.to_owned(),
                ..Default::default()
            };
            one.sent("DeskService/Merge", inside.who("desk"), &command, &request)
        };
        let (there, back) = (merge(&here, &ticket), merge(&ticket, &here));
        let answers = join_all([wire.send(&there), wire.send(&back)]).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    }
    inside.stop().await;
}

//! What a reader reads is the same before a restart and after it, whether the server was stopped or killed.

use duban_proto::api::v1 as api;
use duban_proto::api::v1::TicketState;
use duban_proto::event::v1::{Answer, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories::{self, Histories};
use duban_tests::inside::Inside;
use duban_tests::outside::{Served, run};
use duban_tests::script::Case;
use duban_tests::wire::Wire;

use crate::program;

/// Tickets of all kinds, at every stage, some of them ended in other ways than closed.
async fn something_happens(wire: &Wire) -> String {
    const STAGES: [Stage; 4] = [Stage::Investigate, Stage::Reply, Stage::Inspect, Stage::Close];
    let mut last = String::new();
    for kind in [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install] {
        for stage in STAGES {
            let mut case = Case::new(&format!("restart-{kind:?}-{stage:?}"), kind);
            case.bring_to(wire, stage).await;
        }
        let mut case = Case::new(&format!("restart-{kind:?}-closed"), kind);
        case.close(wire).await;
        let mut case = Case::new(&format!("restart-{kind:?}-again"), kind);
        case.bring_to(wire, Stage::Feedback).await;
        let sent = c::feedback_of(&mut case, Answer::Dissatisfied);
        wire.send(&sent).await.expect("a dissatisfied customer is recorded");
        let mut case = Case::new(&format!("restart-{kind:?}-withdrawn"), kind);
        case.done(wire, c::take_in).await;
        let command = case.next_id();
        let request = api::WithdrawRequest {
            ticket_id: case.ticket.clone(),
            command_id: command.clone(),
            expected_revision: None,
            recording: Some(c::recording("录音-撤单")),
            reason: "客户自行解决".into(),
        };
        let sent = case.sent(
            "DeskService/Withdraw",
            duban_client::TokenHolder::new("desk", "desk"),
            &command,
            &request,
        );
        last = wire.send(&sent).await.expect("a customer may withdraw").position;
    }
    last
}

/// Opened + reopened − closed − withdrawn − rejected − merged = open, counted from the events and from the lists.
async fn counts_add_up(wire: &Wire, histories: &Histories, position: &str) {
    let types = histories::types(histories);
    let count = |name: &str| types.get(name).copied().unwrap_or(0);
    let ends = count("chain.closed.v1")
        + count("chain.withdrawn.v1")
        + count("chain.rejected.v1")
        + count("chain.merged.v1");
    let open = count("ticket.taken_in.v1") + count("chain.reopened.v1") - ends;
    let filter = api::TicketFilter { states: vec![TicketState::Open.into()], ..Default::default() };
    let listed = histories::tickets_that(wire, filter, position).await.expect("an auditor reads everything");
    assert_eq!(listed.len() as u64, open, "{types:?}");
    for row in histories::tickets(wire, position).await.expect("an auditor reads everything") {
        let events = &histories[&row.ticket_id];
        assert_eq!(row.revision + 1, events.len() as u64, "the list shows a ticket's last revision: {row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_and_counts_are_the_same_after_a_graceful_restart() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let position = something_happens(&wire).await;
    let size = inside.size().await;
    let before = histories::all(&wire, &position).await.unwrap();
    let tickets = histories::tickets(&wire, &position).await.unwrap();
    let head = histories::head(&wire).await.unwrap();
    assert_eq!(head.size, size, "everything was reacted to");
    counts_add_up(&wire, &before, &position).await;

    let inside = inside.restart().await;
    let wire = inside.wire().await;
    assert_eq!(histories::head(&wire).await.unwrap(), head);
    assert_eq!(histories::all(&wire, &position).await.unwrap(), before);
    assert_eq!(histories::tickets(&wire, &position).await.unwrap(), tickets);
    counts_add_up(&wire, &before, &position).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_and_counts_are_the_same_after_a_kill_and_so_is_every_repeat() {
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(program(), directory.path()).await;
    let wire = served.wire().await;
    let position = something_happens(&wire).await;
    let mut case = Case::new("restart-repeats", TicketKind::Fault);
    let position = case.close(&wire).await.position.max(position);
    let before = histories::all(&wire, &case.position()).await.unwrap();
    counts_add_up(&wire, &before, &case.position()).await;
    served.kill().await;

    served.restart().await;
    let wire = served.wire().await;
    let after = histories::all(&wire, &case.position()).await.unwrap();
    assert_eq!(after, before, "up to {position}");
    counts_add_up(&wire, &after, &case.position()).await;
    for (sent, answer) in &case.done {
        assert_eq!(wire.send(sent).await.unwrap(), *answer, "{} is remembered across a kill", sent.method);
    }
    assert_eq!(histories::all(&wire, &case.position()).await.unwrap(), before);
    let size = histories::head(&wire).await.unwrap().size;
    served.kill().await;

    let data = served.data();
    let verified = run(program(), ["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).await;
    assert!(verified.ok(), "{verified:?}");
    // Reactions may have gone on after the head was read.
    assert!(verified.count("events") >= size, "{verified:?}");
    let replayed = run(program(), ["replay".as_ref(), "--data".as_ref(), data.as_os_str()]).await;
    assert!(replayed.ok(), "{replayed:?}");
    assert_eq!(replayed.count("tickets"), before.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_fell_due_while_the_server_was_down_is_breached_at_its_due_moment() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("due-while-down", TicketKind::Fault);
    case.bring_to(&wire, Stage::Reply).await;
    let due = case.state(&wire).await.unwrap().summary.unwrap_or_default().next_due.expect("a clock runs");
    let inside = inside.restart_later(std::time::Duration::from_secs(40 * 24 * 3600)).await;
    let wire = inside.wire().await;
    // The next command finds that the clocks have fallen due.
    case.done(&wire, c::accept).await;
    let state = case.state(&wire).await.unwrap();
    let breached =
        state.clocks.iter().find(|clock| clock.due == Some(due)).expect("the clock is still there");
    assert_eq!(breached.status(), api::ClockStatus::Breached, "{breached:?}");
    let events = histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
    let breach = events
        .iter()
        .filter_map(|shown| shown.event.as_ref())
        .find(|event| event.r#type == "clock.breached.v1" && event.occurred_at == Some(due));
    assert!(breach.is_some(), "the breach happened when it was due");
    inside.stop().await;
}

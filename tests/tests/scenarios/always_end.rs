//! Cases that always end, and ends that keep what is due, as departments meet them over gRPC.

use duban_client::TokenHolder;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Answer, Channel, FeedbackPassed, Milestone, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::inside::Inside;
use duban_tests::refusal::refused;
use duban_tests::script::{Case, id};
use duban_tests::wire::{Sent, Wire};
use prost::Message;

/// A command with the case's next id.
macro_rules! send {
    ($case:expr, $wire:expr, $method:literal, $who:expr, $message:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let command_id = $case.next_id();
        let ticket_id = $case.ticket.clone();
        let request = api::$message {
            ticket_id,
            command_id: command_id.clone(),
            $($field: $value,)*
            ..Default::default()
        };
        let sent = made(&$case, $method, $who, &command_id, &request);
        let answer = $wire.send(&sent).await;
        if let Ok(answer) = &answer {
            $case.done.push((sent, answer.clone()));
        }
        answer
    }};
}

fn made(case: &Case, method: &'static str, who: TokenHolder, command: &str, request: &impl Message) -> Sent {
    case.sent(method, who, command, request)
}

fn who(role: &str) -> TokenHolder {
    TokenHolder::new(role, role)
}

fn supervisor() -> TokenHolder {
    TokenHolder::new("supervisor", "supervision")
}

/// Takes a case in that is changed before it is sent.
async fn take_in(case: &mut Case, wire: &Wire, change: impl FnOnce(&mut api::TakeInRequest)) {
    let command = case.next_id();
    let mut request = c::take_in_request(case, &command);
    change(&mut request);
    let sent = case.sent("DeskService/TakeIn", who("desk"), &command, &request);
    let answer = wire.send(&sent).await.expect("it is taken in");
    case.done.push((sent, answer));
}

fn handed_over(body: Channel, number: &str) -> api::OutsideRequestInput {
    api::OutsideRequestInput { body: body.into(), number: number.into(), handed_over_at: None, due: None }
}

async fn receipt(case: &mut Case, wire: &Wire) {
    send!(
        case,
        wire,
        "DeskService/RecordReceipt",
        who("reporting"),
        RecordReceiptRequest {
            request: 1,
            kind: ev::ReceiptKind::Final.into(),
            content: "办理结果".into(),
            reference: "hz-1".into(),
        }
    )
    .expect("a receipt is given");
}

async fn finish(case: &mut Case, wire: &Wire) -> ev::Certificate {
    for make in [c::no_measure, c::inspect, c::report, c::assess, c::accept_verdict, c::close] {
        case.done(wire, make).await;
    }
    case.state(wire).await.expect("its state can be read").certificate.expect("it is closed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_case_gives_its_receipt_and_its_customer_may_be_erased() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("rejected-12345", TicketKind::Complaint);
    take_in(&mut case, &wire, |request| {
        request.channel = Channel::Mayor12345.into();
        request.requests = vec![handed_over(Channel::Mayor12345, "12345-1")];
    })
    .await;
    send!(
        case,
        wire,
        "SupervisionService/ConsentToRejection",
        supervisor(),
        ConsentToRejectionRequest { reason: "非本企业业务".into() }
    )
    .unwrap();
    send!(
        case,
        wire,
        "DeskService/Reject",
        who("desk"),
        RejectRequest {
            referred_to: "供电公司95598".into(),
            reason: "非本企业业务".into(),
            recording: Some(c::recording("录音-告知")),
        }
    )
    .unwrap();
    let customer = case.state(&wire).await.unwrap().customer.unwrap_or_default().customer_id;
    let erase = |command: String| api::EraseCustomerRequest {
        customer_id: customer.clone(),
        command_id: command,
        reason: "本人申请".into(),
        ..Default::default()
    };
    let sent = |case: &mut Case| {
        let command = case.next_id();
        let request = erase(command.clone());
        case.sent("CustomerService/EraseCustomer", supervisor(), &command, &request)
    };
    let early = sent(&mut case);
    let refusal = refused(wire.send(&early).await, "an erasure while a receipt is owed");
    assert_eq!(refusal.reason, "CUSTOMER_HAS_OPEN_CASES", "{refusal:?}");
    receipt(&mut case, &wire).await;
    inside.size().await;
    let late = sent(&mut case);
    wire.call(late.method, Some(wire.token(&late.who)), late.body.clone())
        .await
        .expect("nothing is owed any more");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_without_ports_is_closed_as_not_provided() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("no-ports", TicketKind::Install);
    case.done(&wire, c::take_in).await;
    case.done(&wire, |case| c::milestone(case, Milestone::Accepted)).await;
    let cause = api::Cause { kind: ev::CauseKind::Known.into(), text: Some("小区无空余端口".into()) };
    send!(
        case,
        wire,
        "InvestigationService/Investigate",
        who("investigation"),
        InvestigateRequest { cause: Some(cause), facts: "已查资源系统".into() }
    )
    .unwrap();
    case.done(&wire, c::dispatch).await;
    case.done(&wire, c::accept).await;
    assert_eq!(case.refused(&wire, c::reply).await.reason, "REPLY_UNPROVED");
    send!(
        case,
        wire,
        "ReplyService/Reply",
        TokenHolder::unit("install-crew"),
        ReplyRequest {
            order: 1,
            resolution: "无法提供".into(),
            done_by: vec!["install-4".into()],
            not_provided: Some(api::NotProvidedInput {
                ground: ev::NotProvidedGround::NoResources.into(),
                evidence: "资源系统截图".into(),
                offered: "无线宽带".into(),
            }),
        }
    )
    .unwrap();
    assert_eq!(case.refused(&wire, c::feedback).await.reason, "CONSENT_MISSING");
    send!(
        case,
        wire,
        "SupervisionService/ConsentToNotProvided",
        supervisor(),
        ConsentToNotProvidedRequest { reason: "情况属实".into() }
    )
    .unwrap();
    let round = case.state(&wire).await.unwrap().round.unwrap_or_default();
    assert!(round.not_provided_consented);
    case.done(&wire, c::feedback).await;
    let certificate = finish(&mut case, &wire).await;
    assert_eq!(certificate.not_provided, Some(ev::NotProvidedGround::NoResources.into()));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_will_not_rate_holds_no_case_open() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("declined", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Feedback).await;
    let declined = |case: &mut Case| c::feedback_of(case, Answer::Declined);
    assert_eq!(case.refused(&wire, declined).await.fields.len(), 1, "its recording is missing");
    send!(
        case,
        wire,
        "FeedbackService/RecordFeedback",
        who("desk"),
        RecordFeedbackRequest {
            answer: Answer::Declined.into(),
            words: "不愿评价".into(),
            recording: Some(c::recording("录音-回访")),
        }
    )
    .unwrap();
    send!(
        case,
        wire,
        "SupervisionService/SignOffDeclined",
        supervisor(),
        SignOffDeclinedRequest { reason: "已听录音".into() }
    )
    .unwrap();
    let certificate = finish(&mut case, &wire).await;
    assert_eq!(certificate.feedback(), FeedbackPassed::Declined);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_report_needs_no_customer_and_nobody_to_ask() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("anonymous", TicketKind::Complaint);
    let reporter = |kind: ev::ReporterKind, known: bool| api::ReporterInput {
        kind: kind.into(),
        name: known.then(|| "路人".into()),
        phone: known.then(|| "13911112222".into()),
        relation: None,
        authority: None,
    };
    let without = |request: &mut api::TakeInRequest| {
        (request.customer, request.service) = (None, None);
    };
    take_in(&mut case, &wire, |request| {
        without(request);
        request.reporter = Some(reporter(ev::ReporterKind::Anonymous, false));
    })
    .await;
    let state = case.state(&wire).await.unwrap();
    assert_eq!((state.customer, state.service), (None, None));
    assert_eq!(state.description.as_deref(), Some("晚上八点以后网速很慢"), "its texts have a key");
    for make in [c::investigate, c::dispatch, c::accept, c::reply] {
        case.done(&wire, make).await;
    }
    send!(
        case,
        wire,
        "SupervisionService/SignOffNobodyToAsk",
        supervisor(),
        SignOffNobodyToAskRequest { reason: "匿名反映".into() }
    )
    .unwrap();
    assert_eq!(finish(&mut case, &wire).await.feedback(), FeedbackPassed::NobodyToAsk);
    // A non-user is told and asked, and opens again for those who may read.
    let mut other = Case::new("non-user", TicketKind::Complaint);
    take_in(&mut other, &wire, |request| {
        without(request);
        request.reporter = Some(reporter(ev::ReporterKind::NonUser, true));
    })
    .await;
    let state = other.state(&wire).await.unwrap();
    assert_eq!(state.reporter.unwrap_or_default().phone.as_deref(), Some("13911112222"));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routine_report_that_waited_for_a_receipt_goes_on_when_it_comes() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("routine-owed", TicketKind::Fault);
    take_in(&mut case, &wire, |request| {
        request.requests = vec![handed_over(Channel::Consumer12315, "12315-1")];
    })
    .await;
    for make in [c::investigate, c::dispatch, c::accept, c::line_test, c::service_up, c::reply, c::feedback] {
        case.done(&wire, make).await;
    }
    inside.size().await;
    let stage = |state: api::Ticket| state.summary.unwrap_or_default().stage();
    assert_eq!(stage(case.state(&wire).await.unwrap()), Stage::Report, "it waits for the receipt");
    receipt(&mut case, &wire).await;
    inside.size().await;
    assert_eq!(stage(case.state(&wire).await.unwrap()), Stage::Close);
    // The matter returns before it is closed.
    send!(
        case,
        wire,
        "DeskService/OpenNextRound",
        who("desk"),
        OpenNextRoundRequest { stage: Stage::Dispatch.into(), reason: "线路又断".into() }
    )
    .unwrap();
    let summary = case.state(&wire).await.unwrap().summary.unwrap_or_default();
    assert_eq!((summary.stage(), summary.round), (Stage::Dispatch, 2));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_that_chain_bring_every_receipt_to_the_ticket_that_goes_on_in_whatever_order() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for (round, forwards) in [(0, true), (1, false)] {
        let mut case = Case::new(&format!("chain-{round}"), TicketKind::Complaint);
        let tickets: Vec<String> = (0..3).map(|number| id("chain", &format!("{round}-{number}"))).collect();
        let categories = ["complaint.network.slow", "complaint.billing.dispute", "complaint.other"];
        for (number, category) in categories.into_iter().enumerate() {
            case.ticket.clone_from(&tickets[number]);
            take_in(&mut case, &wire, |request| {
                request.category = category.into();
                request.requests = vec![handed_over(Channel::Media, &format!("m-{round}-{number}"))];
            })
            .await;
        }
        let mut merge = |from: usize, into: usize| {
            let command = case.next_id();
            let request = api::MergeRequest {
                ticket_id: tickets[from].clone(),
                command_id: command.clone(),
                into: tickets[into].clone(),
                ..Default::default()
            };
            case.sent("DeskService/Merge", who("desk"), &command, &request)
        };
        let both = [merge(0, 1), merge(1, 2)];
        // One after the other, so that both wait in one batch for whoever reacts; or the second first, where the first finds it over.
        let order = if forwards { [0, 1] } else { [1, 0] };
        for number in order {
            let answer = wire.send(&both[number]).await;
            assert_eq!(answer.is_ok(), forwards || number == 1, "{answer:?}");
        }
        inside.size().await;
        case.ticket.clone_from(&tickets[2]);
        let requests = case.state(&wire).await.unwrap().requests;
        assert_eq!(requests.len(), if forwards { 3 } else { 2 }, "{requests:?}");
    }
    inside.stop().await;
}

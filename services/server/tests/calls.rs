//! What callers can get wrong, and what reads promise.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use duban_aggregates::words::Role;
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as ev;
use prost::Message;
use support::{World, id, intake, known_cause, lead};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The fields that a refusal names.
#[track_caller]
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let bad = status.get_details_bad_request().expect("it names its fields");
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_by_name_and_leaves_nothing() {
    let world = World::start().await;
    let desk = &mut world.desk();
    let good = || intake(ev::TicketKind::Complaint, 1, "13900001111");
    let before = world.server.runner().log().head();

    let empty = desk.take_in(api::TakeInRequest::default()).await.unwrap_err();
    assert_eq!(fields(&empty), ["command_id"]);
    let ids = desk
        .resume(api::ResumeRequest { ticket_id: "7".to_owned(), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(fields(&ids), ["command_id", "ticket_id"]);
    let nil = api::ResumeRequest {
        ticket_id: uuid::Uuid::nil().to_string(),
        command_id: id(2),
        ..Default::default()
    };
    assert_eq!(fields(&desk.resume(nil).await.unwrap_err()), ["ticket_id"]);

    let mut hollow = api::TakeInRequest { command_id: id(3), ..Default::default() };
    hollow.customer = Some(api::CustomerInput { phone: "1".to_owned(), ..Default::default() });
    let many = fields(&desk.take_in(hollow).await.unwrap_err());
    for field in
        ["kind", "channel", "severity", "description", "customer.name", "customer.tier", "service", "area"]
    {
        assert!(many.iter().any(|named| named == field), "{field} in {many:?}");
    }

    let large = api::TakeInRequest { description: "苦".repeat(350_000), ..good() };
    assert_eq!(fields(&desk.take_in(large).await.unwrap_err()), ["description"]);
    let future = ev_moment("2036-01-01T00:00:00Z");
    let ahead = api::TakeInRequest { happened_at: Some(future), ..good() };
    assert_eq!(fields(&desk.take_in(ahead).await.unwrap_err()), ["happened_at"]);
    let strange = api::TakeInRequest { category: "complaint.weather".to_owned(), ..good() };
    assert_eq!(fields(&desk.take_in(strange).await.unwrap_err()), ["category"]);
    assert_eq!(world.server.runner().log().head(), before, "nothing was written");

    let taken = desk.take_in(good()).await.unwrap().into_inner();
    let other = api::TakeInRequest { severity: ev::Severity::Minor.into(), ..good() };
    assert_eq!(fields(&desk.take_in(other).await.unwrap_err()), ["command_id"]);
    assert_eq!(desk.take_in(good()).await.unwrap().into_inner(), taken);

    let stale = api::ResumeRequest {
        ticket_id: taken.ticket_id.clone(),
        command_id: id(5),
        expected_revision: Some(taken.revision + 1),
    };
    assert_eq!(desk.resume(stale).await.unwrap_err().code(), Code::Aborted);
    let nowhere = api::ResumeRequest { ticket_id: id(77), command_id: id(6), expected_revision: None };
    assert_eq!(desk.resume(nowhere).await.unwrap_err().code(), Code::NotFound);
    world.server.stop().await.unwrap();
}

fn ev_moment(text: &str) -> prost_types::Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    prost_types::Timestamp { seconds: at.as_second(), nanos: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_utf8_is_the_callers_mistake() {
    use tonic::codegen::http::uri::PathAndQuery;
    let world = World::start().await;
    let mut bytes = intake(ev::TicketKind::Complaint, 10, "13900001112").encode_to_vec();
    // Field 6, `category`, once more, and no UTF-8.
    bytes.extend([0x32, 0x02, 0xff, 0xfe]);
    let mut client = tonic::client::Grpc::new(world.department(Role::Desk));
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/duban.api.v1.DeskService/TakeIn");
    let answer: Result<tonic::Response<api::CommandResponse>, Status> =
        client.unary(tonic::Request::new(Raw(bytes)), path, RawCodec).await;
    assert_eq!(fields(&answer.unwrap_err()), ["category"]);
    world.server.stop().await.unwrap();
}

struct Raw(Vec<u8>);

/// Sends bytes as they are.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Raw;
    type Decode = api::CommandResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Raw;
    type Error = Status;

    fn encode(&mut self, item: Raw, into: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        into.put_slice(&item.0);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = api::CommandResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        api::CommandResponse::decode(from).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_what_its_caller_has_written_and_says_so_when_it_never_comes() {
    let world = World::start().await;
    let taken = world
        .desk()
        .take_in(intake(ev::TicketKind::Complaint, 20, "13900001113"))
        .await
        .unwrap()
        .into_inner();
    let mut history = world.history(Role::Auditor);
    let get = |min_position: &str| api::GetTicketRequest {
        ticket_id: taken.ticket_id.clone(),
        min_position: min_position.to_owned(),
        ..Default::default()
    };
    let read = history.get_ticket(get(&taken.position)).await.unwrap().into_inner().ticket.unwrap();
    assert_eq!(read.summary.unwrap().revision, taken.revision);
    assert_eq!(fields(&history.get_ticket(get("yesterday")).await.unwrap_err()), ["min_position"]);

    let mut hurried = tonic::Request::new(get("999999999"));
    hurried.set_timeout(Duration::from_millis(200));
    let late = history.get_ticket(hurried).await.unwrap_err();
    // The caller's own library may be quicker than the server's answer.
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let never = history.get_ticket(get("999999999")).await.unwrap_err();
    assert_eq!(never.code(), Code::Unavailable);
    assert!(never.get_details_retry_info().unwrap().retry_delay.is_some());
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_page_by_page_and_a_page_belongs_to_its_query() {
    let world = World::start().await;
    let desk = &mut world.desk();
    let mut position = String::new();
    for number in 0..5 {
        let phone = format!("1390000200{number}");
        world.clock.advance(Duration::from_secs(60));
        position = desk
            .take_in(intake(ev::TicketKind::Complaint, 30 + number, &phone))
            .await
            .unwrap()
            .into_inner()
            .position;
    }
    let mut history = world.history(Role::Monitor);
    let mut ask = api::ListTicketsRequest { min_position: position, page_size: 2, ..Default::default() };
    ask.order_by = "taken_in_at desc".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = history.list_tickets(ask.clone()).await.unwrap().into_inner();
        seen.extend(page.tickets.iter().map(|ticket| ticket.taken_in_at.unwrap().seconds));
        if page.next_page_token.is_empty() {
            break;
        }
        ask.page_token = page.next_page_token;
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a > b));
    let elsewhere = api::ListTicketsRequest { order_by: String::new(), ..ask.clone() };
    assert_eq!(fields(&history.list_tickets(elsewhere).await.unwrap_err()), ["page_token"]);
    let closed = api::TicketFilter { states: vec![api::TicketState::Closed.into()], ..Default::default() };
    let none = api::ListTicketsRequest { filter: Some(closed), ..Default::default() };
    assert!(history.list_tickets(none).await.unwrap().into_inner().tickets.is_empty());
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_read_as_it_stood_and_texts_open_by_role_and_unit() {
    let world = World::start().await;
    let taken = world
        .desk()
        .take_in(intake(ev::TicketKind::Complaint, 40, "13900001115"))
        .await
        .unwrap()
        .into_inner();
    let ticket_id = taken.ticket_id.clone();
    world.clock.advance(Duration::from_secs(3600));
    api::investigation_service_client::InvestigationServiceClient::new(world.department(Role::Investigation))
        .investigate(api::InvestigateRequest {
            ticket_id: ticket_id.clone(),
            command_id: id(41),
            cause: Some(known_cause()),
            facts: "现场确认".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut dispatch =
        api::dispatch_service_client::DispatchServiceClient::new(world.department(Role::Dispatch));
    let orders = vec![lead("line-crew")];
    let request = api::DispatchRequest {
        ticket_id: ticket_id.clone(),
        command_id: id(42),
        orders,
        ..Default::default()
    };
    dispatch.dispatch(request).await.unwrap();

    let mut auditor = world.history(Role::Auditor);
    let at_first =
        api::GetTicketRequest { ticket_id: ticket_id.clone(), revision: Some(0), ..Default::default() };
    let stood = auditor.get_ticket(at_first).await.unwrap().into_inner().ticket.unwrap();
    assert_eq!(stood.summary.unwrap().stage(), ev::Stage::Investigate);
    let known = api::GetTicketRequest {
        ticket_id: ticket_id.clone(),
        known_at: Some(ev_moment("2026-03-02T01:30:00Z")),
        ..Default::default()
    };
    let stood = auditor.get_ticket(known).await.unwrap().into_inner().ticket.unwrap();
    assert_eq!(stood.summary.unwrap().stage(), ev::Stage::Investigate);
    assert_eq!(world.ticket(&ticket_id).await.summary.unwrap().stage(), ev::Stage::Reply);

    let get = || api::GetTicketRequest { ticket_id: ticket_id.clone(), ..Default::default() };
    let list = || api::ListEventsRequest { ticket_id: ticket_id.clone(), page_size: 1, ..Default::default() };
    for (who, reads) in [
        (world.department(Role::Auditor), true),
        (world.person(Role::Unit, "line-crew", 1), true),
        (world.person(Role::Unit, "planning", 1), false),
        (world.department(Role::Monitor), false),
    ] {
        let mut history = api::history_service_client::HistoryServiceClient::new(who);
        let ticket = history.get_ticket(get()).await.unwrap().into_inner().ticket.unwrap();
        assert_eq!(ticket.customer.unwrap().name.is_some(), reads);
        let page = history.list_events(list()).await.unwrap().into_inner();
        let texts = &page.events[0].texts;
        let name = texts.iter().find(|text| text.path == "customer.name").and_then(|text| text.text.clone());
        assert_eq!(name.as_deref(), reads.then_some("欧阳测试"));
        assert!(!page.next_page_token.is_empty());
        let second = api::ListEventsRequest { page_token: page.next_page_token, ..list() };
        let second = history.list_events(second).await.unwrap().into_inner();
        assert_eq!(second.events[0].event.as_ref().unwrap().revision, 1);
    }
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_unit_and_a_wrong_role_are_turned_away() {
    let world = World::start().await;
    let taken = world
        .desk()
        .take_in(intake(ev::TicketKind::Complaint, 60, "13900001116"))
        .await
        .unwrap()
        .into_inner();
    let ticket_id = taken.ticket_id;
    let early = api::AcceptRequest {
        ticket_id: ticket_id.clone(),
        command_id: id(61),
        order: 1,
        ..Default::default()
    };
    let mut planning =
        api::reply_service_client::ReplyServiceClient::new(world.person(Role::Unit, "planning", 1));
    let refused = planning.accept(early.clone()).await.unwrap_err();
    assert_eq!(
        refused.get_details_error_info().unwrap().reason,
        "OUT_OF_TURN",
        "whose it is, nobody knows yet"
    );
    let mut desk = api::reply_service_client::ReplyServiceClient::new(world.department(Role::Desk));
    let refused = desk.accept(early.clone()).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "ROLE_NOT_ALLOWED");

    let request = api::InvestigateRequest {
        ticket_id: ticket_id.clone(),
        command_id: id(62),
        cause: Some(known_cause()),
        facts: "现场确认".to_owned(),
        ..Default::default()
    };
    api::investigation_service_client::InvestigationServiceClient::new(world.department(Role::Investigation))
        .investigate(request)
        .await
        .unwrap();
    let orders = vec![lead("line-crew")];
    let request = api::DispatchRequest {
        ticket_id: ticket_id.clone(),
        command_id: id(63),
        orders,
        ..Default::default()
    };
    api::dispatch_service_client::DispatchServiceClient::new(world.department(Role::Dispatch))
        .dispatch(request)
        .await
        .unwrap();
    let refused = planning.accept(early).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.get_details_error_info().unwrap().metadata["stage_now"], "reply");
    let declare = api::DeclareNoMeasureNeededRequest {
        ticket_id,
        command_id: id(64),
        reason: "无".to_owned(),
        ..Default::default()
    };
    assert_eq!(planning.declare_no_measure_needed(declare).await.unwrap_err().code(), Code::PermissionDenied);
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer_without_an_identity() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["", "duban.api.v1.DeskService", "duban.api.v1.HistoryService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    macro_rules! services {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let message_request = Some(MessageRequest::ListServices(String::new()));
            let asked = ServerReflectionRequest { host: String::new(), message_request };
            let stream = tokio_stream::once(asked);
            let mut client = ServerReflectionClient::new(world.channel.clone());
            let mut answers = client.server_reflection_info(stream).await.unwrap().into_inner();
            match answers.message().await.unwrap().unwrap().message_response {
                Some(MessageResponse::ListServicesResponse(list)) => list.service.len(),
                other => panic!("{other:?}"),
            }
        }};
    }
    // Twenty of ours, health, and reflection itself.
    assert_eq!((services!(v1), services!(v1alpha)), (22, 22));
    world.server.stop().await.unwrap();
}

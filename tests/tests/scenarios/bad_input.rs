//! Whatever is wrong with a request is named by its field, and nothing is written.

use duban_client::Refusal;
use duban_client::TokenHolder;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::inside::Inside;
use duban_tests::refusal::refused;
use duban_tests::script::{Case, id};
use duban_tests::wire::{Sent, Wire};
use prost::Message;
use tonic::Code;

/// Makes a reply wrong.
type EditReply = Box<dyn Fn(&mut api::ReplyRequest)>;

/// A request that is wrong in one field, and the field.
type Bad = (&'static str, Sent);

/// Sends each; all are refused by the field, and nothing is written.
async fn all_refused(inside: &Inside, wire: &Wire, bad: Vec<Bad>) {
    for (field, sent) in bad {
        let size = inside.size().await;
        let what = format!("{} with a bad {field}", sent.method);
        let refusal = refused(wire.send(&sent).await, &what);
        assert_eq!(refusal.code, Code::InvalidArgument, "{what}: {refusal:?}");
        assert_eq!(refusal.reason, "INVALID_FIELD", "{what}: {refusal:?}");
        assert!(refusal.field_names().contains(&field), "{what}: {refusal:?}");
        assert!(
            !refusal.message.is_empty() && refusal.message.len() < 2_000,
            "{what}: {} bytes",
            refusal.message.len()
        );
        assert_eq!(inside.size().await, size, "{what} wrote something");
    }
}

fn take_in(name: &str, field: &'static str, edit: impl FnOnce(&mut api::TakeInRequest)) -> Bad {
    take_in_of(TicketKind::Complaint, name, field, edit)
}

fn take_in_of(
    kind: TicketKind,
    name: &str,
    field: &'static str,
    edit: impl FnOnce(&mut api::TakeInRequest),
) -> Bad {
    let mut case = Case::new(&format!("bad-{name}"), kind);
    let command = case.next_id();
    let mut request = c::take_in_request(&case, &command);
    edit(&mut request);
    let sent = case.sent("DeskService/TakeIn", TokenHolder::new("desk", "desk"), &command, &request);
    (field, sent)
}

fn customer(request: &mut api::TakeInRequest) -> &mut api::CustomerInput {
    request.customer.as_mut().expect("the usual request has a customer")
}

fn service(request: &mut api::TakeInRequest) -> &mut api::ServiceInput {
    request.service.as_mut().expect("the usual request has a service")
}

fn area(request: &mut api::TakeInRequest) -> &mut ev::Area {
    request.area.as_mut().expect("the usual request has an area")
}

fn later(inside: &Inside, seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: inside.now().as_second() + seconds, nanos: 0 }
}

/// The longest text there is, and one byte more.
const TEXT_BYTES_MAX: usize = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_desk_takes_in_is_checked_field_by_field() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let future = later(&inside, 3600);
    let bad = vec![
        take_in("command", "command_id", |request| request.command_id.clear()),
        take_in("command-2", "command_id", |request| request.command_id = "4711".into()),
        take_in("command-3", "command_id", |request| request.command_id = uuid::Uuid::nil().to_string()),
        take_in("ticket", "ticket_id", |request| request.ticket_id = "ticket 7".into()),
        take_in("ticket-2", "ticket_id", |request| request.ticket_id = uuid::Uuid::nil().to_string()),
        take_in("kind", "kind", |request| request.kind = 0),
        take_in("kind-2", "kind", |request| request.kind = 99),
        take_in("channel", "channel", |request| request.channel = 0),
        take_in("channel-2", "channel", |request| request.channel = -1),
        take_in("severity", "severity", |request| request.severity = 0),
        take_in("category", "category", |request| request.category.clear()),
        take_in("category-2", "category", |request| request.category = "complaint.no.such".into()),
        take_in("category-3", "category", |request| request.category = "fault.broadband.down".into()),
        take_in("description", "description", |request| request.description.clear()),
        take_in("description-2", "description", |request| request.description = "   ".into()),
        take_in("description-3", "description", |request| request.description = "长".repeat((1 << 20) / 3)),
        take_in("description-4", "description", |request| {
            request.description = "x".repeat(TEXT_BYTES_MAX + 1);
        }),
        take_in("remedy", "remedy", |request| request.remedy = Some("x".repeat(TEXT_BYTES_MAX + 1))),
        take_in("happened", "happened_at", |request| request.happened_at = Some(future)),
        take_in("happened-2", "happened_at", |request| {
            request.happened_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
        }),
        take_in("happened-3", "happened_at", |request| {
            request.happened_at = Some(prost_types::Timestamp { seconds: 0, nanos: -5 });
        }),
        take_in("customer", "customer", |request| request.customer = None),
        take_in("customer-2", "customer.customer_id", |request| {
            customer(request).customer_id = Some("x".into());
        }),
        take_in("name", "customer.name", |request| customer(request).name.clear()),
        take_in("phone", "customer.phone", |request| customer(request).phone.clear()),
        take_in("tier", "customer.tier", |request| customer(request).tier = 0),
        take_in("segment", "customer.segment", |request| customer(request).segment = 7),
        take_in("service", "service", |request| request.service = None),
        take_in("number", "service.number", |request| service(request).number.clear()),
        take_in("product", "service.product", |request| service(request).product = 0),
        take_in("area", "area", |request| request.area = None),
        take_in("province", "area.province", |request| area(request).province.clear()),
        take_in("city", "area.city", |request| area(request).city = "x".repeat(257)),
        take_in("linked", "linked", |request| request.linked = Some("no id".into())),
        take_in("outage", "mass_outage", |request| request.mass_outage = true),
        take_in("install", "install", |request| {
            request.install = Some(ev::InstallOrder { fees_fen: 1, promised_on: None });
        }),
        take_in_of(TicketKind::Install, "install-2", "install", |request| request.install = None),
        take_in("attachments", "attachments", |request| {
            request.attachments = vec![c::recording("附件"); 101];
        }),
        take_in("owner", "first_owner.department", |request| {
            request.first_owner =
                Some(ev::FirstOwner { employee: "e-1".into(), department: "no-such-unit".into() });
        }),
    ];
    all_refused(&inside, &wire, bad).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_wrong_fields_are_named_together() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let (_, sent) = take_in("several", "kind", |request| {
        request.kind = 0;
        request.description.clear();
        customer(request).tier = 0;
    });
    let refusal = refused(wire.send(&sent).await, "a request with bad fields");
    for field in ["kind", "description", "customer.tier"] {
        assert!(refusal.field_names().contains(&field), "{field}: {refusal:?}");
    }
    inside.stop().await;
}

/// Every command of the chain at a ticket that waits for it, with ids that are none.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_missing_or_no_uuids_are_named_by_every_command() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let size = inside.size().await;
    // These name another stream besides, which is looked up first.
    let of_two = ["DeskService/Merge", "DeskService/JoinProblem", "DeskService/LinkNotice"];
    for service in duban_codec::descriptors().services() {
        if service.package_name() != duban_tests::wire::PACKAGE {
            continue;
        }
        for method in service.methods() {
            let input = method.input();
            let Some(command_id) = input.get_field_by_name("command_id") else { continue };
            let name = format!("{}/{}", service.name(), method.name());
            if of_two.contains(&name.as_str()) {
                continue;
            }
            let about =
                input.fields().find(|field| field.number() == 1).expect("a command is about something");
            let role = [
                "desk",
                "investigation",
                "dispatch",
                "unit",
                "inspection",
                "reporting",
                "assessment",
                "supervisor",
                "auditor",
            ]
            .into_iter();
            let mut looked = false;
            for role in role {
                for (command, subject, wrong) in [
                    ("", id(&name, "subject"), "command_id"),
                    ("not-a-uuid", id(&name, "subject"), "command_id"),
                    (id(&name, "command").as_str(), "not-a-uuid".to_owned(), about.name()),
                ] {
                    let mut request = prost_reflect::DynamicMessage::new(input.clone());
                    request.set_field(&command_id, prost_reflect::Value::String(command.to_owned()));
                    request.set_field(&about, prost_reflect::Value::String(subject));
                    let token = inside.token(&inside.who(role));
                    let refusal =
                        refused(wire.call(&name, Some(token), request.encode_to_vec()).await, &name);
                    if refusal.code == Code::PermissionDenied {
                        break;
                    }
                    looked = true;
                    assert_eq!(refusal.code, Code::InvalidArgument, "{name}: {refusal:?}");
                    assert!(refusal.field_names().contains(&wrong), "{name} {wrong}: {refusal:?}");
                }
            }
            assert!(looked, "somebody may call {name}");
        }
    }
    assert_eq!(inside.size().await, size, "nothing was written");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_does_not_exist_is_not_found_by_any_command() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let size = inside.size().await;
    let mut case = Case::new("nowhere", TicketKind::Complaint);
    for make in [
        c::contact,
        c::investigate,
        c::dispatch,
        c::accept,
        c::reply,
        c::feedback,
        c::inspect,
        c::report,
        c::assess,
        c::close,
    ] {
        let refusal = case.refused(&wire, make).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::NotFound, "TICKET_UNKNOWN"),
            "{refusal:?}"
        );
    }
    let status = case.state(&wire).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(inside.size().await, size);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_name_registered_units_once_one_lead_and_no_moment_in_the_past() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("bad-orders", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Dispatch).await;
    let order = |part: ev::OrderPart, unit: &str| api::NewOrder {
        part: part.into(),
        unit: unit.into(),
        task: "处理".into(),
        due: None,
    };
    let lead = || order(ev::OrderPart::Lead, "access-network");
    let assist = || order(ev::OrderPart::Assist, "transmission");
    let orders: Vec<(&'static str, Vec<api::NewOrder>)> = vec![
        ("orders", vec![]),
        ("orders", vec![lead(), lead()]),
        ("orders", vec![assist()]),
        ("orders.unit", vec![lead(), order(ev::OrderPart::Assist, "access-network")]),
        ("unit", vec![order(ev::OrderPart::Lead, "no-such-unit")]),
        ("orders[0].unit", vec![order(ev::OrderPart::Lead, " ")]),
        ("orders[0].part", vec![order(ev::OrderPart::Unspecified, "access-network")]),
        ("orders[1].task", vec![lead(), api::NewOrder { task: String::new(), ..assist() }]),
        ("orders[0].task", vec![api::NewOrder { task: "x".repeat(TEXT_BYTES_MAX + 1), ..lead() }]),
    ];
    let mut bad = Vec::new();
    for (field, orders) in orders {
        let command = case.next_id();
        let request = api::DispatchRequest {
            ticket_id: case.ticket.clone(),
            command_id: command.clone(),
            expected_revision: None,
            orders,
        };
        bad.push((field, case.sent("DispatchService/Dispatch", inside.who("dispatch"), &command, &request)));
    }
    let many = (0..101)
        .map(|number| order(ev::OrderPart::Assist, &format!("unit-{number}")))
        .chain([lead()])
        .collect();
    let command = case.next_id();
    let request = api::DispatchRequest {
        ticket_id: case.ticket.clone(),
        command_id: command.clone(),
        expected_revision: None,
        orders: many,
    };
    let sent = case.sent("DispatchService/Dispatch", inside.who("dispatch"), &command, &request);
    let refusal = refused(wire.send(&sent).await, "a hundred and two orders");
    assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    all_refused(&inside, &wire, bad).await;
    case.done(&wire, c::dispatch).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_lie_between_the_intake_and_now_and_earlier_ones_bring_evidence() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("bad-times", TicketKind::Fault);
    case.bring_to(&wire, Stage::Reply).await;
    inside.clock().advance(std::time::Duration::from_secs(3_600));
    let test = |case: &mut Case, occurred_at, evidence: Option<&str>| {
        let command = case.next_id();
        let request = api::RecordLineTestRequest {
            ticket_id: case.ticket.clone(),
            command_id: command.clone(),
            expected_revision: None,
            passed: true,
            reference: "T".into(),
            result: "合格".into(),
            occurred_at: Some(occurred_at),
            evidence: evidence.map(str::to_owned),
        };
        case.sent("FaultService/RecordLineTest", TokenHolder::unit(case.lead()), &command, &request)
    };
    let bad = vec![
        ("occurred_at", test(&mut case, later(&inside, 1), Some("表"))),
        ("occurred_at", test(&mut case, later(&inside, -2 * 24 * 3_600), Some("表"))),
        ("occurred_at", test(&mut case, later(&inside, -60), None)),
    ];
    all_refused(&inside, &wire, bad).await;
    let good = test(&mut case, later(&inside, -60), Some("测试系统记录"));
    wire.send(&good).await.expect("an earlier fact with evidence");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_texts_of_later_commands_are_checked_too() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("bad-later", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    case.done(&wire, c::accept).await;
    let lead = TokenHolder::unit(case.lead());
    let usual = |case: &mut Case| api::ReplyRequest {
        ticket_id: case.ticket.clone(),
        command_id: case.next_id(),
        expected_revision: None,
        order: 1,
        resolution: "已处理".into(),
        cause: None,
        measures: Vec::new(),
        done_by: vec!["a-1".into()],
        not_provided: None,
    };
    let plan = |owner: &str, due_on: &str| api::MeasurePlan {
        text: "改进".into(),
        owner: owner.into(),
        due_on: due_on.into(),
    };
    let known = |text: Option<&str>| {
        Some(api::Cause { kind: ev::CauseKind::Known.into(), text: text.map(str::to_owned) })
    };
    let edits: Vec<(&'static str, EditReply)> = vec![
        ("resolution", Box::new(|request| request.resolution.clear())),
        ("resolution", Box::new(|request| request.resolution = "x".repeat(TEXT_BYTES_MAX + 1))),
        ("done_by", Box::new(|request| request.done_by.clear())),
        ("done_by", Box::new(|request| request.done_by = vec!["a".into(); 101])),
        ("cause.text", Box::new(move |request| request.cause = known(None))),
        (
            "cause.kind",
            Box::new(|request| request.cause = Some(api::Cause { kind: 0, text: Some("?".into()) })),
        ),
        ("measures", Box::new(move |request| request.measures = vec![plan("planning", "2030-01-01"); 101])),
        (
            "measures[0].due_on",
            Box::new(move |request| request.measures = vec![plan("planning", "tomorrow")]),
        ),
        ("measures[0].owner", Box::new(move |request| request.measures = vec![plan("", "2030-01-01")])),
    ];
    let mut bad = Vec::new();
    for (field, edit) in edits {
        let mut request = usual(&mut case);
        edit(&mut request);
        let command = request.command_id.clone();
        bad.push((field, case.sent("ReplyService/Reply", lead.clone(), &command, &request)));
    }
    all_refused(&inside, &wire, bad).await;
    for order in [0, 9, u32::MAX] {
        let request = api::ReplyRequest { order, ..usual(&mut case) };
        let command = request.command_id.clone();
        let unknown = case.sent("ReplyService/Reply", lead.clone(), &command, &request);
        let refusal = refused(wire.send(&unknown).await, "an order that is not there");
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::NotFound, "UNKNOWN_ORDER"), "{refusal:?}");
    }
    case.done(&wire, c::reply).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_characters_are_kept_exactly_or_refused_by_name() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let odd = "a\u{0}b\r\n\t\u{202e}\u{feff}\u{10ffff}🧨é\u{301} '\"; DROP TABLE";
    let (_, sent) = take_in("odd", "", |request| request.description = odd.into());
    match wire.send(&sent).await {
        Ok(answer) => {
            let request = api::GetTicketRequest {
                ticket_id: answer.ticket_id,
                min_position: answer.position,
                ..Default::default()
            };
            let shown: api::GetTicketResponse =
                wire.ask("HistoryService/GetTicket", &inside.who("desk"), &request).await.unwrap();
            assert_eq!(shown.ticket.unwrap_or_default().description.as_deref(), Some(odd));
        }
        Err(status) => {
            let refusal = Refusal::from(&status);
            assert_eq!((refusal.code, refusal.field_names()), (Code::InvalidArgument, vec!["description"]));
        }
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_and_text_that_is_no_utf8_are_the_callers_mistake() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let size = inside.size().await;
    let desk = inside.token(&inside.who("desk")).to_owned();
    let (_, usual) = take_in("no-utf8", "", |request| request.description = "MARK".into());
    let mut broken = usual.body.clone();
    let at = broken.windows(4).position(|window| window == b"MARK").unwrap();
    broken[at] = 0xff;
    let truncated = usual.body[..usual.body.len() - 3].to_vec();
    for (what, body) in [("no UTF-8", broken), ("cut off", truncated), ("no message", vec![0xff; 64])] {
        let refusal = refused(wire.call("DeskService/TakeIn", Some(&desk), body).await, what);
        assert_eq!(refusal.code, Code::InvalidArgument, "{what}: {refusal:?}");
    }
    assert_eq!(inside.size().await, size);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_the_limit_is_refused_before_it_is_read() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let size = inside.size().await;
    let (_, sent) = take_in("huge", "", |request| request.description = "x".repeat(5 << 20));
    let refusal = refused(wire.send(&sent).await, "five megabytes");
    assert!(
        matches!(refusal.code, Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument),
        "{refusal:?}"
    );
    assert_eq!(inside.size().await, size);
    let (_, usual) = take_in("after-huge", "", |_| {});
    wire.send(&usual).await.expect("the server goes on");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_name_their_bad_fields() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let desk = inside.who("desk");
    let (_, usual) = take_in("reads", "", |_| {});
    let answer = wire.send(&usual).await.unwrap();
    let tickets = |page_token: &str, order_by: &str| api::ListTicketsRequest {
        page_token: page_token.into(),
        order_by: order_by.into(),
        with_total: false,
        ..Default::default()
    };
    let one = |min_position: &str| api::GetTicketRequest {
        ticket_id: answer.ticket_id.clone(),
        min_position: min_position.into(),
        ..Default::default()
    };
    let events = |ticket: &str, token: &str| api::ListEventsRequest {
        ticket_id: ticket.into(),
        page_token: token.into(),
        ..Default::default()
    };
    let bad: [(&str, &str, Vec<u8>); 6] = [
        ("page_token", "HistoryService/ListTickets", tickets("garbage", "").encode_to_vec()),
        ("order_by", "HistoryService/ListTickets", tickets("", "phone").encode_to_vec()),
        ("min_position", "HistoryService/GetTicket", one("yesterday").encode_to_vec()),
        ("ticket_id", "HistoryService/GetTicket", api::GetTicketRequest::default().encode_to_vec()),
        ("ticket_id", "HistoryService/ListEvents", events("x", "").encode_to_vec()),
        ("page_token", "HistoryService/ListEvents", events(&answer.ticket_id, "garbage").encode_to_vec()),
    ];
    for (field, method, body) in bad {
        let refusal = refused(wire.call(method, Some(inside.token(&desk)), body).await, method);
        assert_eq!(refusal.code, Code::InvalidArgument, "{method} {field}: {refusal:?}");
        assert_eq!(refusal.field_names(), [field], "{method}: {refusal:?}");
    }
    inside.stop().await;
}

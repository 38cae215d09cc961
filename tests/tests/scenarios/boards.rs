//! What departments look at: lists, worklists, custody, the chain, the counts; and the read models below them, which heal.

use std::path::{Path, PathBuf};

use duban_client::TokenHolder;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories::tickets_that;
use duban_tests::inside::Inside;
use duban_tests::reads::read_own_writes;
use duban_tests::refusal::refused;
use duban_tests::script::Case;
use duban_tests::wire::Wire;
use prost::Message;
use tonic::Code;

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Four tickets: a closed complaint, a fault at its unit, an install at the desk, and a complaint just taken in by 12315.
async fn office(inside: &Inside) -> [Case; 4] {
    let wire = inside.wire().await;
    let mut closed = Case::new("boards-closed", TicketKind::Complaint);
    closed.close(&wire).await;
    inside.clock().advance(HOUR);
    let mut fault = Case::new("boards-fault", TicketKind::Fault);
    fault.bring_to(&wire, Stage::Reply).await;
    inside.clock().advance(HOUR);
    let mut install = Case::new("boards-install", TicketKind::Install);
    install.bring_to(&wire, Stage::Feedback).await;
    inside.clock().advance(HOUR);
    let mut outside = Case::new("boards-outside", TicketKind::Complaint);
    outside.done(&wire, from_12315).await;
    [closed, fault, install, outside]
}

fn from_12315(case: &mut Case) -> duban_tests::wire::Sent {
    let command = case.next_id();
    let mut request = c::take_in_request(case, &command);
    request.channel = ev::Channel::Consumer12315.into();
    request.requests = vec![api::OutsideRequestInput {
        body: ev::Channel::Consumer12315.into(),
        number: "12315-2026-0042".into(),
        ..Default::default()
    }];
    request.customer = request.customer.map(|customer| api::CustomerInput {
        tier: ev::Tier::Gold.into(),
        segment: ev::Segment::LargeAccount.into(),
        ..customer
    });
    request.area = Some(ev::Area {
        province: "chongqing".into(),
        city: "样例市".into(),
        district: "乡下区".into(),
        rural: true,
    });
    case.sent("DeskService/TakeIn", TokenHolder::new("desk", "desk"), &command, &request)
}

fn desk() -> TokenHolder {
    TokenHolder::new("desk", "desk")
}

async fn board<A: Message + Default>(
    wire: &Wire,
    method: &str,
    who: &TokenHolder,
    request: &impl Message,
) -> A {
    let method = format!("BoardService/{method}");
    wire.ask(&method, who, request).await.unwrap_or_else(|status| panic!("{method}: {status:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_everything_that_the_domain_names() {
    let inside = Inside::start().await;
    let cases = office(&inside).await;
    let wire = inside.wire().await;
    let [closed, fault, install, outside] = &cases;
    let moment = |at: jiff::Timestamp| prost_types::Timestamp { seconds: at.as_second(), nanos: 0 };
    let first = wire_summary(&wire, closed).await;
    let between = moment(inside.now() - jiff::SignedDuration::from_mins(90));
    let f = api::TicketFilter::default;
    let checks: Vec<(&str, api::TicketFilter, Vec<&Case>)> = vec![
        (
            "kind",
            api::TicketFilter { kinds: vec![TicketKind::Complaint.into()], ..f() },
            vec![closed, outside],
        ),
        ("stage", api::TicketFilter { stages: vec![Stage::Reply.into()], ..f() }, vec![fault]),
        ("state", api::TicketFilter { states: vec![api::TicketState::Closed.into()], ..f() }, vec![closed]),
        ("unit", api::TicketFilter { unit: Some("install-crew".into()), ..f() }, vec![install]),
        ("holder", api::TicketFilter { holder: Some("desk".into()), ..f() }, vec![install]),
        ("category", api::TicketFilter { category: Some("fault.broadband".into()), ..f() }, vec![fault]),
        ("tier", api::TicketFilter { tiers: vec![ev::Tier::Gold.into()], ..f() }, vec![outside]),
        (
            "segment",
            api::TicketFilter { segments: vec![ev::Segment::LargeAccount.into()], ..f() },
            vec![outside],
        ),
        (
            "channel",
            api::TicketFilter { channels: vec![ev::Channel::Consumer12315.into()], ..f() },
            vec![outside],
        ),
        ("province", api::TicketFilter { province: Some("chongqing".into()), ..f() }, vec![outside]),
        (
            "district",
            api::TicketFilter { district: Some("样例区".into()), ..f() },
            vec![closed, fault, install],
        ),
        ("rural", api::TicketFilter { rural: Some(true), ..f() }, vec![outside]),
        ("taken in", api::TicketFilter { taken_in_from: Some(between), ..f() }, vec![install, outside]),
        ("taken in before", api::TicketFilter { taken_in_before: first.taken_in_at, ..f() }, vec![]),
        ("ended", api::TicketFilter { ended_before: Some(between), ..f() }, vec![closed]),
        ("phone", api::TicketFilter { phone: Some(c::phone(fault)), ..f() }, vec![fault]),
        ("nobody's phone", api::TicketFilter { phone: Some("13000000000".into()), ..f() }, vec![]),
        (
            "number",
            api::TicketFilter { outside_number: Some("12315-2026-0042".into()), ..f() },
            vec![outside],
        ),
        ("overdue", api::TicketFilter { overdue: Some(true), ..f() }, vec![]),
    ];
    for (what, filter, wanted) in checks {
        let listed = tickets_that_desk(&wire, filter).await;
        let wanted: Vec<_> = wanted.iter().map(|case| case.ticket.clone()).collect();
        assert_eq!(listed, wanted, "{what}");
    }
    // Everything open is late a year later, and only then.
    inside.clock().advance(HOUR * 24 * 365);
    inside.size().await;
    let late = tickets_that_desk(&wire, api::TicketFilter { overdue: Some(true), ..f() }).await;
    assert_eq!(late.len(), 3);

    let phone = api::TicketFilter { phone: Some(c::phone(fault)), ..f() };
    let request = api::ListTicketsRequest { filter: Some(phone), ..Default::default() };
    let monitor = inside.token(&inside.who("monitor")).to_owned();
    let asked = wire.call("HistoryService/ListTickets", Some(&monitor), request.encode_to_vec()).await;
    let refusal = refused(asked, "a phone number");
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::PermissionDenied, "PERSONAL_DATA_NOT_ALLOWED")
    );
    inside.stop().await;
}

async fn wire_summary(wire: &Wire, case: &Case) -> api::TicketSummary {
    case.state(wire).await.expect("the desk reads").summary.expect("a ticket has a summary")
}

/// The tickets that the desk is shown, by intake; read page by page, with the count of them all.
async fn tickets_that_desk(wire: &Wire, filter: api::TicketFilter) -> Vec<String> {
    let (mut tickets, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = api::ListTicketsRequest {
            filter: Some(filter.clone()),
            page_size: 2,
            page_token,
            with_total: true,
            ..Default::default()
        };
        let page: api::ListTicketsResponse =
            wire.ask("HistoryService/ListTickets", &desk(), &request).await.expect("the desk lists");
        tickets.extend(page.tickets.into_iter().map(|ticket| ticket.ticket_id));
        if page.next_page_token.is_empty() {
            assert_eq!(page.total, Some(tickets.len() as u64), "the count is that of all pages");
            return tickets;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worklists_custody_the_chain_and_the_counts_say_the_same() {
    let inside = Inside::start().await;
    let [_, mut fault, install, outside] = office(&inside).await;
    let wire = inside.wire().await;
    let reconciled: api::GetReconciliationResponse =
        board(&wire, "GetReconciliation", &desk(), &api::GetReconciliationRequest::default()).await;
    assert!(reconciled.adds_up);
    assert_eq!((reconciled.opened, reconciled.closed, reconciled.open), (4, 1, 3));

    let chain: api::GetChainBoardResponse =
        board(&wire, "GetChainBoard", &desk(), &api::GetChainBoardRequest::default()).await;
    let stages: Vec<_> = chain.stages.iter().map(|cell| (cell.stage(), cell.kind(), cell.tickets)).collect();
    let expected = [
        (Stage::Investigate, TicketKind::Complaint, 1),
        (Stage::Reply, TicketKind::Fault, 1),
        (Stage::Feedback, TicketKind::Install, 1),
    ];
    assert_eq!(stages, expected);
    assert!(chain.stages.iter().all(|cell| cell.by_age == [1, 0, 0, 0, 0, 0]), "{:?}", chain.stages);

    let custody: api::GetCustodyBoardResponse =
        board(&wire, "GetCustodyBoard", &desk(), &api::GetCustodyBoardRequest::default()).await;
    let in_hand: Vec<_> =
        custody.holders.iter().filter(|it| it.tickets > 0).map(|it| it.holder.as_str()).collect();
    assert_eq!(in_hand, ["access-network", "desk", "investigation"]);
    let access = custody.holders.iter().find(|it| it.holder == "access-network").expect("it holds the fault");
    assert_eq!(access.seconds, 2 * 3_600, "since its order went out");

    let to_do = async |unit: &str| -> Vec<(String, bool)> {
        let request = api::GetWorklistRequest { unit: unit.into(), ..Default::default() };
        let list: api::GetWorklistResponse = board(&wire, "GetWorklist", &desk(), &request).await;
        let entry = |item: api::WorkItem| (item.ticket.unwrap_or_default().ticket_id, item.order.is_some());
        list.items.into_iter().map(entry).collect()
    };
    assert_eq!(to_do("access-network").await, [(fault.ticket.clone(), true)]);
    assert_eq!(to_do("desk").await, [(install.ticket.clone(), false)]);
    assert_eq!(to_do("investigation").await, [(outside.ticket.clone(), false)]);
    for make in [c::accept, c::line_test, c::service_up, c::reply] {
        fault.done(&wire, make).await;
    }
    let request = api::GetWorklistRequest {
        unit: "access-network".into(),
        min_position: fault.position(),
        ..Default::default()
    };
    let member = TokenHolder::unit("access-network");
    let list: api::GetWorklistResponse = board(&wire, "GetWorklist", &member, &request).await;
    assert!(list.items.is_empty(), "it replied");
    let other = TokenHolder::unit("transmission");
    let asked = wire.ask::<api::GetWorklistResponse>("BoardService/GetWorklist", &other, &request).await;
    assert_eq!(refused(asked, "another unit's worklist").reason, "NOT_YOURS");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_history_names_what_repeats() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut first = Case::new("repeats", TicketKind::Fault);
    first.close(&wire).await;
    let customer = customer_of(&wire, &first).await;
    let take_in = |name: &str, category: &str| {
        let mut case = Case::new(name, TicketKind::Fault);
        let command = case.next_id();
        let like = c::take_in_request(&first, &command);
        let request =
            api::TakeInRequest { ticket_id: case.ticket.clone(), category: category.into(), ..like };
        (case.ticket.clone(), case.sent("DeskService/TakeIn", desk(), &command, &request))
    };
    let history = async |min_position: String| -> (Vec<Option<String>>, u32) {
        let request = api::GetCustomerHistoryRequest { customer_id: customer.clone(), min_position };
        let read: api::GetCustomerHistoryResponse =
            board(&wire, "GetCustomerHistory", &desk(), &request).await;
        (read.tickets.into_iter().map(|ticket| ticket.repeats).collect(), read.repeats)
    };
    // The same matter would be reopened; another one on the same line is a repeat, for 30 days.
    inside.clock().advance(HOUR * 24 * 3);
    let (second, sent) = take_in("repeats-second", "fault.broadband.slow");
    let answer = wire.send(&sent).await.expect("another matter");
    assert_eq!(history(answer.position).await, (vec![None, Some(first.ticket.clone())], 1));
    inside.clock().advance(HOUR * 24 * 40);
    let (_, sent) = take_in("repeats-third", "fault.broadband.down");
    let answer = wire.send(&sent).await.expect("43 days later it is a new ticket");
    assert_eq!(history(answer.position).await, (vec![None, Some(first.ticket.clone()), None], 1));
    assert_ne!(second, first.ticket);
    inside.stop().await;
}

async fn customer_of(wire: &Wire, case: &Case) -> String {
    case.state(wire).await.expect("the desk reads").customer.expect("a ticket has a customer").customer_id
}

fn tables(inside: &Inside) -> Vec<PathBuf> {
    let views = inside.directory().join("data/views");
    let mut found: Vec<PathBuf> = std::fs::read_dir(views)
        .expect("read models are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    found.sort();
    found
}

fn names(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().filter_map(|path| path.file_name()?.to_str()).collect()
}

async fn projections(wire: &Wire) -> Vec<api::ProjectionView> {
    let auditor = TokenHolder::new("auditor", "audit");
    let listed: api::ListProjectionsResponse =
        board(wire, "ListProjections", &auditor, &api::ListProjectionsRequest {}).await;
    listed.projections
}

/// Damages what sled wrote, where it wrote something.
fn damage(table: &Path) {
    let file = table.join("db");
    let mut bytes = std::fs::read(&file).expect("a store has its file");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    bytes[used / 8..used / 2].fill(0x5a);
    std::fs::write(&file, bytes).expect("it is written back");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_are_deleted_or_damaged_while_the_server_is_down_heal_before_it_is_ready() {
    let inside = Inside::start().await;
    let cases = office(&inside).await;
    let wire = inside.wire().await;
    let before = tickets_that(&wire, api::TicketFilter::default(), &cases[3].position()).await.unwrap();
    inside.size().await;
    for view in projections(&wire).await {
        assert_eq!((view.state(), view.lag), (api::ProjectionState::Current, 0), "{view:?}");
        assert_eq!(view.rebuilt_because, None, "it began with the log");
    }
    let mut inside = inside.restart().await;
    for (what, why) in [("deleted", "there is none yet"), ("damaged", "it is damaged"), ("left", "")] {
        let wire = inside.wire().await;
        let table_paths = tables(&inside);
        assert_eq!(names(&table_paths), ["conformance-v2", "customers-v1", "reactions-v1", "tickets-v1"]);
        inside = inside
            .restart_after(|| {
                for path in &table_paths {
                    match what {
                        "deleted" => std::fs::remove_dir_all(path).expect("it is there"),
                        "damaged" => damage(path),
                        _ => {}
                    }
                }
            })
            .await;
        drop(wire);
        let wire = inside.wire().await;
        for view in projections(&wire).await {
            assert_eq!(view.state(), api::ProjectionState::Current, "{what}: {view:?}");
            let because = view.rebuilt_because.unwrap_or_default();
            assert!(because.contains(why) && because.is_empty() == why.is_empty(), "{what}: {because}");
        }
        let after = tickets_that(&wire, api::TicketFilter::default(), "").await.unwrap();
        assert_eq!(after, before, "{what}");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_the_position_of_a_write_shows_it() {
    let inside = Inside::start().await;
    let reads = read_own_writes(&inside.url(), inside.tokens(), 800, 8).await;
    assert!(reads.ok, "{reads:?}");
    inside.stop().await;
}

//! Real complaints: taken in from a file, walked to their certificates through gRPC, read again after a restart.
//!
//! The file lies beside the repository where somebody put it; elsewhere a seeded one of the same form takes its place.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use duban_client::{Client, ConnectOptions};
use duban_demo::drive::drive;
use duban_proto::api::v1::TicketState;
use duban_tests::histories;
use duban_tests::outside::{Did, Served, data, run};
use duban_tests::repository::{beside, root};
use duban_tests::wire::Wire;
use jiff::civil::Date;
use jiff::tz::Offset;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::program;

/// The shipped mapping for this file.
fn mapping() -> PathBuf {
    root().join("deploy").join("mappings").join("telecom-complaints.toml")
}

/// The mapping's zone: the source's days are kept as it wrote them.
const ZONE: Offset = Offset::constant(-4);

/// What the file holds, as the file itself says.
struct Source {
    path: PathBuf,
    /// Rows below the header.
    rows: Vec<String>,
    header: String,
}

/// Rows driven to the end here; a release run drives them all with `duban drive`.
const DRIVEN: usize = 300;

fn source(directory: &Path) -> Source {
    let (path, text) = match beside("telecom-complaints.tsv") {
        Some(path) => {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            (path, text)
        }
        None => {
            let (path, text) = (directory.join("seeded.tsv"), seeded(400));
            std::fs::write(&path, &text).expect("the file can be written");
            (path, text)
        }
    };
    let mut lines = text.split_inclusive('\n').map(str::to_owned);
    let header = lines.next().expect("a table has a header");
    Source { path, rows: lines.collect(), header }
}

/// Rows of the same form as the real ones, on 91 days, ticket numbers rising with time, in no order.
fn seeded(rows: u32) -> String {
    const WORDS: [&str; 6] = [
        "Internet speeds",
        "\"Billing, again\"",
        "No service since Monday",
        "Data cap",
        "Rude customer service",
        "xyzzy",
    ];
    let mut random = SmallRng::seed_from_u64(11);
    let mut lines: Vec<String> = (0..rows)
        .map(|row| {
            let day = Date::constant(2015, 4, 1).saturating_add(jiff::Span::new().days(row * 91 / rows));
            // Month first where a spreadsheet could take it for the day.
            let (first, second) = if day.day() <= 12 { (day.month(), day.day()) } else { (day.day(), day.month()) };
            let words = WORDS[random.random_range(0..WORDS.len())];
            let via = if random.random_bool(0.5) { "Internet" } else { "Customer Care Call" };
            let time = format!("{}.{:02}.00 PM", row % 11 + 1, row % 60);
            format!(
                "{}\t{words}\t{first:02}-{second:02}-2015\t{}\t{time}\t{via}\tSampleton\tMaine\t04001\tClosed\tNo\r\n",
                210_000 + row * 7,
                day.strftime("%d-%b-%y"),
            )
        })
        .collect();
    for place in (1..lines.len()).rev() {
        lines.swap(place, random.random_range(0..=place));
    }
    let header = "Ticket #\tCustomer Complaint\tDate\tDate_month_year\tTime\tReceived Via\tCity\tState\tZip code\tStatus\tFiling on Behalf of Someone\r\n";
    lines.into_iter().fold(header.to_owned(), |text, line| text + &line)
}

async fn import(directory: &Path, input: &Path, dry_run: bool) -> Did {
    let (data, mapping) = (data(directory), mapping());
    let mut arguments: Vec<&std::ffi::OsStr> = vec![
        "import".as_ref(),
        "--data".as_ref(),
        data.as_os_str(),
        "--mapping".as_ref(),
        mapping.as_os_str(),
    ];
    if dry_run {
        arguments.push("--dry-run".as_ref());
    }
    arguments.push(input.as_os_str());
    run(program(), arguments).await
}

fn numbers(did: &Did) -> [u64; 4] {
    ["read", "added", "known", "rejected"].map(|key| did.count(key))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_becomes_a_ticket_with_its_day_in_the_order_of_ticket_numbers_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let rows = source.rows.len() as u64;
    let dry = import(directory.path(), &source.path, true).await;
    assert_eq!(numbers(&dry), [rows, rows, 0, 0], "a dry run says what would be: {dry:?}");
    let first = import(directory.path(), &source.path, false).await;
    assert_eq!((numbers(&first), first.status), ([rows, rows, 0, 0], Some(0)), "{first:?}");
    let second = import(directory.path(), &source.path, false).await;
    assert_eq!((numbers(&second), second.status), ([rows, 0, rows, 0], Some(0)), "{second:?}");

    let mut served = Served::start(program(), directory.path()).await;
    let wire = served.wire().await;
    let tickets = histories::tickets(&wire, "").await.unwrap();
    assert_eq!(tickets.len() as u64, rows);
    let day = |at: Option<prost_types::Timestamp>| {
        let at = at.expect("a ticket was taken in at some time");
        ZONE.to_datetime(jiff::Timestamp::new(at.seconds, at.nanos).unwrap()).date()
    };
    let days: BTreeSet<Date> = tickets.iter().map(|row| day(row.taken_in_at)).collect();
    assert_eq!(days.first(), Some(&Date::constant(2015, 4, 1)));
    assert_eq!(days.last(), Some(&Date::constant(2015, 6, 30)));
    assert_eq!(days.len(), 91, "91 consecutive days");
    in_order(&wire).await;
    served.kill().await;
}

/// In the log, ticket numbers rise; the one that is no number is somewhere among them. No clock runs.
async fn in_order(wire: &Wire) {
    let mut placed = Vec::new();
    for (ticket, events) in histories::all(wire, "").await.expect("an auditor reads everything") {
        let event = events[0].event.clone().expect("a shown event is an event");
        assert_eq!(events.len(), 1, "an import starts no clock: {ticket}");
        let payload = event.payload.expect("an event says what happened");
        let duban_proto::event::v1::event::Payload::TicketTakenIn(taken_in) = payload else {
            panic!("the first event of {ticket} is {}", event.r#type)
        };
        let source = taken_in.source.expect("an imported ticket says where it came from");
        assert!(!source.status.is_empty(), "the source's status is kept");
        placed.push((event.position, source.row_key));
    }
    placed.sort();
    let numbers: Vec<u64> = placed.iter().filter_map(|(_, key)| key.parse().ok()).collect();
    assert!(numbers.len() + 1 >= placed.len(), "all row keys but one are numbers");
    assert!(numbers.is_sorted(), "tickets were taken in in the order of their numbers");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_rows_are_reported_by_line_and_reason_and_all_others_are_taken_in() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let mut rows: Vec<Vec<u8>> = source.rows.iter().map(|row| row.clone().into_bytes()).collect();
    // A date that is none, bytes that are no UTF-8, too few fields.
    let replaced = |row: &str, column: usize, with: &str| {
        let mut fields: Vec<&str> = row.split('\t').collect();
        fields[column] = with;
        fields.join("\t").into_bytes()
    };
    rows[10] = replaced(&source.rows[10], 2, "31-31-2015");
    rows[20] = replaced(&source.rows[20], 6, "Sampl\u{fffd}ton");
    let bad = rows[20].windows(3).position(|window| window == "\u{fffd}".as_bytes()).unwrap();
    rows[20].splice(bad..bad + 3, [0xff, 0xfe]);
    rows[30] = b"9999999\tonly two fields\r\n".to_vec();
    let broken = directory.path().join("broken.tsv");
    let mut bytes = source.header.clone().into_bytes();
    rows.iter().for_each(|row| bytes.extend_from_slice(row));
    std::fs::write(&broken, bytes).unwrap();

    let did = import(directory.path(), &broken, false).await;
    let all = source.rows.len() as u64;
    assert_eq!(numbers(&did), [all, all - 3, 0, 3], "{did:?}");
    let errors = did.json["errors"].as_array().expect("errors are a list");
    let lines: Vec<_> = errors.iter().filter_map(|error| error["line"].as_u64()).collect();
    // The header is line 1.
    assert_eq!(lines, [12, 22, 32], "{errors:?}");
    for error in errors {
        assert!(error["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{error:?}");
    }
    assert_eq!(did.status, Some(1), "a row that was left out is no success: {did:?}");

    // The same file, mended: only what was missing is added.
    let mended = import(directory.path(), &source.path, false).await;
    assert_eq!((numbers(&mended), mended.status), ([all, 3, all - 3, 0], Some(0)), "{mended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_complaints_are_driven_to_certificates_with_five_gates_that_a_restart_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let rows = source.rows.iter().take(DRIVEN);
    let count = rows.len() as u64;
    let text = rows.fold(source.header.clone(), |mut text, row| {
        let _ = write!(text, "{row}");
        text
    });
    let input = directory.path().join("driven.tsv");
    std::fs::write(&input, text).unwrap();
    let imported = import(directory.path(), &input, false).await;
    assert_eq!(numbers(&imported), [count, count, 0, 0], "{imported:?}");

    let mut served = Served::start(program(), directory.path()).await;
    let office = Client::connect(&ConnectOptions::new(&served.url), served.tokens()).await.unwrap();
    let driven = drive(&office, None, |_, _| {}).await.unwrap();
    assert_eq!(driven.stuck, Vec::<String>::new());
    assert_eq!((driven.tickets, driven.closed), (count, count), "{driven:?}");

    let wire = served.wire().await;
    let head = histories::head(&wire).await.unwrap();
    let before = histories::all(&wire, &head.position).await.unwrap();
    certificates(&wire, &head.position, count).await;
    let again = drive(&office, None, |_, _| {}).await.unwrap();
    assert_eq!((again.tickets, again.commands), (0, 0), "nothing is left to drive");
    served.kill().await;

    served.restart().await;
    let wire = served.wire().await;
    assert!(histories::head(&wire).await.unwrap().size >= head.size, "reactions may go on");
    assert!(
        histories::all(&wire, &head.position).await.unwrap() == before,
        "the same histories after a restart"
    );
    certificates(&wire, &head.position, count).await;
    served.kill().await;

    let data = served.data();
    let replayed = run(program(), ["replay".as_ref(), "--data".as_ref(), data.as_os_str()]).await;
    assert!(replayed.ok(), "{replayed:?}");
    assert_eq!(replayed.count("tickets"), count);
    let differences = &replayed.json["differences"];
    let none = differences.as_u64() == Some(0) || differences.as_array().is_some_and(Vec::is_empty);
    assert!(none, "{replayed:?}");
    let verified = run(program(), ["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).await;
    assert!(verified.ok(), "{verified:?}");
    assert!(verified.count("events") >= head.size, "{verified:?}");
}

/// Every ticket is closed, with five gates, each with the events that prove it.
async fn certificates(wire: &Wire, position: &str, count: u64) {
    let mut closed = 0;
    for row in histories::tickets(wire, position).await.expect("an auditor reads everything") {
        assert_eq!(row.state(), TicketState::Closed, "{row:?}");
        let request =
            duban_proto::api::v1::GetTicketRequest { ticket_id: row.ticket_id.clone(), ..Default::default() };
        let shown: duban_proto::api::v1::GetTicketResponse =
            wire.ask("HistoryService/GetTicket", &histories::auditor(), &request).await.expect("it is there");
        let certificate =
            shown.ticket.unwrap_or_default().certificate.expect("a closed ticket has a certificate");
        let gates: BTreeSet<i32> = certificate.gates.iter().map(|gate| gate.gate).collect();
        assert_eq!(gates.len(), 5, "{certificate:?}");
        closed += 1;
    }
    assert_eq!(closed, count);
}

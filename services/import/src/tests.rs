//! Tables become tickets: all of them, once, in order, and with the bad ones named.

mod histories;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::intake::{Event as IntakeEvent, Intake};
use duban_aggregates::ticket::{Event, Ticket};
use duban_aggregates::words::{Channel, Kind, Product};
use duban_codec::with_causes;
use duban_engine::data_directory::{log_dir, open_reader, open_texts};
use duban_engine::runner::Rules;
use duban_log::{Options, SegmentedLog};
use jiff::Timestamp;

use super::mapping::{MappingError, TicketMapping};
use super::ticket_row::{self, TicketRows};
use super::write_tickets;
use super::{ImportError, ImportReport, RejectedRow};

const MAPPING: &str = r#"
name = "small"

[row]
key = "{No}"
order = "key"

[time]
zone = "-04:00"
taken_in_at = { date = { column = "Date", order = "month-first-unless-over-12" }, time = { column = "Time", formats = ["%I.%M.%S %p"] } }

[ticket]
kind = "complaint"
channel = { text = "{Via}", table = "channel" }
category = { text = "{Text}", words = "category", otherwise = "complaint.other" }
product = "broadband"
description = "{Text}"
status = "{Status}"
province = "henan"
city = "{City}"
phone = "{Phone}"

[table.channel]
"Phone" = "hotline10000"
"Web" = "web"

[[words.category]]
gives = "complaint.network.slow"
any = ["slow*", "网速"]
"#;

const ROWS: &str = "No,Date,Time,Via,Text,Status,City,Phone\r
12,22-04-2015,3.53.50 PM,Phone,\"slow, \"\"very\"\"\",Closed,Zhengzhou,13900001111\r
9,04-08-2015,10.22.56 AM,web,网速太慢,Open,Kaifeng,13900002222\r
x,04-09-2015,12.00.00 AM,Phone,Other,Open,Kaifeng,139 0000 1111\r
";

fn mapping(text: &str) -> TicketMapping {
    TicketMapping::parse(Path::new("small.toml"), text, &Policy::cn_national()).unwrap()
}

fn table(input: &[u8], mapping: &TicketMapping) -> TicketRows {
    ticket_row::read(input, mapping, &Policy::cn_national()).unwrap()
}

fn import(data: &Path, input: &[u8], mapping: &TicketMapping) -> ImportReport {
    let (rules, table) = (Rules::cn_national(), table(input, mapping));
    write_tickets::write_tickets(data, None, mapping, table, &rules, &|_, _| ()).unwrap()
}

fn dry(data: &Path, input: &[u8], mapping: &TicketMapping) -> ImportReport {
    write_tickets::dry_run(data, mapping, table(input, mapping), &Rules::cn_national()).unwrap()
}

/// The intakes in the log's order, with what their tickets fold to.
fn tickets(data: &Path) -> Vec<(Intake, Ticket)> {
    let mut tickets = Vec::new();
    let each = |view: &duban_log::View<'_>| {
        let meta = duban_codec::decode_meta(&duban_projections::viewed(view)).unwrap();
        let event = duban_codec::decode_ticket(view.kind, view.payload).unwrap();
        let ticket = duban_aggregates::ticket::evolve(None, &event, &meta).unwrap();
        let Event::Intake(IntakeEvent::TakenIn(intake)) = event else {
            panic!("a clock was started: {}", view.kind)
        };
        tickets.push((*intake, ticket));
        Ok::<_, duban_log::Error>(std::ops::ControlFlow::Continue(()))
    };
    open_reader(data).unwrap().scan(each).unwrap();
    tickets
}

fn keys(data: &Path) -> Vec<String> {
    tickets(data).into_iter().map(|(intake, _)| intake.source.unwrap().row_key).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn rows_become_dormant_tickets_with_their_own_times_in_the_order_of_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let answer = import(dir.path(), ROWS.as_bytes(), &mapping(MAPPING));
    assert_eq!(answer, ImportReport { read: 3, added: 3, ..ImportReport::default() });
    assert_eq!(keys(dir.path()), ["9", "x", "12"]);
    let tickets = tickets(dir.path());
    let (nine, x, twelve) = (&tickets[0].0, &tickets[1].0, &tickets[2].0);
    assert_eq!(nine.taken_in_at, at("2015-04-08T10:22:56-04:00"));
    assert_eq!(x.taken_in_at, at("2015-04-09T00:00:00-04:00"));
    assert_eq!(twelve.taken_in_at, at("2015-04-22T15:53:50-04:00"));
    assert_eq!(
        (nine.kind, nine.channel, nine.service.as_ref().unwrap().product),
        (Kind::Complaint, Channel::Web, Product::Broadband)
    );
    assert_eq!(nine.category, "complaint.network.slow");
    assert_eq!(x.category, "complaint.other");
    assert_eq!(twelve.source.as_ref().unwrap().status, "Closed");
    assert!(tickets.iter().all(|(_, ticket)| ticket.dormant && ticket.clocks.is_empty() && ticket.is_open()));
    let sealer = open_texts(dir.path(), None).unwrap().unwrap();
    assert_eq!(sealer.open(&twelve.description).unwrap(), "slow, \"very\"");
    assert_eq!(sealer.open(&twelve.customer.as_ref().unwrap().phone).unwrap(), "13900001111");
}

#[test]
fn a_second_run_and_one_that_goes_on_add_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mapping = mapping(MAPPING);
    let first: String = ROWS.split_inclusive('\n').take(2).collect();
    assert_eq!(import(dir.path(), first.as_bytes(), &mapping).added, 1);
    let (read, added, known) = (3, 2, 1);
    assert_eq!(
        dry(dir.path(), ROWS.as_bytes(), &mapping),
        ImportReport { read, added, known, ..ImportReport::default() }
    );
    assert_eq!(
        import(dir.path(), ROWS.as_bytes(), &mapping),
        ImportReport { read, added, known, ..ImportReport::default() }
    );
    assert_eq!(
        import(dir.path(), ROWS.as_bytes(), &mapping),
        ImportReport { read, known: 3, ..ImportReport::default() }
    );
    assert_eq!(tickets(dir.path()).len(), 3);
}

#[test]
fn the_same_phone_is_the_same_customer_also_in_a_later_run() {
    let dir = tempfile::tempdir().unwrap();
    let mapping = mapping(MAPPING);
    let lines: Vec<&str> = ROWS.split_inclusive('\n').collect();
    import(dir.path(), [lines[0], lines[1], lines[2]].concat().as_bytes(), &mapping);
    import(dir.path(), ROWS.as_bytes(), &mapping);
    let customers: Vec<_> = tickets(dir.path())
        .into_iter()
        .map(|(intake, _)| (intake.person(), intake.source.unwrap().row_key))
        .map(|(person, row_key)| (row_key, person))
        .collect();
    let of = |key: &str| customers.iter().find(|(row, _)| row == key).unwrap().1;
    assert_eq!(of("12"), of("x"));
    assert_ne!(of("12"), of("9"));
}

#[test]
fn without_phones_every_row_has_a_customer_of_its_own_and_a_placeholder() {
    let dir = tempfile::tempdir().unwrap();
    let text = MAPPING.replace("phone = \"{Phone}\"\n", "");
    import(dir.path(), ROWS.as_bytes(), &mapping(&text));
    let tickets = tickets(dir.path());
    let ids: BTreeSet<_> = tickets.iter().map(|(intake, _)| intake.person()).collect();
    let hashes: BTreeSet<_> =
        tickets.iter().map(|(intake, _)| intake.person_with_phone().unwrap().1).collect();
    assert_eq!((ids.len(), hashes.len()), (3, 3));
    let sealer = open_texts(dir.path(), None).unwrap().unwrap();
    assert_eq!(sealer.open(&tickets[0].0.customer.as_ref().unwrap().phone).unwrap(), "import:9");
    assert_eq!(sealer.open(&tickets[0].0.customer.as_ref().unwrap().name).unwrap(), "（未提供）");
    assert_ne!(tickets[0].0.customer.as_ref().unwrap().phone_hash, sealer.keys().phone_hash("9"));
}

#[test]
fn bad_rows_are_named_by_line_and_the_rest_goes_in() {
    let mut input = ROWS.as_bytes().to_vec();
    input.extend_from_slice(b"13,31-31-2015,1.00.00 PM,Phone,a,Open,Kaifeng,1\n");
    input.extend_from_slice(b"14,04-08-2015,1.00.00 PM,Fax,a,Open,Kaifeng,1\n");
    input.extend_from_slice(b"15,04-08-2015,1.00.00 PM,Phone,\xC3\x28,Open,Kaifeng,1\n");
    input.extend_from_slice(b"16,04-08-2015\n");
    input.extend_from_slice(b"9,04-08-2015,1.00.00 PM,Phone,a,Open,Kaifeng,1\n");
    input.extend_from_slice(b",04-08-2015,1.00.00 PM,Phone,a,Open,Kaifeng,1\n");
    input.extend_from_slice(b"17,04-08-2999,1.00.00 PM,Phone,a,Open,Kaifeng,1\n");
    input.extend_from_slice(b"18,04-08-2015,1.00.00 PM,Phone,,Open,Kaifeng,1\n");
    input.extend_from_slice(b"19,04-08-2015,1.00.00 PM,Phone,\"open,Open,Kaifeng,1\n");
    let long = format!("20,04-08-2015,1.00.00 PM,Phone,{},Open,Kaifeng,1\n", "长".repeat(22_000));
    input.extend_from_slice(long.as_bytes());
    input.extend_from_slice(b"21,05-08-2015,1.00.00 PM,Phone,fine,Open,Kaifeng,1\n");
    let dir = tempfile::tempdir().unwrap();
    let mapping = mapping(MAPPING);
    let answer = import(dir.path(), &input, &mapping);
    assert_eq!((answer.read, answer.added, answer.known, answer.rejected), (14, 4, 0, 10));
    let keys: BTreeSet<_> = keys(dir.path()).into_iter().collect();
    assert_eq!(keys, ["9", "x", "12", "21"].map(str::to_owned).into());
    let wanted = [
        (5, "\"31-31-2015\" is no date"),
        (6, "channel: \"Fax\" is not in [table.channel]"),
        (7, "not valid UTF-8: bad byte at column 32"),
        (8, "has 2 fields where the header has 8"),
        (9, "\"9\" stands on line 3 already"),
        (10, "key is empty"),
        (11, "taken_in_at"),
        (12, "description"),
        (13, "the quote that opens field 5 is never closed"),
        (14, "description"),
    ];
    assert_eq!(answer.errors.len(), wanted.len());
    for (RejectedRow { line, reason }, (at, part)) in answer.errors.iter().zip(wanted) {
        assert!(*line == at && reason.contains(part), "line {line}: {reason}, wanted {at}: {part}");
    }
    let dry = dry(&dir.path().join("nowhere"), &input, &mapping);
    assert_eq!(dry, answer, "a dry run says the same");
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn while_another_writes_the_import_is_refused_and_says_how_else() {
    let dir = tempfile::tempdir().unwrap();
    let _server = SegmentedLog::open(&log_dir(dir.path()), Options::default()).unwrap();
    let mapping = mapping(MAPPING);
    let (rules, table) = (Rules::cn_national(), table(ROWS.as_bytes(), &mapping));
    let refused = write_tickets::write_tickets(dir.path(), None, &mapping, table, &rules, &|_, _| ());
    let error = refused.unwrap_err();
    assert!(error.is_misuse() && matches!(error, ImportError::Directory(_)), "{error:?}");
    assert!(error.to_string().contains("--server"), "{error}");
}

#[track_caller]
fn refused(change: (&str, &str), part: &str) {
    assert!(MAPPING.contains(change.0), "{change:?}");
    let text = MAPPING.replacen(change.0, change.1, 1);
    let parsed = TicketMapping::parse(Path::new("m"), &text, &Policy::cn_national());
    let error = match parsed {
        Err(error) => error,
        Ok(mapping) => ticket_row::read(ROWS.as_bytes(), &mapping, &Policy::cn_national()).unwrap_err(),
    };
    let text = with_causes(&error);
    assert!(text.contains(part), "{text}");
}

#[test]
fn a_mapping_that_cannot_work_is_refused_before_the_first_row() {
    refused(("name = \"small\"", "name = \"\""), "needs a name");
    refused(("name = \"small\"", "name = \"small\"\nnmae = 1"), "unknown field");
    refused(("\"-04:00\"", "\"America/New_York\""), "is no offset");
    refused(("order = \"key\"", "order = \"kye\""), "unknown variant");
    refused(("month-first-unless", "mont-first-unless"), "unknown variant");
    refused(("time = { column", "tiem = { column"), "unknown field `tiem`");
    refused(
        ("order = \"month-first-unless-over-12\"", "separators = \"-\""),
        "a date has `formats`, or `order`",
    );
    refused(("kind = \"complaint\"", "kind = \"complain\""), "ticket.kind may become \"complain\"");
    refused(("kind = \"complaint\"", ""), "needs ticket.kind");
    refused(("\"web\"", "\"wep\""), "ticket.channel may become \"wep\"");
    refused(("gives = \"complaint.network.slow\"", "gives = \"complaint.slow\""), "no such category");
    refused(("city = \"{City}\"", "town = \"{City}\"\ncity = \"{City}\""), "ticket.town is unknown");
    refused(("\"{City}\"", "\"{Town}\""), "has no column \"Town\"; it has: No, Date");
    refused(("\"{City}\"", "\"{City\""), "brace");
    refused(("table = \"channel\"", "table = \"chanel\""), "no [table.chanel]");
    refused(("[row]", "[file]\nencoding = \"utf-16le\"\n\n[row]"), "not made for lines");
    refused(("[row]", "[file]\nquote = \",\"\n\n[row]"), "quote must be");
}

#[test]
fn an_empty_input_and_one_with_a_broken_header_are_no_crash() {
    let mapping = mapping(MAPPING);
    assert!(table(b"", &mapping).rows.is_empty());
    let table = table(b"\xFF,a\n1,2\n", &mapping);
    assert_eq!((table.rows.len(), table.bad.len()), (0, 1));
    let twice = ticket_row::read(b"No,No\n", &mapping, &Policy::cn_national());
    assert!(matches!(twice, Err(MappingError::ColumnTwice(_))));
}

fn shipped() -> TicketMapping {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/mappings/telecom-complaints.toml");
    TicketMapping::load(&path, &Policy::cn_national()).unwrap()
}

/// The real complaints lie beside the checkout and are never copied into it; where they are not there, their tests say so and pass.
fn complaints() -> Option<Vec<u8>> {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/telecom-complaints.tsv");
    let read = std::fs::read(&path).ok();
    if read.is_none() {
        eprintln!("skipped: shared/data/telecom-complaints.tsv is not beside this checkout");
    }
    read
}

#[test]
fn the_shipped_mapping_reads_rows_of_its_source() {
    let input = "Ticket #\tCustomer Complaint\tDate\tDate_month_year\tTime\tReceived Via\tCity\tState\tZip code\tStatus\tFiling on Behalf of Someone\r\n\
        250635\tdata cap \"\"\"trials\"\"\"\t22-04-2015\t22-Apr-15\t3.53.50 PM\tCustomer Care Call\tAbingdon\tMaryland\t21009\tClosed\tNo\r\n\
        223441\t\"Payment, gone\"\t04-08-2015\t04-Aug-15\t10.22.56 AM\tInternet\tAcworth\tDistrict Of Columbia\t30102\tOpen\tYes\r\n";
    let table = table(input.as_bytes(), &shipped());
    assert!(table.bad.is_empty(), "{:?}", table.bad);
    let [first, second] = &table.rows[..] else { panic!("{:?}", table.rows) };
    assert_eq!((first.key.as_str(), second.key.as_str()), ("223441", "250635"));
    assert_eq!(first.taken_in_at, at("2015-04-08T10:22:56-04:00"));
    assert_eq!(first.description, "Payment, gone\n(filed on behalf of someone: Yes)");
    assert_eq!((first.province.as_str(), first.status.as_str()), ("district-of-columbia", "open"));
    assert_eq!(second.category, "complaint.data_cap");
    assert_eq!(second.channel, Channel::Hotline10000);
}

#[test]
fn all_2224_complaints_go_in_once_on_91_consecutive_days_in_the_order_of_their_numbers() {
    let Some(input) = complaints() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mapping = shipped();
    let answer = import(dir.path(), &input, &mapping);
    assert_eq!(answer, ImportReport { read: 2_224, added: 2_224, ..ImportReport::default() });
    let tickets = tickets(dir.path());
    let days: BTreeSet<_> =
        tickets.iter().map(|(intake, _)| mapping.zone.to_datetime(intake.taken_in_at).date()).collect();
    let (first, last) = (days.first().unwrap(), days.last().unwrap());
    assert_eq!((first.to_string().as_str(), last.to_string().as_str()), ("2015-04-01", "2015-06-30"));
    assert_eq!(days.len(), 91);
    let keys = keys(dir.path());
    let numbers: Vec<u64> = keys.iter().filter_map(|key| key.parse().ok()).collect();
    assert_eq!((numbers.len(), numbers.is_sorted()), (2_223, true));
    // The one that is no number stands among those of its day.
    let odd = tickets
        .iter()
        .position(|(intake, _)| intake.source.as_ref().unwrap().row_key.parse::<u64>().is_err());
    let day = |index: usize| mapping.zone.to_datetime(tickets[index].0.taken_in_at).date();
    let odd = odd.unwrap();
    assert_eq!((day(odd - 1), day(odd + 1)), (day(odd), day(odd)));
    let answer = import(dir.path(), &input, &mapping);
    assert_eq!(answer, ImportReport { read: 2_224, known: 2_224, ..ImportReport::default() });
}

#[test]
fn three_broken_complaints_are_reported_and_the_other_2221_go_in() {
    let Some(input) = complaints() else { return };
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // Lines 10, 500 and 2,225: a field too few, a byte that is no UTF-8, a quote that is never closed.
    let tab = lines[9].iter().position(|byte| *byte == b'\t').unwrap();
    lines[9].remove(tab);
    let tab = lines[499].iter().position(|byte| *byte == b'\t').unwrap();
    lines[499].insert(tab + 1, 0xFF);
    let tab = lines[2_224].iter().position(|byte| *byte == b'\t').unwrap();
    lines[2_224].insert(tab + 1, b'"');
    let dir = tempfile::tempdir().unwrap();
    let answer = import(dir.path(), &lines.concat(), &shipped());
    assert_eq!((answer.read, answer.added, answer.rejected), (2_224, 2_221, 3));
    let errors: Vec<_> = answer.errors.iter().map(|RejectedRow { line, .. }| *line).collect();
    assert_eq!(errors, [10, 500, 2_225], "{:?}", answer.errors);
}

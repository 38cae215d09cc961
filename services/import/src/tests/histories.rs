//! Rows become steps of foreign histories: all of them, once, at their own times, and with the bad ones named.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use duban_aggregates::imported::{Event, Step};
use duban_aggregates::words::Stage;
use duban_codec::with_causes;
use duban_engine::data_directory::open_reader;
use duban_engine::runner::Rules;
use duban_projections::{Conformance, ConformanceFold};
use jiff::Timestamp;

use crate::mapping::{self, MappingError, RowKind};
use crate::step_row::{self, StepMapping};
use crate::{ImportReport, RejectedRow, write_histories};

const MAPPING: &str = r#"
name = "small"
rows = "steps"

[time]
zone = "+00:00"
occurred_at = { column = "At", formats = ["%Y-%m-%d %H:%M:%S%:z", "%Y-%m-%d %H:%M"] }

[step]
case = "{Case}"
activity = "{What}"
resource = "{Who}"
stage = { text = "{What}", table = "stage" }

[attributes]
"note" = "{Note}"
"case:product" = "{Product}"

[table.stage]
"Look" = "investigate"
"Solve" = "reply"
"Wait" = "none"
"#;

const ROWS: &str = "Case,What,At,Who,Note,Product\n\
    B,Solve,2010-01-29 08:52:34+08:00,e2,\"<done> & \"\"well\"\"\",pen\n\
    A,Look,2010-01-13 08:40:25+00:00,e1,,ink\n\
    A,Wait,2010-01-14 10:00,,,ink\n\
    B,Look,2010-01-29 08:52:34+08:00,e1,,pen\n\
    B,Solve,2010-01-29 08:52:34+08:00,e2,again,pen\n";

fn mapping(text: &str) -> StepMapping {
    assert_eq!(mapping::row_kind(Path::new("small.toml"), text).unwrap(), RowKind::Steps);
    StepMapping::parse(Path::new("small.toml"), text).unwrap()
}

fn run(data: &Path, input: &[u8], mapping: &StepMapping, dry: bool) -> ImportReport {
    let rules = Rules::cn_national();
    let table = step_row::read(input, mapping).unwrap();
    if dry {
        return write_histories::dry_run(data, table, &rules, &|_, _| ()).unwrap();
    }
    write_histories::write_histories(data, None, mapping, table, &rules, &|_, _| ()).unwrap()
}

/// A step as the log keeps it.
struct Kept {
    step: Step,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
}

/// All streams with their steps.
fn kept(data: &Path) -> BTreeMap<String, Vec<Kept>> {
    let mut kept: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
    let each = |view: &duban_log::View<'_>| {
        let meta = duban_codec::decode_meta(&duban_projections::viewed(view)).unwrap();
        let Event::HistoricStep(step) = duban_codec::decode_imported(view.kind, view.payload).unwrap();
        assert_eq!(view.stream, format!("imported-{}", step.history));
        let (occurred_at, recorded_at) = (meta.occurred_at, meta.recorded_at);
        kept.entry(step.case.clone()).or_default().push(Kept { step, occurred_at, recorded_at });
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    };
    open_reader(data).unwrap().scan(each).unwrap();
    kept
}

fn answer(read: u64, added: u64, known: u64, histories: u64) -> ImportReport {
    ImportReport { read, added, known, histories: Some(histories), ..ImportReport::default() }
}

#[test]
fn rows_become_steps_of_their_cases_at_their_own_times_and_in_the_order_of_these() {
    let dir = tempfile::tempdir().unwrap();
    let before: Timestamp = Timestamp::now();
    assert_eq!(run(dir.path(), ROWS.as_bytes(), &mapping(MAPPING), false), answer(5, 5, 0, 2));
    let kept = kept(dir.path());
    let told = |case: &str| {
        let steps = kept[case].iter();
        let told = steps.map(|kept| (kept.step.activity.clone(), kept.occurred_at.to_string()));
        told.collect::<Vec<_>>()
    };
    let at = |activity: &str, at: &str| (activity.to_owned(), at.to_owned());
    assert_eq!(told("A"), [at("Look", "2010-01-13T08:40:25Z"), at("Wait", "2010-01-14T10:00:00Z")]);
    // Of one moment: as they stand in the file.
    let moment = "2010-01-29T00:52:34Z";
    assert_eq!(told("B"), [at("Solve", moment), at("Look", moment), at("Solve", moment)]);
    let all = || kept.values().flatten();
    assert!(all().all(|kept| kept.recorded_at >= before && kept.occurred_at == kept.step.occurred_at));
    let (look, wait, solve) = (&kept["A"][0].step, &kept["A"][1].step, &kept["B"][0].step);
    assert_eq!((look.stage, wait.stage, solve.stage), (Some(Stage::Investigate), None, Some(Stage::Reply)));
    assert_eq!((look.resource.as_deref(), wait.resource.as_deref()), (Some("e1"), None));
    assert_eq!((look.transition.as_str(), look.source.as_str()), ("complete", "small"));
    let attributes: Vec<_> =
        solve.attributes.iter().map(|kept| (kept.name.as_str(), kept.value.as_str())).collect();
    assert_eq!(attributes, [("case:product", "pen"), ("note", "<done> & \"well\"")]);
    // What is empty is not kept.
    assert_eq!(look.attributes.len(), 1);
}

#[test]
fn a_second_run_adds_nothing_and_a_source_that_has_grown_adds_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mapping = mapping(MAPPING);
    let first: String = ROWS.split_inclusive('\n').take(3).collect();
    assert_eq!(run(dir.path(), first.as_bytes(), &mapping, false), answer(2, 2, 0, 2));
    assert_eq!(run(dir.path(), ROWS.as_bytes(), &mapping, true), answer(5, 3, 2, 2));
    assert_eq!(run(dir.path(), ROWS.as_bytes(), &mapping, false), answer(5, 3, 2, 2));
    for dry in [true, false] {
        assert_eq!(run(dir.path(), ROWS.as_bytes(), &mapping, dry), answer(5, 0, 5, 2));
    }
    // Another key tells rows apart by what it names: here the two solutions are two by their notes, and other than they were.
    let keyed = MAPPING.replace("[time]", "[row]\nkey = \"{What} {Note}\"\n\n[time]");
    assert_eq!(run(dir.path(), ROWS.as_bytes(), &self::mapping(&keyed), false).added, 5);
    assert_eq!(kept(dir.path()).values().map(Vec::len).sum::<usize>(), 10);
}

#[test]
fn bad_rows_are_named_by_line_and_cost_nobody_else() {
    let mut input = ROWS.as_bytes().to_vec();
    input.extend_from_slice(b"B,Fax,2010-01-29 08:52,e2,,\n");
    input.extend_from_slice(b"B,Look,29 January,e2,,\n");
    input.extend_from_slice(b",Look,2010-01-29 08:52,e2,,\n");
    input.extend_from_slice(b"B,Look,2999-01-29 08:52,e2,,\n");
    input.extend_from_slice(b"B,Look\n");
    input.extend_from_slice(format!("B,Look,2010-01-29 08:52,e2,{},\n", "x".repeat(5000)).as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let mapping = mapping(MAPPING);
    let answer = run(dir.path(), &input, &mapping, false);
    assert_eq!((answer.read, answer.added, answer.rejected), (11, 5, 6));
    let wanted = [
        (7, "stage: \"Fax\" is not in [table.stage]"),
        (8, "\"29 January\" is in none of the formats"),
        (9, "case is required"),
        (10, "occurred_at lies in the future"),
        (11, "has 2 fields where the header has 6"),
        (12, "attributes.value is longer than 4096 bytes"),
    ];
    assert_eq!(answer.errors.len(), wanted.len());
    for (RejectedRow { line, reason }, (at, part)) in answer.errors.iter().zip(wanted) {
        assert!(*line == at && reason.contains(part), "line {line}: {reason}, wanted {at}: {part}");
    }
    let nowhere = dir.path().join("nowhere");
    assert_eq!(run(&nowhere, &input, &mapping, true), answer, "a dry run says the same");
    assert!(!nowhere.exists());
}

#[track_caller]
fn refused(change: (&str, &str), part: &str) {
    assert!(MAPPING.contains(change.0), "{change:?}");
    let text = MAPPING.replacen(change.0, change.1, 1);
    let error = match StepMapping::parse(Path::new("m"), &text) {
        Err(error) => error,
        Ok(mapping) => step_row::read(ROWS.as_bytes(), &mapping).unwrap_err(),
    };
    let text = with_causes(&error);
    assert!(text.contains(part), "{text}");
}

#[test]
fn a_mapping_of_steps_that_cannot_work_is_refused_before_the_first_row() {
    refused(("name = \"small\"", "name = \"\""), "needs a name");
    refused(("\"reply\"", "\"answer\""), "step.stage may become \"answer\"");
    refused(("case = \"{Case}\"", ""), "needs step.case");
    refused(("case = \"{Case}\"", "case = \"{Csae}\""), "has no column \"Csae\"");
    refused(("resource =", "person ="), "step.person is unknown; there are: case, activity");
    refused(("\"{Note}\"", "\"{Note\""), "attributes.note");
    refused(("\"{Product}\"", "\"{Produkt}\""), "has no column \"Produkt\"");
    refused(("[step]", "[ticket]\nkind = \"fault\"\n\n[step]"), "unknown field `ticket`");
    refused(("+00:00", "UTC"), "is no offset");
    let unknown = mapping::row_kind(Path::new("m"), "rows = \"pages\"");
    assert!(matches!(unknown, Err(MappingError::Invalid { .. })));
    assert_eq!(mapping::row_kind(Path::new("m"), "name = \"x\"").unwrap(), RowKind::Tickets);
}

/// The real log lies beside the checkout and is never copied into it; where it is not there, its test says so and passes.
fn helpdesk() -> Option<Vec<u8>> {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/helpdesk-events.csv");
    let read = std::fs::read(&path).ok();
    if read.is_none() {
        eprintln!("skipped: shared/data/helpdesk-events.csv is not beside this checkout");
    }
    read
}

#[test]
fn all_21348_steps_of_4580_real_tickets_go_in_once_and_a_second_run_adds_none() {
    let Some(input) = helpdesk() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/mappings/helpdesk.toml");
    let mapping = StepMapping::parse(&path, &mapping::text(&path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &input, &mapping, false), answer(21_348, 21_348, 0, 4_580));
    assert_eq!(run(dir.path(), &input, &mapping, false), answer(21_348, 0, 21_348, 4_580));
    let kept = kept(dir.path());
    assert_eq!((kept.len(), kept.values().map(Vec::len).sum::<usize>()), (4_580, 21_348));
    assert!(kept.values().all(|steps| steps.is_sorted_by_key(|kept| kept.occurred_at)));
    let moments = || kept.values().flatten().map(|kept| kept.occurred_at);
    assert_eq!(moments().min(), "2010-01-13T08:40:25Z".parse().ok());
    assert_eq!(moments().max(), "2014-01-03T13:20:58Z".parse().ok());
    assert!(kept.values().flatten().all(|kept| kept.step.resource.is_some()));
    // Counted apart from this program. Nobody there tells the customer, reports or assesses; the few that conform are unfinished.
    let reader = open_reader(dir.path()).unwrap();
    let conformance = Conformance::of_log(ConformanceFold, &reader, &|_| ()).unwrap();
    let patterns = conformance.patterns(Some("imported/helpdesk")).unwrap();
    assert!(patterns.add_up());
    assert_eq!((patterns.histories, patterns.conforming(), patterns.counted.len()), (4_580, 17, 32));
    let first: Vec<_> =
        patterns.counted.iter().take(3).map(|row| (row.pattern.as_str(), row.histories)).collect();
    assert_eq!(
        first,
        [
            ("skipped feedback, inspect, report, assess", 3_130),
            ("skipped feedback, inspect, report, assess; repeated dispatch", 397),
            ("skipped feedback, inspect, report, assess; repeated investigate", 280),
        ]
    );
}

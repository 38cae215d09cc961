//! What is exported is read back with other people's readers, and says what the log says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, HistoryId, stream_event_id};
use duban_aggregates::imported::{self, Attribute, Step};
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::words::{Role, Stage};
use duban_codec::Lineage;
use duban_log::{
    BulkAppend, EventLog, Expected, NewEvent, Options, Reader, SegmentedLog, StreamName, append_in_order,
};
use duban_projections::{ticket_stream, ticket_to_store};
use duban_sample_tickets::walker::Walker;
use jiff::Timestamp;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use uuid::Uuid;

use super::{ExportFormat, ExportedHistories, HistorySelection};

/// Everything that breaks a writer that is not careful.
const HOSTILE: &str = "\"/></event></trace>]]><!-- & &amp; '<x>' -->\r\n\t\u{0}\u{1}\u{fffe}\u{2028}𠮷";

/// What an XML reader gives back for it.
const READ_BACK: &str =
    "\"/></event></trace>]]><!-- & &amp; '<x>' -->\r\n\t\u{fffd}\u{fffd}\u{fffd}\u{2028}𠮷";

const TICKETS: usize = 40;

fn stream(name: &str) -> StreamName {
    StreamName::new(name.to_owned()).unwrap()
}

/// A step of a foreign history.
fn step(case: &str, revision: u64, second: i64) -> BulkAppend {
    let history = HistoryId(Uuid::new_v5(&Uuid::NAMESPACE_OID, case.as_bytes()));
    let occurred_at = Timestamp::from_second(1_262_304_000 + second).unwrap();
    let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: value.into() };
    let step = Step {
        history,
        source: "elsewhere".into(),
        case: case.into(),
        activity: if revision == 0 { HOSTILE.into() } else { "Resolve".into() },
        occurred_at,
        stage: (revision > 0).then_some(Stage::Reply),
        resource: (revision > 0).then(|| HOSTILE.into()),
        transition: "complete".into(),
        attributes: vec![
            attribute("case:product", "ink"),
            // Names that would stand for something else in the file.
            attribute("concept:name", "mine"),
            attribute("ocel:eid", "mine"),
            attribute("revision", "mine"),
            attribute("<\"&", HOSTILE),
        ],
    };
    let command = CommandId(Uuid::from_u128(u128::from(revision) + 1));
    let meta = Meta {
        id: stream_event_id(history.0, command, 0),
        revision,
        recorded_at: Timestamp::from_second(1_767_225_600).unwrap(),
        occurred_at,
        actor: Actor { id: "import".into(), role: Role::Import, unit: "import".into() },
        command,
        fingerprint: [0; 16],
    };
    let (kind, payload) = duban_codec::encode_imported(&imported::Event::HistoricStep(step));
    let event = NewEvent {
        id: meta.id.0,
        kind: kind.into(),
        occurred_at: occurred_at.as_microsecond(),
        recorded_at: meta.recorded_at.as_microsecond(),
        tags: Vec::new(),
        metadata: duban_codec::encode_metadata(&meta, &Lineage::default(), ""),
        payload: payload.into(),
    };
    let stream = stream(&format!("imported-{history}"));
    BulkAppend { stream, expected: Expected::after(revision.checked_sub(1)), events: vec![event] }
}

/// A log with tickets of ours and two foreign histories; answers how many events each stream has.
fn log(dir: &Path) -> BTreeMap<String, u64> {
    let mut walker = Walker::new(5);
    let policy = Policy::cn_national();
    let mut appends = Vec::new();
    for _ in 0..TICKETS {
        let customer = walker.customer();
        // In the clear, so that a text which got out would be found.
        let seal = |text: &str| {
            let ciphertext = [text.as_bytes(), &[0; 16]].concat();
            Sealed { customer, nonce: [0; 12], ciphertext }
        };
        let history = walker.history(customer, &seal);
        let (events, ticket) =
            ticket_to_store(history.iter().map(|(meta, event)| (meta, event)), &policy.version);
        let ticket = ticket.unwrap();
        let stream = ticket_stream(ticket.kind(), ticket.id()).unwrap();
        appends.push(BulkAppend { stream, expected: Expected::NoStream, events });
    }
    // The second step was recorded first.
    appends.extend([step("Case1", 0, 60), step("Case1", 1, 30), step(HOSTILE, 0, 0)]);
    let mut lengths = BTreeMap::new();
    for append in &appends {
        *lengths.entry(append.stream.as_str().to_owned()).or_default() += append.events.len() as u64;
    }
    let log = SegmentedLog::open(&dir.join("log"), Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(append_in_order(&log, appends)).unwrap();
    runtime.block_on(log.close()).unwrap();
    lengths
}

fn export(dir: &Path, format: ExportFormat, selection: HistorySelection) -> (ExportedHistories, String) {
    let out = dir.join("out");
    let reader = Reader::open(&dir.join("log")).unwrap();
    let written = super::export_histories(&reader, &out, format, selection, &|_, _, _| ()).unwrap();
    assert_eq!(written.bytes, std::fs::metadata(&out).unwrap().len());
    assert!(!dir.join("out.part").exists());
    (written, std::fs::read_to_string(&out).unwrap())
}

/// A trace or an event of an XES file: its attributes by key, with their kind.
type Fields = BTreeMap<String, (String, String)>;

fn fields(into: &mut Fields, element: &BytesStart<'_>) {
    let mut of: BTreeMap<String, String> = BTreeMap::new();
    for attribute in element.attributes() {
        let attribute = attribute.unwrap();
        let name = attribute.key.0.to_owned();
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap();
        of.insert(name, value.into_owned());
    }
    let kind = element.name().0.to_owned();
    let before = into.insert(of.remove("key").unwrap(), (kind, of.remove("value").unwrap()));
    assert_eq!(before, None, "a key stands once");
    assert!(of.is_empty());
}

/// Reads an XES file: each trace with its events.
fn traces(text: &str) -> Vec<(Fields, Vec<Fields>)> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut traces: Vec<(Fields, Vec<Fields>)> = Vec::new();
    let mut at: Vec<String> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(element) => {
                let name = element.name().0.to_owned();
                match name.as_str() {
                    "trace" => traces.push(<(Fields, Vec<Fields>)>::default()),
                    "event" => traces.last_mut().unwrap().1.push(Fields::new()),
                    "log" | "global" => {}
                    other => panic!("an element of nobody's: {other}"),
                }
                at.push(name);
            }
            Event::End(_) => drop(at.pop().unwrap()),
            Event::Empty(element) => match at.last().map(String::as_str) {
                Some("trace") => fields(&mut traces.last_mut().unwrap().0, &element),
                Some("event") => {
                    let events = &mut traces.last_mut().unwrap().1;
                    fields(events.last_mut().unwrap(), &element);
                }
                _ => {}
            },
            Event::Text(text) => assert!(text.trim().is_empty(), "{text:?}"),
            Event::Decl(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(at.is_empty());
    traces
}

#[test]
fn xes_read_back_has_every_history_and_every_event_at_its_moment_with_a_zone() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = log(dir.path());
    let (written, text) = export(dir.path(), ExportFormat::Xes, HistorySelection::All);
    let events: u64 = lengths.values().sum();
    let cases = lengths.len() as u64;
    assert_eq!(written, ExportedHistories { bytes: text.len() as u64, cases, events, objects: None });
    let traces = traces(&text);
    let found: BTreeMap<String, u64> =
        traces.iter().map(|(trace, events)| (trace["stream"].1.clone(), events.len() as u64)).collect();
    assert_eq!(found, lengths);
    let names: BTreeSet<_> = traces.iter().map(|(trace, _)| &trace["concept:name"].1).collect();
    assert_eq!(names.len(), traces.len());
    for (_, events) in &traces {
        let mut before = None;
        for event in events {
            let (kind, at) = &event["time:timestamp"];
            assert!(kind == "date" && at.ends_with("+00:00"), "{kind} {at}");
            let at: Timestamp = at.parse().unwrap();
            assert!(before.replace(at).is_none_or(|before| before <= at), "events of a trace are in order");
            assert_eq!(event["lifecycle:transition"].1, "complete");
            assert!(!event["concept:name"].1.is_empty());
            assert_eq!(event["identity:id"].0, "id");
        }
    }
    let ours = traces.iter().find(|(trace, _)| trace["origin"].1 == "duban").unwrap();
    assert_eq!(ours.1[0]["concept:name"].1, "ticket.taken_in");
    assert!(
        ["org:resource", "org:role", "org:group", "stage"].iter().all(|key| ours.1[0].contains_key(*key))
    );
}

#[test]
fn hostile_texts_stay_in_their_attributes() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let (_, text) = export(dir.path(), ExportFormat::Xes, HistorySelection::Imported);
    let traces = traces(&text);
    let [(first, events), (second, _)] = &traces[..] else { panic!("{} traces", traces.len()) };
    let value = |fields: &Fields, key: &str| fields[key].1.clone();
    assert_eq!(value(first, "concept:name"), "elsewhere/Case1");
    assert_eq!(value(first, "product"), "ink");
    assert_eq!(value(second, "concept:name"), format!("elsewhere/{READ_BACK}"));
    // In the order of the source's moments, not of their recording.
    assert_eq!(
        (value(&events[0], "concept:name"), value(&events[0], "revision")),
        ("Resolve".into(), "1".into())
    );
    assert_eq!(value(&events[0], "org:resource"), READ_BACK);
    assert_eq!(value(&events[1], "concept:name"), READ_BACK);
    assert_eq!(value(&events[1], "<\"&"), READ_BACK);
    for name in ["concept:name", "ocel:eid", "revision"] {
        assert_eq!(value(&events[1], &format!("source:{name}")), "mine");
    }
}

#[test]
fn ocel_read_back_names_only_objects_types_and_attributes_that_it_declares() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = log(dir.path());
    let (written, text) = export(dir.path(), ExportFormat::Ocel, HistorySelection::All);
    let read: Value = serde_json::from_str(&text).unwrap();
    let list = |value: &Value, name: &str| value[name].as_array().unwrap().clone();
    let text_of = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    let objects = list(&read, "objects");
    let ids: BTreeSet<_> = objects.iter().map(|object| text_of(object, "id")).collect();
    assert_eq!(ids.len(), objects.len(), "an object stands once");
    assert_eq!(written.objects, Some(ids.len() as u64));
    let types = |name: &str| -> BTreeMap<String, BTreeSet<String>> {
        let attributes = |of: &Value| list(of, "attributes").iter().map(|it| text_of(it, "name")).collect();
        list(&read, name).iter().map(|of| (text_of(of, "name"), attributes(of))).collect()
    };
    let (event_types, object_types) = (types("eventTypes"), types("objectTypes"));
    let wanted = ["customer", "history", "order", "ticket", "unit"];
    assert!(object_types.keys().eq(wanted), "{:?}", object_types.keys());
    let events = list(&read, "events");
    assert_eq!(events.len() as u64, lengths.values().sum::<u64>());
    assert_eq!((written.events, written.cases), (events.len() as u64, lengths.len() as u64));
    let mut per_history: BTreeMap<String, u64> = BTreeMap::new();
    for (items, types) in [(&events, &event_types), (&objects, &object_types)] {
        for item in items {
            let declared = types.get(&text_of(item, "type")).unwrap();
            let mut names = BTreeSet::new();
            for attribute in list(item, "attributes") {
                let name = text_of(&attribute, "name");
                assert!(declared.contains(&name) && names.insert(name), "{item}");
            }
            for relation in list(item, "relationships") {
                let to = text_of(&relation, "objectId");
                assert!(ids.contains(&to), "{to} is no object");
                if ["ticket", "history"].contains(&text_of(&relation, "qualifier").as_str()) {
                    *per_history.entry(to).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(per_history, lengths, "every event is of one history");
    for event in &events {
        let at = text_of(event, "time");
        assert!(at.ends_with("+00:00") && at.parse::<Timestamp>().is_ok(), "{at}");
    }
    let related = |qualifier: &str| {
        let of = |event: &Value| list(event, "relationships").iter().any(|it| it["qualifier"] == qualifier);
        events.iter().filter(|event| of(event)).count()
    };
    assert_eq!(related("customer"), TICKETS);
    assert!(related("order") > TICKETS && related("unit") > TICKETS && related("assessed") > 0);
}

#[test]
fn sealed_texts_stay_out_and_streams_are_chosen_by_where_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = log(dir.path());
    let foreign = |stream: &&String| stream.starts_with("imported-");
    for format in [ExportFormat::Xes, ExportFormat::Ocel] {
        let (all, text) = export(dir.path(), format, HistorySelection::All);
        // Words that only sealed texts hold: of names, addresses, descriptions and reports.
        for words in ["人民路", "光猫红灯", "交接箱", "建国", "秀英", "退费"] {
            assert!(!text.contains(words), "{words} got out");
        }
        let ours = export(dir.path(), format, HistorySelection::Ours).0;
        let imported = export(dir.path(), format, HistorySelection::Imported).0;
        assert_eq!(imported.cases, lengths.keys().filter(foreign).count() as u64);
        assert_eq!((ours.cases + imported.cases, ours.events + imported.events), (all.cases, all.events));
    }
}

//! An erasure: nothing opens any more, anywhere, and nothing else has changed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::ids::CustomerId;
use duban_aggregates::sealed::Sealed;
use duban_client::TokenHolder;
use duban_codec::Wire as _;
use duban_log::Reader;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::outside::{Did, run};
use duban_tests::refusal::refused;
use duban_tests::repository::files;
use duban_tests::script::Case;
use duban_tests::wire::Wire;
use duban_vault::keys::KeyStore;
use duban_vault::seal::{Sealer, Unreadable};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::Code;
use uuid::Uuid;

use super::sealed::{ADDRESS, DESCRIPTION, NAME, NUMBER, PHONE, contains, forms, walked};
use crate::program;

async fn duban(arguments: &[&str]) -> Did {
    run(program(), arguments).await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain ASCII")
}

/// Every sealed text of a log, by customer.
fn sealed_texts(data: &Path) -> BTreeMap<Uuid, Vec<Sealed>> {
    let mut found = BTreeMap::<Uuid, Vec<Sealed>>::new();
    let reader = Reader::open(&data.join("log")).expect("the log is read");
    let each = |view: &duban_log::View<'_>| {
        let event = view.to_recorded()?;
        let envelope = duban_codec::to_event(&stored(&event)).expect("an event of ours is decoded");
        let kind = duban_codec::descriptors().get_message_by_name("duban.event.v1.Event");
        let bytes = envelope.encode_to_vec();
        let message = DynamicMessage::decode(kind.expect("the contract has an envelope"), bytes.as_slice());
        walk(&message.expect("it was encoded just now"), &mut found);
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    };
    reader.scan(each).expect("the log is whole");
    found
}

fn stored(event: &duban_log::Recorded) -> duban_codec::StoredEvent<'_> {
    duban_codec::StoredEvent {
        stream: event.stream.as_str(),
        revision: event.revision,
        position: Some(event.position.get()),
        id: event.id,
        kind: &event.kind,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        tags: &event.tags,
        metadata: &event.metadata,
        payload: &event.payload,
    }
}

fn walk(message: &DynamicMessage, found: &mut BTreeMap<Uuid, Vec<Sealed>>) {
    if message.descriptor().full_name() == "duban.event.v1.Sealed" {
        let sealed = message.transcode_to::<ev::Sealed>().expect("it is one");
        let sealed = Sealed::take(Some(sealed), "sealed").expect("it is whole");
        found.entry(sealed.customer.0).or_default().push(sealed);
        return;
    }
    for (_, value) in message.fields() {
        let inner: Vec<&Value> = match value {
            Value::List(elements) => elements.iter().collect(),
            other => vec![other],
        };
        for value in inner {
            if let Value::Message(message) = value {
                walk(message, found);
            }
        }
    }
}

/// How many of these texts open with the keys of a data directory; the others are erased, and none is anything else.
fn opening(data: &Path, texts: &[Sealed]) -> usize {
    let sealer = Sealer::new(Arc::new(KeyStore::open_read_only(data, None).expect("the keys are read")));
    let open = |sealed: &&Sealed| match sealer.open(sealed) {
        Ok(_) => true,
        Err(Unreadable::Erased) => false,
        Err(other) => panic!("neither open nor erased: {other:?}"),
    };
    texts.iter().filter(open).count()
}

/// The customer's wrapped key as it lies on disk.
fn wrapped_key(data: &Path, customer: Uuid) -> Vec<u8> {
    let bytes = std::fs::read(data.join("keys").join("customers")).expect("there are keys");
    let record = bytes.chunks(128).find(|record| record[8..24] == *customer.as_bytes());
    record.expect("the customer has a key")[40..100].to_vec()
}

fn desk() -> TokenHolder {
    TokenHolder::new("desk", "desk")
}

async fn ticket(wire: &Wire, id: &str) -> api::Ticket {
    let request = api::GetTicketRequest { ticket_id: id.to_owned(), ..Default::default() };
    let answer: api::GetTicketResponse =
        wire.ask("HistoryService/GetTicket", &desk(), &request).await.expect("the ticket is there");
    answer.ticket.unwrap_or_default()
}

/// What a ticket is without its texts and without what only its customer's erasure changes.
fn apart_from_texts(ticket: &api::Ticket) -> api::Ticket {
    let mut ticket = ticket.clone();
    ticket.description = None;
    ticket.remedy = None;
    if let Some(customer) = &mut ticket.customer {
        (customer.name, customer.phone, customer.address, customer.erased) = (None, None, None, false);
    }
    if let Some(service) = &mut ticket.service {
        service.number = None;
    }
    ticket.orders.iter_mut().for_each(|order| order.task = None);
    ticket.measures.iter_mut().for_each(|measure| measure.text = None);
    ticket.verdicts.iter_mut().for_each(|verdict| verdict.reason = None);
    ticket
}

struct Scene {
    inside: Inside,
    wire: Wire,
    /// Everything that verbs printed and wrote after the erasure.
    elsewhere: tempfile::TempDir,
    tokens: PathBuf,
}

impl Scene {
    async fn start() -> Self {
        let inside = Inside::start().await;
        let wire = inside.wire().await;
        let elsewhere = tempfile::tempdir().expect("there is room for temporary files");
        let tokens = elsewhere.path().join("tokens");
        inside.tokens().write(&tokens).expect("tokens are written");
        Self { inside, wire, elsewhere, tokens }
    }

    fn data(&self) -> PathBuf {
        self.inside.directory().join("data")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.elsewhere.path().join(name)
    }

    async fn erase(&self, customer: &str) -> Did {
        let url = self.inside.url();
        let (tokens, reason) = (text(&self.tokens), "本人书面申请");
        duban(&["erase", customer, "--reason", reason, "--server", &url, "--tokens", tokens]).await
    }

    /// Runs a verb that reads, and keeps what it said beside all else that is searched afterwards.
    async fn said(&self, name: &str, arguments: &[&str]) -> Did {
        let did = duban(arguments).await;
        assert_eq!(did.status, Some(0), "{arguments:?}: {did:?}");
        std::fs::write(self.at(name), format!("{}{}", did.out, did.said)).expect("it is kept");
        did
    }

    async fn backed_up(&self, to: &Path) {
        let did = duban(&["backup", "--data", text(&self.data()), "--to", text(to)]).await;
        assert!(did.ok(), "{did:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_nothing_opens_anywhere_and_counts_scores_head_and_verification_stay() {
    let scene = Scene::start().await;
    let case = walked(&scene.wire).await;
    let mut other = Case::new("erase-other", TicketKind::Fault);
    other.bring_to(&scene.wire, Stage::Feedback).await;
    scene.inside.clock().set("2026-03-02T16:00:00Z".parse().unwrap()).expect("it is earlier");
    scene.inside.size().await;
    let (data, wire, at) = (scene.data(), &scene.wire, |name: &str| scene.at(name));
    let before = ticket(wire, &case.ticket).await;
    assert_eq!(before.description.as_deref(), Some(DESCRIPTION));
    let customer = before.customer.clone().unwrap_or_default().customer_id;
    let id: Uuid = customer.parse().unwrap();
    let texts = sealed_texts(&data).remove(&id).unwrap();
    assert!(texts.len() > 10 && opening(&data, &texts) == texts.len(), "all {} open", texts.len());
    let wrapped = wrapped_key(&data, id);
    let backup = at("backup");
    scene.backed_up(&backup).await;
    assert!(files(&backup).iter().any(|file| contains(&std::fs::read(file).unwrap(), &wrapped)));
    let counts = |wire: Wire| async move {
        let lists = histories::tickets(&wire, "").await.unwrap();
        lists.iter().map(|it| (it.ticket_id.clone(), it.state, it.stage, it.breaches)).collect::<Vec<_>>()
    };
    let (lists, events) =
        (counts(wire.clone()).await, histories::events(wire, &case.ticket, "").await.unwrap());
    let verified = duban(&["verify", "--data", text(&data)]).await;
    let head = at("head.json");
    std::fs::write(&head, &verified.out).unwrap();
    let export = ["export", &case.ticket, "--data", text(&data), "--out"];
    let exported = at("export-before.json");
    assert_eq!(duban(&[&export[..], &[text(&exported)]].concat()).await.status, Some(0));

    let erased = scene.erase(&customer).await;
    assert_eq!((erased.status, &erased.json["erased"]), (Some(0), &true.into()), "{erased:?}");
    let again = scene.erase(&customer).await;
    assert_eq!((again.status, &again.json["revision"]), (Some(0), &erased.json["revision"]), "{again:?}");

    // It is shown as erased, to everybody who may read, and everything else is as it was.
    let after = ticket(wire, &case.ticket).await;
    assert!(after.customer.as_ref().is_some_and(|customer| customer.erased && customer.name.is_none()));
    assert_eq!(after, api::Ticket { customer: after.customer.clone(), ..apart_from_texts(&after) });
    assert_eq!(apart_from_texts(&after), apart_from_texts(&before));
    assert_eq!(counts(wire.clone()).await, lists);
    let now = histories::events(wire, &case.ticket, "").await.unwrap();
    let stored = |events: &[api::HistoryEvent]| events.iter().map(|it| it.event.clone()).collect::<Vec<_>>();
    assert_eq!(stored(&now), stored(&events), "no event is another");
    let told: Vec<_> = now.iter().flat_map(|event| &event.texts).collect();
    assert!(told.len() == texts.len() && told.iter().all(|text| text.text.is_none()), "{}", told.len());
    assert_eq!(
        ticket(wire, &other.ticket).await.customer.unwrap_or_default().name.as_deref(),
        Some("样例客户")
    );

    // What brings no text is judged by the rules as ever, and no key is asked for; what brings one nobody could ever read.
    let mut late = case.clone();
    assert_eq!(late.refused(wire, c::attach).await.reason, "TICKET_ENDED");
    let call = late.refused(wire, c::contact).await;
    assert_eq!((call.code, call.reason.as_str()), (Code::FailedPrecondition, "CUSTOMER_ERASED"));
    scene.inside.size().await;

    // Every way in which anything leaves this house, and every file of it.
    let (url, tokens) = (scene.inside.url(), text(&scene.tokens));
    let local = ["history", &case.ticket, "--data", text(&data)];
    let shown = scene.said("history.jsonl", &local).await.out;
    assert!(shown.contains("\"name\":null") && shown.contains("\"description\":null"), "{shown}");
    let remote = ["history", &case.ticket, "--server", &url, "--tokens", tokens];
    scene.said("history-remote.jsonl", &remote).await;
    for (name, arguments) in [("history.txt", &local[..]), ("history-remote.txt", &remote)] {
        let output = std::process::Command::new(program()).args(arguments).output().unwrap();
        assert!(output.status.success());
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains("(erased 已删除)") && !out.contains("(sealed)"), "{out}");
        std::fs::write(at(name), out).unwrap();
    }
    let watching = ["watch", "--server", &url, "--tokens", tokens, "--as-unit", "monitor", "--from", "start"];
    let watched = scene.said("watch.jsonl", &[&watching[..], &["--until-caught-up"]].concat()).await;
    assert!(watched.out.contains("customer.erased.v1"));
    let later = at("export-after.json");
    assert_eq!(duban(&[&export[..], &[text(&later)]].concat()).await.status, Some(0));
    assert_eq!(std::fs::read(&later).unwrap(), std::fs::read(&exported).unwrap(), "texts were sealed in it");
    let key = data.join("keys").join("signing.pub");
    let lines = at("events.jsonl");
    let checking = ["check-export", text(&later), "--key", text(&key), "--events", text(&lines)];
    assert_eq!(duban(&checking).await.json["ok"], true);
    let replayed = duban(&["replay", "--data", text(&data)]).await;
    assert!(replayed.ok(), "{replayed:?}");
    let verified = duban(&["verify", "--data", text(&data), "--head", text(&head)]).await;
    assert!(verified.ok() && verified.count("proven") > 0, "{verified:?}");
    let fresh = at("fresh-backup");
    scene.backed_up(&backup).await;
    scene.backed_up(&fresh).await;
    let restored = at("restored");
    let restoring = ["restore", "--from", text(&backup), "--data", text(&restored)];
    assert!(duban(&restoring).await.ok());
    std::fs::copy(data.join("keys").join("master"), restored.join("keys").join("master")).unwrap();

    for (name, data) in [("the data", &data), ("what is restored", &restored)] {
        assert_eq!(opening(data, &texts), 0, "{name}");
        assert_eq!(sealed_texts(data)[&id].len(), texts.len(), "{name}: they are there, and stay shut");
    }
    let inside = scene.inside.restart().await;
    let wire = inside.wire().await;
    let reopened = ticket(&wire, &case.ticket).await;
    assert!(reopened.customer.clone().unwrap_or_default().erased);
    assert_eq!(reopened.verdicts, after.verdicts, "scores are what they were");
    for file in files(inside.directory()).into_iter().chain(files(scene.elsewhere.path())) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!contains(&bytes, &wrapped), "the key lies in {}", file.display());
        for sought in [NAME, PHONE, ADDRESS, NUMBER, DESCRIPTION] {
            for (form, form_bytes) in forms(sought) {
                assert!(!contains(&bytes, &form_bytes), "{sought} lies in {} as {form}", file.display());
            }
        }
    }
    let sealer = KeyStore::open_read_only(&inside.directory().join("data"), None)
        .map(|keys| Sealer::new(Arc::new(keys)));
    assert!(sealer.unwrap().is_erased(CustomerId(id)));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_what_is_open_and_names_it() {
    let scene = Scene::start().await;
    let wire = &scene.wire;
    let mut case = Case::new("erase-open", TicketKind::Fault);
    let command = case.next_id();
    let mut request = c::take_in_request(&case, &command);
    request.channel = ev::Channel::Consumer12315.into();
    request.requests = vec![api::OutsideRequestInput {
        body: ev::Channel::Consumer12315.into(),
        number: "12315-2026-0099".into(),
        ..Default::default()
    }];
    let sent = case.sent("DeskService/TakeIn", desk(), &command, &request);
    wire.send(&sent).await.unwrap();
    scene.inside.size().await;
    let customer = ticket(wire, &case.ticket).await.customer.unwrap_or_default().customer_id;
    let waits = scene.erase(&customer).await;
    assert_eq!((waits.status, &waits.json["erased"]), (Some(1), &false.into()), "{waits:?}");
    let open = [
        format!("the end of ticket {}", case.ticket),
        format!("the final receipt for outside request 1 of ticket {}", case.ticket),
    ];
    assert_eq!(waits.json["open"], serde_json::json!(open), "{waits:?}");
    assert_eq!(waits.json["reason"], "CUSTOMER_HAS_OPEN_CASES");
    assert!(!ticket(wire, &case.ticket).await.customer.unwrap_or_default().erased, "it is readable still");
    let nobody = scene.erase("0b7c1f6e-2d55-4f3a-9a53-6f8f1a0c2b11").await;
    assert_eq!(nobody.status, Some(2), "{nobody:?}");

    // A request that cannot be read makes no key, and a customer's id goes with the customer's phone.
    let keys = || std::fs::metadata(scene.data().join("keys").join("customers")).unwrap().len();
    let (known, stranger) = (keys(), Case::new("erase-stranger", TicketKind::Fault));
    let mut broken = c::take_in_request(&stranger, &case.next_id());
    broken.description.clear();
    let sent = stranger.sent("DeskService/TakeIn", desk(), &broken.command_id, &broken);
    assert_eq!(refused(wire.send(&sent).await, sent.method).code, Code::InvalidArgument);
    let mut mixed = c::take_in_request(&case, &case.clone().next_id());
    mixed.ticket_id = stranger.ticket.clone();
    mixed.command_id = duban_tests::script::id("erase-mixed", "1");
    mixed.customer = mixed.customer.map(|given| api::CustomerInput {
        customer_id: Some("7a4f3ad8-7c1b-4b2e-9f43-6f4de1b0a111".into()),
        ..given
    });
    let sent = stranger.sent("DeskService/TakeIn", desk(), &mixed.command_id, &mixed);
    let told = refused(wire.send(&sent).await, sent.method);
    assert_eq!(told.code, Code::InvalidArgument, "{told:?}");
    assert!(format!("{told:?}").contains("customer.customer_id"), "{told:?}");
    assert_eq!(keys(), known, "no key was made for nobody");
    scene.inside.stop().await;
}

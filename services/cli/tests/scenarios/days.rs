//! Days are closed with signed heads, which subscribers keep and hold against the log later.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use duban_aggregates::office::Event;
use duban_client::TokenHolder;
use duban_proto::api::v1::stream_service_client::StreamServiceClient;
use duban_proto::api::v1::subscribe_request::From;
use duban_proto::api::v1::{StreamFilter, StreamNews, SubscribeRequest};
use duban_proto::event::v1::event::Payload;
use duban_proto::event::v1::{self as pb, Stage, TicketKind};
use duban_tests::inside::Inside;
use duban_tests::script::Case;
use duban_vault::public_key::PublicKey;
use duban_vault::signing::PUBLIC_FILE;
use serde_json::Value;
use tonic::{Code, Request, Status};

use crate::program;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Everything of the office's stream that there is, as a subscriber gets it.
async fn office(inside: &Inside, who: &TokenHolder) -> Result<Vec<pb::Event>, Status> {
    let mut client =
        StreamServiceClient::connect(inside.url()).await.expect("a server that is ready answers");
    let filter = Some(StreamFilter { types: vec!["office.day_closed.v1".into()], ..Default::default() });
    let mut request =
        Request::new(SubscribeRequest { from: Some(From::Start(true)), filter, heartbeat: None });
    let bearer = format!("Bearer {}", inside.token(who)).parse().expect("a token is plain ASCII");
    request.metadata_mut().insert("authorization", bearer);
    let mut stream = client.subscribe(request).await?.into_inner();
    let mut events = Vec::new();
    loop {
        let message = stream.message().await?.expect("it has no end");
        let news = message.news();
        events.extend(message.events);
        if news == StreamNews::CaughtUp {
            return Ok(events);
        }
    }
}

fn days(events: &[pb::Event]) -> Vec<(&str, u64)> {
    let mut days = Vec::new();
    for event in events {
        let Some(Payload::OfficeDayClosed(closed)) = &event.payload else {
            panic!("no other event passes: {event:?}")
        };
        days.push((closed.day.as_str(), closed.size));
    }
    days
}

fn verify(data: &Path, more: &[&str], code: i32) -> Value {
    let output = Command::new(program())
        .args(["--output", "json", "verify", "--data"])
        .arg(data)
        .args(more)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_closed_at_midnight_and_after_downtime_and_their_heads_hold_the_log_to_its_word() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let who = inside.who("monitor");
    Case::new("days-1", TicketKind::Fault).bring_to(&wire, Stage::Reply).await;
    let monday = inside.size().await;
    assert_eq!(office(&inside, &who).await.unwrap(), []);
    inside.clock().set("2026-03-02T16:00:00Z".parse().unwrap()).expect("it is earlier");
    inside.size().await;
    let heads = office(&inside, &who).await.unwrap();
    assert_eq!(days(&heads), [("2026-03-02", monday)]);

    // On Tuesday something happens; then nobody is there until Friday, and then timers find a lot to do.
    Case::new("days-2", TicketKind::Complaint).bring_to(&wire, Stage::Reply).await;
    let tuesday = inside.size().await;
    let inside = inside.restart_later(3 * DAY).await;
    inside.size().await;
    let heads = office(&inside, &who).await.unwrap();
    assert_eq!(days(&heads), [("2026-03-02", monday), ("2026-03-03", tuesday)]);
    let public = PublicKey::read(&inside.directory().join("data").join(PUBLIC_FILE)).unwrap();
    let kept = duban_codec::to_json(&heads[1]).unwrap();
    for event in heads {
        let parts = duban_codec::from_event(event).unwrap();
        let Event::DayClosed(signed) = duban_codec::decode_office(parts.kind, &parts.payload).unwrap();
        assert!(public.signed(&signed));
    }
    for role in ["observer", "administrator"] {
        let refused = office(&inside, &inside.who(role)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    let unit = office(&inside, &TokenHolder::unit("access-network")).await.unwrap();
    assert_eq!(unit, [], "it is about no order of theirs");

    // What the subscriber kept is held against the log, beside the server.
    let data = inside.directory().join("data");
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |name: &str| elsewhere.path().join(name).to_str().expect("plain ASCII").to_owned();
    std::fs::write(at("head.json"), &kept).unwrap();
    std::fs::copy(data.join(PUBLIC_FILE), at("signing.pub")).unwrap();
    let verified = verify(&data, &["--head", &at("head.json"), "--key", &at("signing.pub")], 0);
    assert_eq!((&verified["days"], &verified["proven"]), (&2.into(), &tuesday.into()));
    assert_eq!(verified["signed_head"]["day"], "2026-03-03");
    std::fs::write(at("answer.json"), verified.to_string()).unwrap();
    let both = ["--head", &at("head.json"), "--head", &at("answer.json"), "--key", &at("signing.pub")];
    assert_eq!(verify(&data, &both, 0)["proven"], verified["events"], "its unsigned head was kept, too");
    assert_eq!(verify(&data, &[], 0)["proven"], 0, "nobody answers for a log but who is outside of it");

    // A head by another key, one that was altered, and one of another history.
    std::fs::write(at("other.pub"), duban_vault::signing::SigningKey::ephemeral().unwrap().public().to_pem())
        .unwrap();
    let refused = verify(&data, &["--key", &at("other.pub")], 1);
    assert!(refused["damage"]["reason"].as_str().unwrap().contains("none of those given"), "{refused}");
    let mut altered = verified["signed_head"].clone();
    altered["size"] = monday.into();
    std::fs::write(at("altered.json"), altered.to_string()).unwrap();
    let refused = verify(&data, &["--head", &at("altered.json"), "--key", &at("signing.pub")], 1);
    assert!(refused["problems"][0].as_str().unwrap().contains("is not what its key signed"), "{refused}");
    let refused = verify(&data, &["--head", &at("altered.json")], 1);
    let damage = &refused["damage"];
    assert_eq!((&damage["since"], &damage["until"]), (&0.into(), &monday.into()), "{refused}");
    inside.stop().await;
}

//! The client against a real server: over TLS, and over one that stops and starts again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use duban_client::{
    Client, ClientError, ConnectOptions, Interruption, StartAt, Subscription, TokenHolder, Tokens,
    step_command_id,
};
use duban_engine::time::VirtualClock;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::history_service_client::HistoryServiceClient;
use duban_proto::event::v1 as ev;
use duban_server::config::{Auth, Config, File, Flags, Tls};
use duban_server::serve::{Running, Server};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tonic::Code;

/// Longer than anything here may take; a test that hangs says so instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

const PEOPLE: [(&str, &str); 4] =
    [("desk", "desk"), ("investigation", "investigation"), ("auditor", "audit"), ("monitor", "monitoring")];

/// Where servers are started one after the other, all of which believe the same tokens.
struct Place {
    directory: tempfile::TempDir,
    clock: VirtualClock,
    tokens: Tokens,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    role: &'a str,
    unit: &'a str,
    exp: i64,
    iss: &'a str,
    aud: &'a str,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        std::fs::write(directory.path().join("auth.pem"), key.public_key_pem()).unwrap();
        let signing = EncodingKey::from_ed_der(&key.serialize_der());
        let mut tokens = Tokens::default();
        for (role, unit) in PEOPLE {
            let (sub, exp) = (format!("{role}-1"), 4_000_000_000);
            let claims = Claims { sub: &sub, role, unit, exp, iss: "duban", aud: "duban" };
            let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &signing).unwrap();
            tokens.add(TokenHolder::new(role, unit), &token).unwrap();
        }
        let clock = VirtualClock::new("2026-03-02T01:00:00Z".parse().unwrap());
        Self { directory, clock, tokens }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn serve(&self, listen: SocketAddr, tls: Option<Tls>) -> Running {
        let auth = Auth {
            public_key: self.path("auth.pem"),
            issuer: "duban".to_owned(),
            audience: "duban".to_owned(),
        };
        let file = File { tls, auth: Some(auth), ..File::default() };
        let flags = Flags { data: Some(self.path("data")), listen: Some(listen), ..Flags::default() };
        let config = Config::resolve(file, flags).unwrap();
        Server::new(config, Arc::new(self.clock.clone())).start().await.unwrap()
    }

    async fn connect(&self, running: &Running) -> Client {
        let options = ConnectOptions::new(format!("http://{}", running.addr()));
        Client::connect(&options, self.tokens.clone()).await.unwrap()
    }
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn certificate(directory: &Path) -> Tls {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    tls
}

fn taken_in(number: u64) -> api::TakeInRequest {
    api::TakeInRequest {
        ticket_id: step_command_id("client", number, "ticket"),
        command_id: step_command_id("client", number, "command"),
        kind: ev::TicketKind::Complaint.into(),
        channel: ev::Channel::Hotline10000.into(),
        category: "complaint.network.slow".into(),
        severity: ev::Severity::Major.into(),
        description: "晚上八点以后网速很慢".into(),
        customer: Some(api::CustomerInput {
            name: "样例客户".into(),
            phone: format!("139{number:08}"),
            tier: ev::Tier::Standard.into(),
            segment: ev::Segment::Public.into(),
            ..Default::default()
        }),
        service: Some(api::ServiceInput {
            number: format!("ad{number:010}"),
            product: ev::Product::Broadband.into(),
            monthly_rent_fen: 9_900,
        }),
        area: Some(ev::Area {
            province: "henan".into(),
            city: "样例市".into(),
            district: "样例区".into(),
            rural: false,
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_server_with_tls_is_reached_with_its_ca_and_with_no_other() {
    let place = Place::new();
    let tls = certificate(place.directory.path());
    let trusted = tls.certificate.clone();
    let (running, tokens) = (place.serve(any_port(), Some(tls)).await, place.tokens.clone());
    let url = format!("https://localhost:{}", running.addr().port());

    let client = Client::connect(&ConnectOptions::new(&url).ca_file(&trusted), tokens.clone()).await.unwrap();
    let answer = client.desk().unwrap().take_in(taken_in(1)).await.unwrap().into_inner();
    let ticket = client.ticket(&taken_in(1).ticket_id, &answer.position).await.unwrap();
    assert_eq!(ticket.summary.unwrap().revision, answer.revision);
    let mut events = Subscription::new(&client, "monitor", "monitoring", StartAt::Beginning).unwrap();
    let first = tokio::time::timeout(PATIENCE, events.message()).await.unwrap().unwrap();
    assert!(!first.events.is_empty());

    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    let other = certificate(&other).certificate;
    for options in [ConnectOptions::new(&url).ca_file(&other), ConnectOptions::new(&url)] {
        let refused = Client::connect(&options, tokens.clone()).await.unwrap_err();
        let nobody = matches!(refused, ClientError::Connect { .. } | ClientError::Certificates { .. });
        assert!(nobody, "{refused}");
    }
    let in_the_clear = ConnectOptions::new(format!("http://localhost:{}", running.addr().port()));
    let refused = Client::connect(&in_the_clear.clone().ca_file(&trusted), tokens.clone()).await;
    assert!(matches!(refused, Err(ClientError::NotProtected { .. })));
    let nothing = ConnectOptions::new(&url).ca_file(place.path("nothing"));
    assert!(matches!(Client::connect(&nothing, tokens).await, Err(ClientError::CaFile { .. })));
    drop((events, client));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_command_sent_while_the_server_is_down_is_carried_out_once_when_it_is_back() {
    let place = Place::new();
    let running = place.serve(any_port(), None).await;
    let (addr, client) = (running.addr(), place.connect(&running).await);
    let first = client.desk().unwrap().take_in(taken_in(1)).await.unwrap().into_inner();
    running.stop().await.unwrap();

    let mut desk = client.desk().unwrap();
    let sending = tokio::spawn(async move {
        let repeat = desk.take_in(taken_in(1)).await;
        (repeat, desk.take_in(taken_in(2)).await)
    });
    let again = place.serve(addr, None).await;
    let (repeat, second) = sending.await.unwrap();
    let (repeat, second) = (repeat.unwrap().into_inner(), second.unwrap().into_inner());
    assert_eq!((repeat.revision, &repeat.position), (first.revision, &first.position));
    let place = |position: &str| position.parse::<u64>().unwrap();
    assert!(place(&second.position) > place(&first.position));
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_goes_on_after_its_token_when_the_server_was_gone() {
    let place = Place::new();
    let running = place.serve(any_port(), None).await;
    let (addr, client) = (running.addr(), place.connect(&running).await);
    client.desk().unwrap().take_in(taken_in(1)).await.unwrap();
    let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
    let mut events = Subscription::new(&client, "monitor", "monitoring", StartAt::Beginning)
        .unwrap()
        .on_interruption(move |Interruption { why, .. }| drop(told.send(why.clone())));
    let mut seen = Vec::new();
    running.settled().await;
    whole(&mut events, &mut seen, &client).await;

    // Broken off from this side.
    events.disconnect();
    client.desk().unwrap().take_in(taken_in(2)).await.unwrap();
    running.settled().await;
    whole(&mut events, &mut seen, &client).await;
    assert_eq!(events.resumed(), 1);
    assert!(telling.try_recv().is_err());

    // Broken off by a server that stops, while somebody waits for the next event.
    let waiting = tokio::spawn(async move {
        let message = loop {
            let message = tokio::time::timeout(PATIENCE, events.message()).await.unwrap().unwrap();
            if !message.events.is_empty() {
                break message;
            }
        };
        (events, message)
    });
    running.stop().await.unwrap();
    telling.recv().await.unwrap();
    let again = place.serve(addr, None).await;
    client.desk().unwrap().take_in(taken_in(3)).await.unwrap();
    let (mut events, message) = waiting.await.unwrap();
    seen.extend(message.events);
    again.settled().await;
    whole(&mut events, &mut seen, &client).await;
    let places: Vec<_> = seen.iter().map(|event| event.position).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "an event came twice or out of order");
    again.stop().await.unwrap();
}

/// Reads on until there are as many events as the log has.
async fn whole(events: &mut Subscription, seen: &mut Vec<ev::Event>, client: &Client) {
    let head = client.history().unwrap().get_head(api::GetHeadRequest::default()).await.unwrap();
    let size = head.into_inner().size;
    while (seen.len() as u64) < size {
        let message = tokio::time::timeout(PATIENCE, events.message()).await.unwrap().unwrap();
        seen.extend(message.events);
    }
    assert_eq!(seen.len() as u64, size);
}

#[tokio::test]
async fn a_refusal_says_the_reason_the_stages_and_what_is_missing() {
    let place = Place::new();
    let running = place.serve(any_port(), None).await;
    let client = place.connect(&running).await;
    client.desk().unwrap().take_in(taken_in(1)).await.unwrap();
    let early = api::RecordFeedbackRequest {
        ticket_id: taken_in(1).ticket_id,
        command_id: step_command_id("client", 1, "early"),
        answer: ev::Answer::Satisfied.into(),
        words: "满意".into(),
        ..Default::default()
    };
    let refused = client.feedback().unwrap().record_feedback(early).await.unwrap_err();
    let refused = ClientError::from(refused);
    let refusal = refused.refusal().unwrap();
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::FailedPrecondition, "OUT_OF_TURN"));
    assert_eq!(refusal.stage_now.as_deref(), Some("investigate"));
    assert_eq!(refusal.stage_needed.as_deref(), Some("feedback"));
    assert!(!refusal.preconditions.is_empty());

    let nobody = client.ticket("no uuid", "").await.unwrap_err();
    assert_eq!(nobody.refusal().unwrap().field_names(), ["ticket_id"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_when_nobody_answers() {
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tokens = Tokens::default();
    tokens.add(TokenHolder::new("auditor", "audit"), "token").unwrap();
    let options = ConnectOptions::new(url).lazy().deadline(Duration::from_millis(200));
    let client = Client::connect(&options, tokens).await.unwrap();
    let mut history = HistoryServiceClient::new(client.channel("auditor", "audit").unwrap());
    let asking = history.get_head(api::GetHeadRequest::default());
    let refused = tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    drop(listener);
}

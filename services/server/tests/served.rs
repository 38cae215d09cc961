//! The foundations together, over a real connection: TLS, guard, request lines, health, drain.

use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::words::Role;
use duban_engine::drain::Drain;
use duban_engine::time::{Clock, SystemClock};
use duban_server::access::{AccessTable, GuardLayer, Row};
use duban_server::identity::TokenIssuer;
use duban_server::shutdown::{self, Ended};
use duban_server::telemetry::RequestLayer;
use duban_server::tls;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;

/// Health stands in for a service of ours: monitors may check, nobody may watch.
const ROWS: &[Row] =
    &[Row::of("/grpc.health.v1.Health/Check").any(&[Role::Monitor]), Row::of("/grpc.health.v1.Health/Watch")];

async fn check(channel: &Channel, token: Option<&str>) -> Result<i32, Code> {
    let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
    if let Some(token) = token {
        let value = MetadataValue::try_from(format!("Bearer {token}")).expect("a token is plain ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
}

#[tokio::test]
async fn a_server_with_tls_lets_in_whom_the_table_names_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let issuer = TokenIssuer::throw_away().unwrap();
    let tokens = issuer.mint_all(&[], clock.now(), Duration::from_secs(60)).unwrap();
    let token = |role| tokens.iter().find(|token| token.actor.role == role).map(|token| token.text.as_str());

    let reporter = HealthReporter::new();
    reporter.set_service_status("", ServingStatus::Serving).await;
    let health = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let table = Arc::new(AccessTable::new(ROWS).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, asked) = mpsc::channel(1);
    let drain = Drain::default();
    let server = Server::builder()
        .tls_config(tls::server_config(&certificate, &key).unwrap())
        .unwrap()
        .layer(RequestLayer)
        .layer(GuardLayer::new(Arc::new(issuer.verifier(clock)), table))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), drain.started());
    let served = tokio::spawn(async move {
        shutdown::run(server, asked, &drain, &reporter, &[""], Duration::from_secs(10)).await
    });

    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(made.cert.pem()));
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
    let channel = endpoint.clone().tls_config(trusting).unwrap().connect().await.unwrap();
    assert_eq!(check(&channel, None).await, Err(Code::Unauthenticated));
    assert_eq!(check(&channel, token(Role::Desk)).await, Err(Code::PermissionDenied));
    assert_eq!(check(&channel, token(Role::Monitor)).await, Ok(ServingStatus::Serving as i32));
    let watch = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await;
    assert_eq!(watch.unwrap_err().code(), Code::Unauthenticated);
    let in_the_clear = Endpoint::from_shared(format!("http://localhost:{port}")).unwrap().connect_lazy();
    assert!(check(&in_the_clear, token(Role::Monitor)).await.is_err());

    stop.send(()).await.unwrap();
    assert_eq!(served.await.unwrap().unwrap(), Ended::Finished);
    assert_eq!(check(&channel, token(Role::Monitor)).await, Err(Code::Unavailable));
}

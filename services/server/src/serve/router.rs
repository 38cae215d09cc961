//! All services behind one door: identity and access first, limits and keepalive on the connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use duban_engine::drain::Drain;
use duban_proto::api::v1 as api;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use super::ServeError;
use crate::access::{AccessTable, GuardLayer, INFRASTRUCTURE};
use crate::config::Config;
use crate::grpc::{Api, CallLayer, rows};
use crate::identity::Verifier;
use crate::stream::StreamServer;
use crate::telemetry::RequestLayer;
use crate::tls;

/// A connection whose other side is gone is noticed after these two together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What health tells about, beside the server as a whole.
pub(super) const SERVICES: &[&str] = &[
    "",
    "duban.api.v1.AssessmentService",
    "duban.api.v1.AuditService",
    "duban.api.v1.BoardService",
    "duban.api.v1.CustomerService",
    "duban.api.v1.DeskService",
    "duban.api.v1.DispatchService",
    "duban.api.v1.EmergencyService",
    "duban.api.v1.FaultService",
    "duban.api.v1.FeedbackService",
    "duban.api.v1.HistoryService",
    "duban.api.v1.InspectionService",
    "duban.api.v1.InstallService",
    "duban.api.v1.InvestigationService",
    "duban.api.v1.NoticeService",
    "duban.api.v1.PolicyService",
    "duban.api.v1.ProblemService",
    "duban.api.v1.ReplyService",
    "duban.api.v1.ReportService",
    "duban.api.v1.StreamService",
    "duban.api.v1.SupervisionService",
];

/// Serves until `drain` starts.
pub(super) async fn serve(
    config: &Config,
    api: Api,
    verifier: Arc<Verifier>,
    streams: StreamServer,
    health: &HealthReporter,
    listener: TcpListener,
    drain: Drain,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>> + Send + use<>, ServeError> {
    let table = AccessTable::new(rows().chain(INFRASTRUCTURE))?;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER_WITHIN))
        .max_concurrent_streams(config.limits.streams_per_connection_max);
    if let Some(tls) = &config.tls {
        let tls = tls::server_config(&tls.certificate, &tls.key)?;
        server = server.tls_config(tls).map_err(ServeError::Serve)?;
    }
    let bytes_max = config.limits.message_bytes_max;
    macro_rules! reflection {
        ($build:ident) => {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(duban_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .$build()
                .map_err(|error| ServeError::Reflection(Box::new(error)))?
        };
    }
    macro_rules! sized {
        ($($module:ident :: $server:ident),* $(,)?) => {{
            let router = server
                .layer(RequestLayer)
                .layer(CallLayer)
                .layer(GuardLayer::new(verifier, Arc::new(table)))
                .add_service(tonic_health::pb::health_server::HealthServer::new(
                    HealthService::from_health_reporter(health.clone()),
                ))
                .add_service(streams)
                .add_service(reflection!(build_v1))
                .add_service(reflection!(build_v1alpha));
            $(let router = router.add_service(
                api::$module::$server::new(api.clone())
                    .max_decoding_message_size(bytes_max)
                    .max_encoding_message_size(bytes_max),
            );)*
            router
        }};
    }
    let router = sized! {
        assessment_service_server::AssessmentServiceServer,
        audit_service_server::AuditServiceServer,
        board_service_server::BoardServiceServer,
        customer_service_server::CustomerServiceServer,
        desk_service_server::DeskServiceServer,
        dispatch_service_server::DispatchServiceServer,
        emergency_service_server::EmergencyServiceServer,
        fault_service_server::FaultServiceServer,
        feedback_service_server::FeedbackServiceServer,
        history_service_server::HistoryServiceServer,
        inspection_service_server::InspectionServiceServer,
        install_service_server::InstallServiceServer,
        investigation_service_server::InvestigationServiceServer,
        notice_service_server::NoticeServiceServer,
        policy_service_server::PolicyServiceServer,
        problem_service_server::ProblemServiceServer,
        reply_service_server::ReplyServiceServer,
        report_service_server::ReportServiceServer,
        supervision_service_server::SupervisionServiceServer,
    };
    for service in SERVICES {
        health.set_service_status(*service, ServingStatus::Serving).await;
    }
    // Small answers must not wait for the acknowledgement of the ones before them.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(router.serve_with_incoming_shutdown(incoming, drain.started()))
}

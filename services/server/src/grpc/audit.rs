//! Auditors.

use duban_aggregates::ticket::intake;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::audit_service_server::AuditService;
use tonic::{Request, Response};

use super::command::{Answered, Api};

#[tonic::async_trait]
impl AuditService for Api {
    async fn file_finding(&self, request: Request<api::FileFindingRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(intake::Command::FileFinding { finding: texts.text("finding", &asked.finding)? })
        })
        .await
    }

    async fn get_conformance(
        &self,
        request: Request<api::GetConformanceRequest>,
    ) -> Answered<api::GetConformanceResponse> {
        self.patterns(request.get_ref()).await.map(Response::new)
    }

    async fn list_deviations(
        &self,
        request: Request<api::ListDeviationsRequest>,
    ) -> Answered<api::ListDeviationsResponse> {
        self.deviations(request.get_ref()).await.map(Response::new)
    }
}

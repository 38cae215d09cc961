//! Reporting 上报.

use duban_aggregates::ticket::chain;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::report_service_server::ReportService;
use tonic::Request;

use super::command::{Answered, Api};

#[tonic::async_trait]
impl ReportService for Api {
    async fn report(&self, request: Request<api::ReportRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let summary = texts.text("summary", &asked.summary)?;
            let (level, reference) = (asked.level.clone(), asked.reference.clone());
            Ok(chain::Command::Report { level, summary, reference })
        })
        .await
    }
}

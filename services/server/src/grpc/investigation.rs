//! Investigation 调查.

use duban_aggregates::ticket::chain;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::investigation_service_server::InvestigationService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{given, read};

#[tonic::async_trait]
impl InvestigationService for Api {
    async fn investigate(&self, request: Request<api::InvestigateRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                cause: given("cause", &asked.cause).and_then(|cause| texts.cause("cause", cause));
                facts: texts.text("facts", &asked.facts);
                units: texts.units("units", &asked.units);
            }
            Ok(chain::Command::Investigate { cause, facts, units })
        })
        .await
    }
}

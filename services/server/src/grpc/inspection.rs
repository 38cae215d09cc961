//! Inspection 检查.

use duban_aggregates::ids::MeasureNo;
use duban_aggregates::ticket::{chain, gate};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::inspection_service_server::InspectionService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::read;

#[tonic::async_trait]
impl InspectionService for Api {
    async fn inspect(&self, request: Request<api::InspectRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                judgements: texts.judgements("judgements", &asked.judgements);
                units: texts.units("units", &asked.units);
            }
            Ok(chain::Command::Inspect { judgements, units })
        })
        .await
    }

    async fn fail_measure(&self, request: Request<api::FailMeasureRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let finding = texts.text("finding", &asked.finding)?;
            Ok(gate::Command::FailMeasure { measure: MeasureNo(asked.measure), finding })
        })
        .await
    }
}

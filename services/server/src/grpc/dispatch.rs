//! Dispatch 派单.

use duban_aggregates::ids::OrderNo;
use duban_aggregates::ticket::{chain, order};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::dispatch_service_server::DispatchService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{given, moment, read};

#[tonic::async_trait]
impl DispatchService for Api {
    async fn dispatch(&self, request: Request<api::DispatchRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::Dispatch { orders: texts.orders("orders", &asked.orders)? })
        })
        .await
    }

    async fn add_assist(&self, request: Request<api::AddAssistRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let order = given("order", &asked.order).and_then(|order| texts.order("order", order))?;
            Ok(order::Command::AddAssist { order })
        })
        .await
    }

    async fn grant_return(&self, request: Request<api::GrantReturnRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let replacement = texts.replacement(&asked.replacement)?;
            Ok(order::Command::GrantReturn { order: OrderNo(asked.order), replacement })
        })
        .await
    }

    async fn refuse_return(&self, request: Request<api::RefuseReturnRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(order::Command::RefuseReturn { order: OrderNo(asked.order), reason })
        })
        .await
    }

    async fn release(&self, request: Request<api::ReleaseRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(order::Command::Release { order: OrderNo(asked.order), reason })
        })
        .await
    }

    async fn recall(&self, request: Request<api::RecallRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                reason: texts.text("reason", &asked.reason);
                replacement: texts.replacement(&asked.replacement);
            }
            Ok(order::Command::Recall { order: OrderNo(asked.order), reason, replacement })
        })
        .await
    }

    async fn grant_extension(&self, request: Request<api::GrantExtensionRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            let until = moment("until", asked.until)?;
            Ok(order::Command::GrantExtension { order: OrderNo(asked.order), until })
        })
        .await
    }

    async fn refuse_extension(&self, request: Request<api::RefuseExtensionRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(order::Command::RefuseExtension { order: OrderNo(asked.order), reason })
        })
        .await
    }
}

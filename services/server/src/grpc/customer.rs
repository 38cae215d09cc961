//! Customers: tier, segment, their tickets, and the erasure of their keys.

use duban_aggregates::customer::{Command, Customer};
use duban_aggregates::ids::CustomerId;
use duban_aggregates::words::{Segment, Tier};
use duban_codec::Wire;
use duban_engine::runner::{Answer, RunError};
use duban_projections::Row;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::customer_service_server::CustomerService;
use tonic::{Request, Response, Status};

use super::command::{Answered, Api, Asked, Asks, uuid};
use super::error::{refused, stopped};
use super::read::{Field, read, required, take};

type Answers = Answered<api::CustomerCommandResponse>;

fn answered(customer: uuid::Uuid, answer: Answer) -> api::CustomerCommandResponse {
    let (revision, position) = (answer.revision, answer.position.to_string());
    api::CustomerCommandResponse { customer_id: customer.to_string(), revision, position }
}

impl Api {
    async fn on_customer<R: Asks>(
        &self,
        request: Request<R>,
        make: impl Fn(CustomerId, &R) -> Result<Command, RunError> + Send + Sync,
    ) -> Answers {
        let Asked { id, ask, body, .. } = self.asked(request, false)?;
        let answer = self
            .runner
            .run(id, &ask, |_: Option<&Customer>, _| make(CustomerId(id), &body))
            .await
            .map_err(refused)?;
        Ok(Response::new(answered(id, answer)))
    }
}

#[tonic::async_trait]
impl CustomerService for Api {
    async fn register_customer(&self, request: Request<api::RegisterCustomerRequest>) -> Answers {
        let offered = !request.get_ref().customer_id.is_empty();
        let Asked { id, ask, body, .. } = self.asked(request, true)?;
        let offered = offered.then_some(CustomerId(id));
        let (phone, tier, segment) = registered(&body).map_err(refused)?;
        let registering = self.intake.register(&ask, phone, offered, (tier, segment));
        let (customer, answer) = registering.await.map_err(refused)?;
        Ok(Response::new(answered(customer.0, answer)))
    }

    async fn change_tier(&self, request: Request<api::ChangeTierRequest>) -> Answers {
        self.on_customer(request, |_, asked| {
            read! {
                tier: take("tier", asked.tier);
                segment: take("segment", asked.segment);
            }
            Ok(Command::ChangeTier { tier, segment, reason: asked.reason.clone() })
        })
        .await
    }

    async fn erase_customer(&self, request: Request<api::EraseCustomerRequest>) -> Answers {
        let Asked { id, ask, body, .. } = self.asked(request, false)?;
        let answer = self.intake.erase(CustomerId(id), &ask, &body.reason).await.map_err(refused)?;
        Ok(Response::new(answered(id, answer)))
    }

    async fn get_customer(
        &self,
        request: Request<api::GetCustomerRequest>,
    ) -> Result<Response<api::GetCustomerResponse>, Status> {
        let asked = request.into_inner();
        let id = uuid("customer_id", &asked.customer_id).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let rows = self.views.tickets.of_customer(CustomerId(id)).map_err(stopped)?;
        let seen = self
            .runner
            .view(id, |customer: Option<&Customer>| customer.map(|it| view(it, &rows)))
            .await
            .map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("CUSTOMER_UNKNOWN", "there is no such customer"))
    }
}

fn registered(body: &api::RegisterCustomerRequest) -> Field<(&str, Tier, Segment)> {
    read! {
        phone: required("phone", &body.phone);
        tier: take("tier", body.tier);
        segment: take("segment", body.segment);
    }
    Ok((phone, tier, segment))
}

fn view(customer: &Customer, rows: &[Row]) -> api::GetCustomerResponse {
    let ids = |open: bool| {
        rows.iter().filter(|row| row.is_open() == open).map(|row| row.ticket.to_string()).collect()
    };
    api::GetCustomerResponse {
        customer_id: customer.id.to_string(),
        revision: customer.revision,
        tier: customer.tier.put(),
        segment: customer.segment.put(),
        open_tickets: ids(true),
        ended_tickets: ids(false),
        erased: customer.erased,
    }
}

//! Customers: tier, segment, their tickets, and the erasure of their keys.

use duban_aggregates::customer::{Command, Customer, ErasureEvidence};
use duban_aggregates::ids::{CustomerId, DueNo};
use duban_aggregates::rejection::Missing;
use duban_aggregates::ticket::Ticket;
use duban_codec::Wire;
use duban_engine::runner::{Answer, RunError};
use duban_projections::Row;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::customer_service_server::CustomerService;
use tonic::{Request, Response, Status};

use super::command::{Answered, Api, Asked, Asks, uuid};
use super::error::{refused, stopped};
use super::read::{position, read, take};

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

impl Api {
    /// An ended ticket whose reaction is under way is open still as far as the customer's stream knows; this asks the
    /// tickets themselves.
    async fn erasure_evidence(&self, customer: CustomerId) -> Result<ErasureEvidence, Status> {
        let mut evidence = ErasureEvidence::default();
        for row in self.tickets.of_customer(customer).map_err(stopped)? {
            let open = self
                .runner
                .view(row.ticket.0, |ticket: Option<&Ticket>| ticket.map(open))
                .await
                .map_err(refused)?;
            let open = open.unwrap_or_default();
            if !open.contains(&Missing::EndOf(row.ticket)) {
                evidence.ended.insert(row.ticket);
            }
            evidence.open.extend(open);
        }
        Ok(evidence)
    }
}

/// What a ticket still has open that an erasure waits for.
fn open(ticket: &Ticket) -> Vec<Missing> {
    let id = ticket.id();
    let end = ticket.is_open().then_some(Missing::EndOf(id));
    let receipts = ticket.receipts_owed().into_iter().map(|request| Missing::ReceiptOn(id, request));
    let dues = (1..).zip(&ticket.dues).filter(|(_, due)| due.is_owed());
    end.into_iter()
        .chain(receipts)
        .chain(dues.map(|(due, _)| Missing::SettlementOn(id, DueNo(due))))
        .collect()
}

#[tonic::async_trait]
impl CustomerService for Api {
    async fn register_customer(&self, request: Request<api::RegisterCustomerRequest>) -> Answers {
        let offered = !request.get_ref().customer_id.is_empty();
        let Asked { id, ask, body, .. } = self.asked(request, true)?;
        if body.phone.trim().is_empty() {
            return Err(refused(RunError::field("phone", "is required")));
        }
        let phone_hash = self.sealer.keys().phone_hash(&body.phone);
        // A phone has one customer, whatever id the caller would give it.
        let offered = offered.then_some(CustomerId(id));
        let known = self.strangers.find_or_make(phone_hash, &self.customers, offered).map_err(refused)?;
        let id = known.0;
        let make = |_: Option<&Customer>, _| {
            read! {
                tier: take("tier", body.tier);
                segment: take("segment", body.segment);
            }
            Ok(Command::Register { customer: CustomerId(id), phone_hash, tier, segment })
        };
        let answer = self.runner.run(id, &ask, make).await.map_err(refused)?;
        // A key before the first text, so that a later erasure has something to erase.
        self.sealer.customer(CustomerId(id)).await.map_err(RunError::from).map_err(refused)?;
        self.settle(answer.position).await;
        Ok(Response::new(answered(id, answer)))
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
        let id = uuid("customer_id", &request.get_ref().customer_id).map(CustomerId).map_err(refused)?;
        // While a case is taken in, its key is in use.
        let _turn = self.strangers.turn(id).await;
        self.caught_up().await?;
        let evidence = self.erasure_evidence(id).await?;
        let answer = self
            .on_customer(request, |_, asked| {
                Ok(Command::Erase { reason: asked.reason.clone(), evidence: evidence.clone() })
            })
            .await?;
        // Repeated by a repeat of the command: the event says that it was asked for, the key store that it was done.
        self.sealer.keys().erase(id).await.map_err(RunError::from).map_err(refused)?;
        if let Some(position) = position("position", &answer.get_ref().position).map_err(refused)? {
            self.settle(position).await;
        }
        self.strangers.forget(id);
        Ok(answer)
    }

    async fn get_customer(
        &self,
        request: Request<api::GetCustomerRequest>,
    ) -> Result<Response<api::GetCustomerResponse>, Status> {
        let asked = request.into_inner();
        let id = uuid("customer_id", &asked.customer_id).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let rows = self.tickets.of_customer(CustomerId(id)).map_err(stopped)?;
        let seen = self
            .runner
            .view(id, |customer: Option<&Customer>| customer.map(|it| view(it, &rows)))
            .await
            .map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("CUSTOMER_UNKNOWN", "there is no such customer"))
    }
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

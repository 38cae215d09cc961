//! Faults 障碍: the facts that only they have.

use duban_aggregates::ticket::fault::{Command, Fact};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::fault_service_server::FaultService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{Field, Texts, moment, read};

/// A fact, with its moment and what proves it.
fn record(
    texts: &Texts<'_>,
    what: Field<Fact>,
    occurred_at: Option<prost_types::Timestamp>,
    evidence: Option<&str>,
) -> Field<Command> {
    read! {
        fact: what;
        occurred_at: moment("occurred_at", occurred_at);
        evidence: texts.optional("evidence", evidence);
    }
    Ok(Command::RecordFact { fact, occurred_at, evidence })
}

#[tonic::async_trait]
impl FaultService for Api {
    async fn record_line_test(&self, request: Request<api::RecordLineTestRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let (passed, reference) = (asked.passed, asked.reference.clone());
            let result = texts.text("result", &asked.result);
            let fact = result.map(|result| Fact::LineTested { passed, reference, result });
            record(texts, fact, asked.occurred_at, asked.evidence.as_deref())
        })
        .await
    }

    async fn record_repair(&self, request: Request<api::RecordRepairRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let fact = texts.text("work", &asked.work).map(|work| Fact::Repaired { work });
            record(texts, fact, asked.occurred_at, asked.evidence.as_deref())
        })
        .await
    }

    async fn record_service_up(&self, request: Request<api::RecordServiceUpRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            record(texts, Ok(Fact::ServiceUp), asked.occurred_at, asked.evidence.as_deref())
        })
        .await
    }

    async fn judge_terminal(&self, request: Request<api::JudgeTerminalRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let fact = Fact::TerminalJudged { customers_own: asked.customers_own };
            record(texts, Ok(fact), asked.occurred_at, asked.evidence.as_deref())
        })
        .await
    }

    async fn record_arrears_paid(&self, request: Request<api::RecordArrearsPaidRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let fact = Fact::ArrearsPaid { reference: asked.reference.clone() };
            record(texts, Ok(fact), asked.occurred_at, asked.evidence.as_deref())
        })
        .await
    }
}

//! Supervisors 服务监督员: urge, escalate, sign off, waive.

use duban_aggregates::ids::{ClockNo, EmployeeId, EscalationNo, OrderNo};
use duban_aggregates::ticket::{chain, clock, gate, order};
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::supervision_service_server::SupervisionService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{read, take};

#[tonic::async_trait]
impl SupervisionService for Api {
    async fn urge(&self, request: Request<api::UrgeRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let words = texts.text("words", &asked.words)?;
            Ok(clock::Command::Urge { order: OrderNo(asked.order), words })
        })
        .await
    }

    async fn propose_escalation(&self, request: Request<api::ProposeEscalationRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            let rung = take("rung", asked.rung)?;
            Ok(clock::Command::ProposeEscalation { clock: ClockNo(asked.clock), rung })
        })
        .await
    }

    async fn issue_escalation(&self, request: Request<api::IssueEscalationRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let words = texts.text("words", &asked.words)?;
            Ok(clock::Command::IssueEscalation { escalation: EscalationNo(asked.escalation), words })
        })
        .await
    }

    async fn decline_escalation(&self, request: Request<api::DeclineEscalationRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(clock::Command::DeclineEscalation { escalation: EscalationNo(asked.escalation), reason })
        })
        .await
    }

    async fn sign_off_unreachable(&self, request: Request<api::SignOffUnreachableRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::SignOffUnreachable { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn sign_off_declined(&self, request: Request<api::SignOffDeclinedRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::SignOffDeclined { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn sign_off_nobody_to_ask(&self, request: Request<api::SignOffNobodyToAskRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::SignOffNobodyToAsk { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn consent_to_not_provided(&self, request: Request<api::ConsentToNotProvidedRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::ConsentToNotProvided { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn strike_done_by(&self, request: Request<api::StrikeDoneByRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let (order, person) = (OrderNo(asked.order), EmployeeId(asked.person.clone()));
            Ok(order::Command::StrikeDoneBy { order, person, reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn conclude_feedback(&self, request: Request<api::ConcludeFeedbackRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                ground: take("ground", asked.ground);
                offer: texts.text("offer", &asked.offer);
                appeal_explained: take("appeal_explained", asked.appeal_explained.clone());
            }
            Ok(chain::Command::ConcludeFeedback { ground, offer, appeal_explained })
        })
        .await
    }

    async fn consent_to_rejection(&self, request: Request<api::ConsentToRejectionRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::ConsentToRejection { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn waive(&self, request: Request<api::WaiveRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                gate: take("gate", asked.gate);
                reason: texts.text("reason", &asked.reason);
            }
            Ok(gate::Command::Waive { gate, reason })
        })
        .await
    }

    async fn decide_third_return(&self, request: Request<api::DecideThirdReturnRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let order = OrderNo(asked.order);
            read! {
                replacement: texts.replacement(&asked.replacement);
                reason: texts.optional("reason", asked.reason.as_deref());
            }
            match (asked.granted, replacement, reason) {
                (true, replacement, _) => Ok(order::Command::GrantReturn { order, replacement }),
                (false, None, Some(reason)) => Ok(order::Command::RefuseReturn { order, reason }),
                (false, Some(_), _) => Err(RunError::field("replacement", "does not belong to a refusal")),
                (false, None, None) => Err(RunError::field("reason", "is required")),
            }
        })
        .await
    }
}

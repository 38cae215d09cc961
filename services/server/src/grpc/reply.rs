//! Responsible units 答复: orders, measures, and what a unit says to its verdicts.

use duban_aggregates::ids::{EmployeeId, MeasureNo, OrderNo, VerdictNo};
use duban_aggregates::ticket::{gate, order, verdict};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::reply_service_server::ReplyService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{Field, Texts, given, read, required_moment, take};

#[tonic::async_trait]
impl ReplyService for Api {
    async fn accept(&self, request: Request<api::AcceptRequest>) -> Answered {
        self.on_ticket(request, |_, asked| Ok(order::Command::Accept { order: OrderNo(asked.order) })).await
    }

    async fn reply(&self, request: Request<api::ReplyRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                resolution: texts.text("resolution", &asked.resolution);
                cause: asked.cause.as_ref().map(|cause| texts.cause("cause", cause)).transpose();
                measures: texts.plans("measures", &asked.measures);
                not_provided: asked.not_provided.as_ref().map(|from| not_provided(texts, from)).transpose();
            }
            let done_by = asked.done_by.iter().cloned().map(EmployeeId).collect();
            let order = OrderNo(asked.order);
            Ok(order::Command::Reply { order, resolution, cause, measures, done_by, not_provided })
        })
        .await
    }

    async fn request_return(&self, request: Request<api::RequestReturnRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(order::Command::RequestReturn { order: OrderNo(asked.order), reason })
        })
        .await
    }

    async fn ask_extension(&self, request: Request<api::AskExtensionRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                until: required_moment("until", asked.until);
                reason: texts.text("reason", &asked.reason);
            }
            Ok(order::Command::AskExtension { order: OrderNo(asked.order), until, reason })
        })
        .await
    }

    async fn wait_for_assist(&self, request: Request<api::WaitForAssistRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            let (order, assist) = (OrderNo(asked.order), OrderNo(asked.assist));
            Ok(order::Command::WaitForAssist { order, assist })
        })
        .await
    }

    async fn plan_measure(&self, request: Request<api::PlanMeasureRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let plan = given("plan", &asked.plan).and_then(|plan| texts.plan("plan", plan))?;
            Ok(gate::Command::PlanMeasure { plan })
        })
        .await
    }

    async fn carry_out_measure(&self, request: Request<api::CarryOutMeasureRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            let evidence = texts.text("evidence", &asked.evidence)?;
            Ok(gate::Command::CarryOutMeasure { measure: MeasureNo(asked.measure), evidence })
        })
        .await
    }

    async fn declare_no_measure_needed(
        &self,
        request: Request<api::DeclareNoMeasureNeededRequest>,
    ) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            Ok(gate::Command::NoMeasureNeeded { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn accept_verdict(&self, request: Request<api::AcceptVerdictRequest>) -> Answered {
        self.on_ticket(request, |_, asked| Ok(verdict::Command::Accept { verdict: VerdictNo(asked.verdict) }))
            .await
    }

    async fn appeal_verdict(&self, request: Request<api::AppealVerdictRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let grounds = texts.text("grounds", &asked.grounds)?;
            Ok(verdict::Command::Appeal { verdict: VerdictNo(asked.verdict), grounds })
        })
        .await
    }
}

/// A service that cannot be given.
fn not_provided(texts: &Texts<'_>, from: &api::NotProvidedInput) -> Field<order::NotProvided> {
    read! {
        ground: take("not_provided.ground", from.ground);
        evidence: texts.text("not_provided.evidence", &from.evidence);
        offered: texts.text("not_provided.offered", &from.offered);
    }
    Ok(order::NotProvided { ground, evidence, offered })
}

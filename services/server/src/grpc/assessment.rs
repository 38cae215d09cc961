//! Assessment 考核: verdicts, penalties, dues, closing.

use duban_aggregates::ids::{DueNo, VerdictNo};
use duban_aggregates::ticket::{chain, money, verdict};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::assessment_service_server::AssessmentService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{events, read, take};

#[tonic::async_trait]
impl AssessmentService for Api {
    async fn assess(&self, request: Request<api::AssessRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let verdicts = texts.verdicts("verdicts", &asked.verdicts)?;
            let confirmed = asked.confirmed.iter().copied().map(VerdictNo).collect();
            Ok(chain::Command::Assess { verdicts, confirmed })
        })
        .await
    }

    async fn request_facts(&self, request: Request<api::RequestFactsRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(chain::Command::RequestFacts { reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }

    async fn close(&self, request: Request<api::CloseRequest>) -> Answered {
        self.on_ticket(request, |_, _| Ok(chain::Command::Close)).await
    }

    async fn decide_appeal(&self, request: Request<api::DecideAppealRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            let (verdict, granted) = (VerdictNo(asked.verdict), asked.granted);
            Ok(verdict::Command::DecideAppeal { verdict, granted, reason })
        })
        .await
    }

    async fn carry_out_penalty(&self, request: Request<api::CarryOutPenaltyRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            let payroll_reference = asked.payroll_reference.clone();
            Ok(verdict::Command::CarryOutPenalty { verdict: VerdictNo(asked.verdict), payroll_reference })
        })
        .await
    }

    async fn reverse_verdict(&self, request: Request<api::ReverseVerdictRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let reason = texts.text("reason", &asked.reason)?;
            Ok(verdict::Command::Reverse { verdict: VerdictNo(asked.verdict), reason })
        })
        .await
    }

    async fn accrue_due(&self, request: Request<api::AccrueDueRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            read! {
                reason: take("reason", asked.reason);
                because: events("because", &asked.because);
            }
            Ok(money::Command::Accrue { reason, amount_fen: asked.amount_fen, because })
        })
        .await
    }

    async fn approve_due(&self, request: Request<api::ApproveDueRequest>) -> Answered {
        self.on_ticket(request, |_, asked| Ok(money::Command::Approve { due: DueNo(asked.due) })).await
    }

    async fn settle_due(&self, request: Request<api::SettleDueRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            let settlement = take("settlement", asked.settlement)?;
            let reference = asked.reference.clone();
            Ok(money::Command::Settle { due: DueNo(asked.due), settlement, reference })
        })
        .await
    }

    async fn cancel_due(&self, request: Request<api::CancelDueRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            Ok(money::Command::Cancel { due: DueNo(asked.due), reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }
}

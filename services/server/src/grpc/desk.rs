//! The desk 受理.

use duban_aggregates::ids::{AppointmentNo, EventId, NoticeId, ProblemId, RequestNo, TicketId};
use duban_aggregates::problem::Problem;
use duban_aggregates::ticket::{chain, clock, contact, fault, install, intake};
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::desk_service_server::DeskService;
use tonic::{Request, Response};

use super::command::{Answered, Api, Asked, ticket_answer, uuid};
use super::error::refused;
use super::read::{Field, Texts, moment, plain, read, required_moment, take};

#[tonic::async_trait]
impl DeskService for Api {
    async fn take_in(&self, request: Request<api::TakeInRequest>) -> Answered {
        self.begin_ticket(request).await
    }

    async fn add_outside_request(&self, request: Request<api::AddOutsideRequestRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            read! {
                body: take("body", asked.body);
                handed_over_at: moment("handed_over_at", asked.handed_over_at);
                due: moment("due", asked.due);
            }
            let number = asked.number.clone();
            Ok(intake::Command::AddOutsideRequest { body, number, handed_over_at, due })
        })
        .await
    }

    async fn attach(&self, request: Request<api::AttachRequest>) -> Answered {
        self.on_own_ticket(request, |_, asked| {
            Ok(intake::Command::Attach { attachment: take("attachment", asked.attachment.clone())? })
        })
        .await
    }

    async fn change_first_owner(&self, request: Request<api::ChangeFirstOwnerRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                to: take("to", asked.to.clone());
                reason: texts.text("reason", &asked.reason);
            }
            Ok(intake::Command::ChangeFirstOwner { to, reason })
        })
        .await
    }

    async fn correct_fact(&self, request: Request<api::CorrectFactRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                corrects: uuid("corrects", &asked.corrects).map(EventId);
                fact: fact(texts, asked.fact.as_ref().and_then(|fact| fact.fact.as_ref()));
                occurred_at: moment("occurred_at", asked.occurred_at);
                reason: texts.text("reason", &asked.reason);
            }
            Ok(intake::Command::CorrectFact { corrects, fact, occurred_at, reason })
        })
        .await
    }

    async fn contact_customer(&self, request: Request<api::ContactCustomerRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                reason: take("reason", asked.reason);
                said: texts.text("said", &asked.said);
                answer: texts.optional("answer", asked.answer.as_deref());
                recording: take("recording", asked.recording.clone());
                occurred_at: moment("occurred_at", asked.occurred_at);
            }
            let gm_hotline = asked.gm_hotline;
            Ok(contact::Command::ContactCustomer { reason, gm_hotline, said, answer, recording, occurred_at })
        })
        .await
    }

    async fn notify_delay(&self, request: Request<api::NotifyDelayRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                expected_at: required_moment("expected_at", asked.expected_at);
                reason: texts.text("reason", &asked.reason);
                recording: take("recording", asked.recording.clone());
                occurred_at: moment("occurred_at", asked.occurred_at);
            }
            Ok(contact::Command::NotifyDelay { expected_at, reason, recording, occurred_at })
        })
        .await
    }

    async fn record_receipt(&self, request: Request<api::RecordReceiptRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                kind: take("kind", asked.kind);
                content: texts.text("content", &asked.content);
            }
            let (request, reference) = (RequestNo(asked.request), asked.reference.clone());
            Ok(contact::Command::RecordReceipt { request, kind, content, reference })
        })
        .await
    }

    async fn dispatch_urgent(&self, request: Request<api::DispatchUrgentRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                facts: texts.text("facts", &asked.facts);
                orders: texts.orders("orders", &asked.orders);
            }
            Ok(chain::Command::DispatchUrgent { facts, orders })
        })
        .await
    }

    async fn pause(&self, request: Request<api::PauseRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                code: take("code", asked.code);
                evidence: texts.text("evidence", &asked.evidence);
                attachment: take("attachment", asked.attachment.clone());
                resume_by: moment("resume_by", asked.resume_by);
            }
            Ok(clock::Command::Pause { code, evidence, attachment, resume_by })
        })
        .await
    }

    async fn resume(&self, request: Request<api::ResumeRequest>) -> Answered {
        self.on_ticket(request, |_, _| Ok(clock::Command::Resume)).await
    }

    async fn withdraw(&self, request: Request<api::WithdrawRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                recording: take("recording", asked.recording.clone());
                reason: texts.text("reason", &asked.reason);
            }
            Ok(chain::Command::Withdraw { recording, reason })
        })
        .await
    }

    async fn reject(&self, request: Request<api::RejectRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                referred_to: texts.text("referred_to", &asked.referred_to);
                reason: texts.text("reason", &asked.reason);
                recording: take("recording", asked.recording.clone());
            }
            Ok(chain::Command::Reject { referred_to, reason, recording })
        })
        .await
    }

    async fn merge(&self, request: Request<api::MergeRequest>) -> Answered {
        let Asked { id, ask, body, .. } = self.asked(request, false)?;
        let into = uuid("into", &body.into).map(TicketId).map_err(refused)?;
        let answer = self.intake.merge(TicketId(id), &ask, into).await.map_err(refused)?;
        Ok(Response::new(ticket_answer(id, answer)))
    }

    async fn reopen(&self, request: Request<api::ReopenRequest>) -> Answered {
        // No key is erased while its customer's case comes back.
        let ticket = uuid("ticket_id", &request.get_ref().ticket_id).map(TicketId).map_err(refused)?;
        let _turn = self.intake.turn_of(ticket).await.map_err(refused)?;
        self.on_ticket(request, |texts, asked| {
            read! {
                because: take("because", asked.because);
                reason: texts.text("reason", &asked.reason);
            }
            Ok(chain::Command::Reopen { because, reason })
        })
        .await
    }

    async fn open_next_round(&self, request: Request<api::OpenNextRoundRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                stage: take("stage", asked.stage);
                reason: texts.text("reason", &asked.reason);
            }
            Ok(chain::Command::OpenNextRound { stage, reason })
        })
        .await
    }

    async fn join_problem(&self, request: Request<api::JoinProblemRequest>) -> Answered {
        let problem = uuid("problem", &request.get_ref().problem).map_err(refused)?;
        self.must_exist::<Problem>("problem", problem).await?;
        let is_open = |known: Option<&Problem>| known.is_some_and(|known| !known.closed);
        let open = self.runner.view(problem, is_open).await.map_err(refused)?;
        self.on_ticket(request, |_, _| Ok(intake::Command::JoinProblem { problem: ProblemId(problem), open }))
            .await
    }

    async fn link_notice(&self, request: Request<api::LinkNoticeRequest>) -> Answered {
        let notice = uuid("notice", &request.get_ref().notice).map_err(refused)?;
        self.must_exist::<duban_aggregates::notice::Notice>("notice", notice).await?;
        self.on_ticket(request, |_, _| Ok(intake::Command::LinkNotice { notice: NoticeId(notice) })).await
    }
}

/// A fact as it really was.
fn fact(texts: &Texts<'_>, from: Option<&api::corrected_fact::Fact>) -> Field<intake::Fact> {
    use api::corrected_fact::Fact as From;
    Ok(match from.ok_or_else(|| RunError::field("fact", "is required"))? {
        From::LineTested(api::LineTestInput { passed, reference, result }) => {
            let result = texts.text("fact.line_tested.result", result)?;
            let (passed, reference) = (*passed, reference.clone());
            intake::Fact::Fault(fault::Fact::LineTested { passed, reference, result })
        }
        From::Repaired(api::RepairInput { work }) => {
            intake::Fact::Fault(fault::Fact::Repaired { work: texts.text("fact.repaired.work", work)? })
        }
        From::ServiceUp(_) => intake::Fact::Fault(fault::Fact::ServiceUp),
        From::TerminalJudged(judged) => {
            intake::Fact::Fault(fault::Fact::TerminalJudged { customers_own: judged.customers_own })
        }
        From::ArrearsPaid(paid) => {
            intake::Fact::Fault(fault::Fact::ArrearsPaid { reference: paid.reference.clone() })
        }
        From::MilestoneReached(milestone) => {
            let milestone = take("fact.milestone_reached", *milestone)?;
            intake::Fact::Install(install::Fact::MilestoneReached { milestone })
        }
        From::AppointmentEnded(ended) => {
            let outcome = take("fact.appointment_ended.outcome", ended.outcome)?;
            let appointment = AppointmentNo(ended.appointment);
            intake::Fact::Install(install::Fact::AppointmentEnded { appointment, outcome })
        }
        From::Category(category) => {
            let category = plain("fact.category", category, duban_aggregates::NAME_BYTES_MAX)?;
            intake::Fact::Category { category }
        }
    })
}

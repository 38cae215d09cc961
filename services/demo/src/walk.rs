//! Walking a ticket to its certificate, as the departments would: whatever it waits for next is done by whose turn it is.

use duban_client::{Client, ClientError, step_command_id};
use duban_proto::api::v1::{self as api, ClockStatus, OrderStatus, TicketState, VerdictStatus};
use duban_proto::event::v1::{
    self as ev, Answer, CauseKind, Gate, Milestone, OrderPart, ReceiptKind, Stage, TicketKind,
};
use tonic::{Code, Status};

/// What walking took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Commands that were carried out.
    pub commands: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// The ticket was closed with a certificate.
    pub closed: bool,
}

/// Why a ticket was not walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// The ticket cannot be walked on.
    #[error("ticket {ticket} does not go on from {stage}: {missing}")]
    Stuck {
        /// The ticket.
        ticket: String,
        /// Its stage.
        stage: String,
        /// What is missing.
        missing: String,
    },
}

impl From<Status> for WalkError {
    fn from(status: Status) -> Self {
        Self::Call(status.into())
    }
}

/// Far more steps than any ticket needs; a ticket that does not get on is reported, not walked for ever.
const STEPS_MAX: u32 = 200;

/// Walks an open ticket to its end.
///
/// # Errors
/// [`WalkError`], also where the ticket does not go on.
pub async fn walk(client: &Client, ticket: &str) -> Result<Walked, WalkError> {
    let mut walked = Walked::default();
    let mut position = String::new();
    for _ in 0..STEPS_MAX {
        let state = client.ticket(ticket, &position).await?;
        let summary = state.summary.clone().unwrap_or_default();
        if summary.state() != TicketState::Open {
            walked.closed = summary.state() == TicketState::Closed;
            return Ok(walked);
        }
        let step = Step { client, ticket, state: &state, revision: summary.revision };
        match step.take(summary.stage(), summary.kind()).await {
            Ok(answer) => {
                walked.commands += 1;
                position = answer.position;
            }
            Err(WalkError::Call(ClientError::Refused(refusal))) if refusal.code == Code::Aborted => {
                // Somebody else, a reaction perhaps, was faster: look again.
                walked.refused += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let state = client.ticket(ticket, &position).await?;
    Err(WalkError::Stuck {
        ticket: ticket.to_owned(),
        stage: state.summary.clone().unwrap_or_default().stage().as_str_name().to_owned(),
        missing: state.missing.join(", "),
    })
}

struct Step<'a> {
    client: &'a Client,
    ticket: &'a str,
    state: &'a api::Ticket,
    revision: u64,
}

type Taken = Result<api::CommandResponse, WalkError>;

/// A request with its envelope filled in.
macro_rules! ask {
    ($step:expr, $what:literal, $message:ident { $($field:ident: $value:expr),* $(,)? }) => {
        api::$message {
            ticket_id: $step.ticket.to_owned(),
            command_id: step_command_id($step.ticket, $step.revision, $what),
            expected_revision: Some($step.revision),
            $($field: $value),*
        }
    };
}

impl Step<'_> {
    async fn take(&self, stage: Stage, kind: TicketKind) -> Taken {
        if let Some(pause) = &self.state.pause {
            return self.resume(pause).await;
        }
        match stage {
            Stage::Investigate
                if kind == TicketKind::Install && !self.reached(Milestone::ResourcesAssigned) =>
            {
                self.next_milestone().await
            }
            Stage::Investigate => self.investigate(kind).await,
            Stage::Dispatch => self.dispatch().await,
            Stage::Reply => self.reply(kind).await,
            Stage::Feedback => self.feedback().await,
            Stage::Inspect => self.inspect().await,
            Stage::Report => self.report().await,
            Stage::Assess => self.assess().await,
            Stage::Close | Stage::Unspecified => self.close().await,
        }
    }

    fn stuck(&self, stage: &str) -> WalkError {
        WalkError::Stuck {
            ticket: self.ticket.to_owned(),
            stage: stage.to_owned(),
            missing: self.state.missing.join(", "),
        }
    }

    async fn resume(&self, _pause: &api::PauseView) -> Taken {
        let request = ask!(self, "resume", ResumeRequest {});
        Ok(self.client.dispatch_desk()?.resume(request).await?.into_inner())
    }

    async fn investigate(&self, kind: TicketKind) -> Taken {
        let cause = if kind == TicketKind::Install {
            api::Cause { kind: CauseKind::NewOrder.into(), text: None }
        } else {
            api::Cause {
                kind: CauseKind::Known.into(), text: Some("经查，接入设备端口配置有误".into())
            }
        };
        let request = ask!(
            self,
            "investigate",
            InvestigateRequest {
                cause: Some(cause),
                facts: "已核对受理记录与现场情况".into(),
                units: Vec::new(),
            }
        );
        Ok(self.client.investigation()?.investigate(request).await?.into_inner())
    }

    /// The unit that a category's cases go to.
    fn lead_unit(&self) -> &'static str {
        let category = self.state.summary.as_ref().map_or("", |summary| summary.category.as_str());
        if category.contains("billing") || category.contains("fee") {
            "billing"
        } else if category.starts_with("install") {
            "line-crew"
        } else {
            "access-network"
        }
    }

    async fn dispatch(&self) -> Taken {
        let order = api::NewOrder {
            part: OrderPart::Lead.into(),
            unit: self.lead_unit().into(),
            task: "限期处理并答复客户".into(),
            due: None,
        };
        let request = ask!(self, "dispatch", DispatchRequest { orders: vec![order] });
        Ok(self.client.dispatch()?.dispatch(request).await?.into_inner())
    }

    async fn reply(&self, kind: TicketKind) -> Taken {
        // Assists first: the lead replies last.
        let open = |order: &&api::OrderView| {
            matches!(order.status(), OrderStatus::Issued | OrderStatus::Accepted | OrderStatus::ReturnAsked)
        };
        let assist = self.state.orders.iter().filter(open).find(|order| order.part() == OrderPart::Assist);
        let lead = self.state.orders.iter().filter(open).find(|order| order.part() == OrderPart::Lead);
        let Some(order) = assist.or(lead) else { return Err(self.stuck("reply")) };
        match order.status() {
            OrderStatus::ReturnAsked => {
                let request = ask!(
                    self,
                    "refuse-return",
                    RefuseReturnRequest { order: order.order, reason: "属于该单位职责".into() }
                );
                match self.client.dispatch()?.refuse_return(request).await {
                    Ok(answer) => Ok(answer.into_inner()),
                    // The round's third return is a supervisor's to decide.
                    Err(status) if status.code() == Code::PermissionDenied => {
                        let request = ask!(
                            self,
                            "third-return",
                            DecideThirdReturnRequest {
                                order: order.order,
                                granted: false,
                                reason: Some("属于该单位职责".into()),
                                replacement: None,
                            }
                        );
                        let mut supervisor = self.client.supervisor(&order.unit)?;
                        Ok(supervisor.decide_third_return(request).await?.into_inner())
                    }
                    Err(status) => Err(status.into()),
                }
            }
            OrderStatus::Issued => {
                let request = ask!(self, "accept", AcceptRequest { order: order.order });
                Ok(self.client.unit(&order.unit)?.accept(request).await?.into_inner())
            }
            _ if order.part() == OrderPart::Lead => self.lead_reply(kind, order).await,
            _ => self.answer(order, None).await,
        }
    }

    async fn lead_reply(&self, kind: TicketKind, order: &api::OrderView) -> Taken {
        match kind {
            TicketKind::Fault if self.state.last_test_passed != Some(true) => {
                let request = ask!(
                    self,
                    "line-test",
                    RecordLineTestRequest {
                        passed: true,
                        reference: format!("T-{}", self.revision),
                        result: "线路测试合格".into(),
                        occurred_at: None,
                        evidence: None,
                    }
                );
                Ok(self.client.fault(&order.unit)?.record_line_test(request).await?.into_inner())
            }
            TicketKind::Fault if self.state.service_up_at.is_none() => {
                let request =
                    ask!(self, "service-up", RecordServiceUpRequest { occurred_at: None, evidence: None });
                Ok(self.client.fault(&order.unit)?.record_service_up(request).await?.into_inner())
            }
            TicketKind::Install if !self.reached(Milestone::Activated) => self.next_milestone().await,
            _ => {
                let known = kind != TicketKind::Install;
                let cause = known.then(|| api::Cause {
                    kind: CauseKind::Known.into(),
                    text: Some("端口配置错误，已更正".into()),
                });
                self.answer(order, cause).await
            }
        }
    }

    async fn answer(&self, order: &api::OrderView, cause: Option<api::Cause>) -> Taken {
        let request = ask!(
            self,
            "reply",
            ReplyRequest {
                order: order.order,
                resolution: "已处理完毕，业务恢复正常".into(),
                cause: cause,
                measures: Vec::new(),
                done_by: vec![format!("{}-tech", order.unit)],
                not_provided: None,
            }
        );
        Ok(self.client.unit(&order.unit)?.reply(request).await?.into_inner())
    }

    fn reached(&self, milestone: Milestone) -> bool {
        self.state.milestones.iter().any(|reached| reached.milestone() == milestone)
    }

    async fn next_milestone(&self) -> Taken {
        const WAY: [Milestone; 5] = [
            Milestone::Accepted,
            Milestone::Surveyed,
            Milestone::ResourcesAssigned,
            Milestone::Visited,
            Milestone::Activated,
        ];
        let Some(next) = WAY.into_iter().find(|milestone| !self.reached(*milestone)) else {
            return Err(self.stuck("milestones"));
        };
        let request = ask!(
            self,
            "milestone",
            ReachMilestoneRequest { milestone: next.into(), occurred_at: None, evidence: None }
        );
        Ok(self.client.install("line-crew")?.reach_milestone(request).await?.into_inner())
    }

    async fn feedback(&self) -> Taken {
        let request = ask!(
            self,
            "feedback",
            RecordFeedbackRequest {
                answer: Answer::Satisfied.into(),
                words: "已恢复，满意".into(),
                recording: None,
                investigate_again: false,
            }
        );
        Ok(self.client.feedback()?.record_feedback(request).await?.into_inner())
    }

    async fn inspect(&self) -> Taken {
        let lead = self.state.round.as_ref().and_then(|round| round.lead);
        let lead = self.state.orders.iter().find(|order| Some(order.order) == lead);
        let improved = self.state.gates.iter().find(|gate| gate.gate() == Gate::ServiceImproved);
        let nothing_named =
            improved.is_some_and(|gate| gate.missing.iter().any(|missing| missing.contains("none needed")));
        if let Some(lead) = lead.filter(|_| nothing_named) {
            let request = ask!(
                self,
                "no-measure",
                DeclareNoMeasureNeededRequest { reason: "个例，无需专项改进".into() }
            );
            return Ok(self.client.unit(&lead.unit)?.declare_no_measure_needed(request).await?.into_inner());
        }
        let judged = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved];
        let judgement = |gate: Gate| api::Judgement {
            gate: gate.into(),
            passed: true,
            evidence: "核查记录与回访录音一致".into(),
        };
        let request = ask!(
            self,
            "inspect",
            InspectRequest { judgements: judged.into_iter().map(judgement).collect(), units: Vec::new() }
        );
        Ok(self.client.inspection()?.inspect(request).await?.into_inner())
    }

    async fn report(&self) -> Taken {
        if let Some(owed) = self.state.requests.iter().find(|request| request.owed) {
            let kind = if self.state.summary.is_some() && self.state.reopened > 0 {
                ReceiptKind::Supplementary
            } else {
                ReceiptKind::Final
            };
            let number = owed.request.as_ref().map_or(0, |request| request.request);
            let request = ask!(
                self,
                "receipt",
                RecordReceiptRequest {
                    request: number,
                    kind: kind.into(),
                    content: "已办结，客户满意".into(),
                    reference: format!("回执-{number}-{}", self.revision),
                }
            );
            return Ok(self.client.desk()?.record_receipt(request).await?.into_inner());
        }
        let request = ask!(
            self,
            "report",
            ReportRequest {
                level: "city".into(),
                summary: "处理过程及结果".into(),
                reference: format!("上报-{}", self.revision),
            }
        );
        Ok(self.client.reporting()?.report(request).await?.into_inner())
    }

    async fn assess(&self) -> Taken {
        let mut verdicts = Vec::new();
        let mut confirmed = Vec::new();
        for unit in &self.state.involved {
            let earlier = self.state.verdicts.iter().rev().find(|verdict| verdict.unit == *unit);
            if let Some(earlier) = earlier {
                confirmed.push(earlier.verdict);
                continue;
            }
            let reason = "核查未发现责任".to_owned();
            verdicts.push(api::NewVerdict {
                unit: unit.clone(),
                finding: Some(api::Finding {
                    finding: Some(api::finding::Finding::NotAtFault(api::NotAtFault { reason })),
                }),
            });
        }
        let request = ask!(self, "assess", AssessRequest { verdicts: verdicts, confirmed: confirmed });
        Ok(self.client.assessment()?.assess(request).await?.into_inner())
    }

    async fn close(&self) -> Taken {
        if let Some(measure) = self.state.measures.iter().find(|measure| !measure.carried_out) {
            let request = ask!(
                self,
                "measure",
                CarryOutMeasureRequest {
                    measure: measure.measure, evidence: "现场照片与验收单".into()
                }
            );
            return Ok(self.client.unit(&measure.owner)?.carry_out_measure(request).await?.into_inner());
        }
        for verdict in &self.state.verdicts {
            match verdict.status() {
                VerdictStatus::Given => {
                    let request =
                        ask!(self, "accept-verdict", AcceptVerdictRequest { verdict: verdict.verdict });
                    return Ok(self
                        .client
                        .answerable(&verdict.unit)?
                        .accept_verdict(request)
                        .await?
                        .into_inner());
                }
                VerdictStatus::Final
                    if verdict.at_fault && verdict.penalty_fen > 0 && !verdict.carried_out =>
                {
                    let request = ask!(
                        self,
                        "penalty",
                        CarryOutPenaltyRequest {
                            verdict: verdict.verdict,
                            payroll_reference: format!("工资单-{}", self.revision),
                        }
                    );
                    return Ok(self.client.assessment()?.carry_out_penalty(request).await?.into_inner());
                }
                _ => {}
            }
        }
        if let Some(due) = self.state.dues.iter().find(|due| !due.settled) {
            let mut assessment = self.client.assessment()?;
            if due.approved {
                let request = ask!(
                    self,
                    "settle",
                    SettleDueRequest {
                        due: due.due,
                        settlement: ev::Settlement::Credited.into(),
                        reference: format!("账单-{}", self.revision),
                    }
                );
                return Ok(assessment.settle_due(request).await?.into_inner());
            }
            let request = ask!(self, "approve", ApproveDueRequest { due: due.due });
            return Ok(assessment.approve_due(request).await?.into_inner());
        }
        let request = ask!(self, "close", CloseRequest {});
        Ok(self.client.assessment()?.close(request).await?.into_inner())
    }
}

/// Clocks of a ticket that breached.
#[must_use]
pub fn breaches(ticket: &api::Ticket) -> usize {
    ticket.clocks.iter().filter(|clock| clock.status() == ClockStatus::Breached).count()
}

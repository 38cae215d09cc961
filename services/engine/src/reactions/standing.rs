//! The standing rule: routine faults and installs are inspected, reported and assessed by a versioned rule, three events;
//! the daily draw is their human check (domain.md section 3, Routine). Complaints never.

use duban_aggregates::ids::TicketId;
use duban_aggregates::ticket::Ticket;
use duban_aggregates::ticket::chain::{Command, Judgement};
use duban_aggregates::ticket::verdict::Finding;
use duban_aggregates::words::{Gate, Stage};

use super::{Cause, Halt, Reactions};

/// The rule's version, named in every text that it writes.
const VERSION: &str = "standing-1";

/// What it says, gate by gate: on what the judgement rests.
const CAUSE_KNOWN: &str = "常规工单规则 standing-1：原因已记录在案（cause recorded）";
const PROBLEM_SOLVED: &str = "常规工单规则 standing-1：业务已恢复或开通，用户首轮满意（service proved, customer satisfied in round 1）";
const SERVICE_IMPROVED: &str =
    "常规工单规则 standing-1：常规工单无需改进措施（routine work needs no measure）";
const SUMMARY: &str = "常规工单规则 standing-1：首轮满意，无超时、无退单、无失约（satisfied in round 1, no breach, return or missed appointment）";
const NOT_AT_FAULT: &str = "常规工单规则 standing-1：按时办结，无责（done in time, not at fault）";

/// The level that routine work is reported to.
const LEVEL: &str = "city";

impl Reactions {
    pub(super) async fn standing_rule(&self, cause: &Cause<'_>, ticket: TicketId) -> Result<(), Halt> {
        let waits = |it: Option<&Ticket>| {
            it.is_some_and(|it| it.is_routine() && matches!(it.stage, Stage::Inspect | Stage::Report))
        };
        if !self.seen(cause, ticket, waits).await? {
            return Ok(());
        }
        self.ticket(cause, ticket, "inspect", |it| {
            let texts = self.sealer.known_customer(it.intake.person())?;
            let judged = |gate, text: &str| {
                Ok::<_, crate::runner::RunError>(Judgement {
                    gate,
                    passed: true,
                    evidence: texts.seal(text)?,
                })
            };
            let judgements = vec![
                judged(Gate::CauseKnown, CAUSE_KNOWN)?,
                judged(Gate::ProblemSolved, PROBLEM_SOLVED)?,
                judged(Gate::ServiceImproved, SERVICE_IMPROVED)?,
            ];
            Ok(Command::Inspect { judgements, units: Vec::new() })
        })
        .await?;
        self.ticket(cause, ticket, "report", |it| {
            let summary = self.sealer.known_customer(it.intake.person())?.seal(SUMMARY)?;
            Ok(Command::Report { level: LEVEL.into(), summary, reference: format!("{VERSION}/{ticket}") })
        })
        .await?;
        self.ticket(cause, ticket, "assess", |it| {
            let texts = self.sealer.known_customer(it.intake.person())?;
            let verdicts = it.involved().into_iter().map(|unit| {
                let reason = texts.seal(NOT_AT_FAULT)?;
                Ok::<_, crate::runner::RunError>((unit, Finding::NotAtFault { reason }))
            });
            Ok(Command::Assess { verdicts: verdicts.collect::<Result<_, _>>()?, confirmed: Vec::new() })
        })
        .await
    }
}

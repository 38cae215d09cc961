//! Inspection, report, assessment, what closing waits for, and coming back.

use super::{Scene, Step};
use crate::walker::office::{actor, words};
use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::{add_days, local_date};
use duban_aggregates::ids::{DueNo, VerdictNo};
use duban_aggregates::rejection::Missing;
use duban_aggregates::ticket::chain::{self, Judgement};
use duban_aggregates::ticket::order::MeasurePlan;
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::verdict::{self, Finding};
use duban_aggregates::ticket::{clock, contact, gate, money};
use duban_aggregates::words::{
    ClockKind, ContactReason, DueReason, Gate, ReceiptKind, ReopenCause, Role, Settlement,
};

impl Scene<'_> {
    /// The standing rule takes what is routine, people the rest.
    fn judge(&mut self, role: Role) -> Actor {
        if self.ticket.is_routine() { actor(Role::Rule, 0) } else { self.someone(role) }
    }

    pub(super) fn inspect(&mut self) -> Step {
        let inspector = self.judge(Role::Inspection);
        let by_rule = inspector.role == Role::Rule;
        let improved = gate::inspectable(self.ticket, Gate::ServiceImproved).is_empty();
        if !by_rule && !improved && self.prng.percent(90) {
            return self.improve();
        }
        let gates = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved];
        let unlucky = !by_rule && self.prng.percent(6);
        let judgements = gates.into_iter().map(|gate| {
            let holds =
                gate::inspectable(self.ticket, gate).is_empty() || (by_rule && gate == Gate::ServiceImproved);
            let passed = holds && !(unlucky && gate == Gate::ServiceImproved);
            Judgement { gate, passed, evidence: (self.seal)(words(self.prng)) }
        });
        let judgements = judgements.collect();
        let units = if unlucky { self.named(100) } else { Vec::new() };
        (inspector, chain::Command::Inspect { judgements, units }.into())
    }

    fn improve(&mut self) -> Step {
        match self.prng.below(10) {
            0 => {
                let command = gate::Command::Waive { gate: Gate::ServiceImproved, reason: self.text() };
                (self.untouched_supervisor(), command.into())
            }
            1..5 => {
                let due_on = add_days(local_date(self.at), 14);
                let plan = MeasurePlan { text: self.text(), owner: "planning".into(), due_on };
                (self.someone(Role::Dispatch), gate::Command::PlanMeasure { plan }.into())
            }
            _ => {
                let command = gate::Command::NoMeasureNeeded { reason: self.text() };
                (self.someone(Role::Dispatch), command.into())
            }
        }
    }

    pub(super) fn report(&mut self) -> Step {
        if let Some(request) = self.ticket.receipts_owed().first().copied() {
            let settled = self.ticket.request(request).is_some_and(|request| request.settled.is_some());
            let kind = if settled { ReceiptKind::Supplementary } else { ReceiptKind::Final };
            let reference = format!("hz-{:08x}", self.prng.below(u32::MAX));
            let command = contact::Command::RecordReceipt { request, kind, content: self.text(), reference };
            return (self.someone(Role::Reporting), command.into());
        }
        let command = chain::Command::Report {
            level: "city".to_owned(),
            summary: self.text(),
            reference: format!("sb-{:08x}", self.prng.below(u32::MAX)),
        };
        (self.judge(Role::Reporting), command.into())
    }

    pub(super) fn assess(&mut self) -> Step {
        let assessor = self.judge(Role::Assessment);
        let by_rule = assessor.role == Role::Rule;
        if !by_rule && self.ticket.round.number < 4 && self.prng.percent(2) {
            return (assessor, chain::Command::RequestFacts { reason: self.text() }.into());
        }
        let (mut verdicts, mut confirmed) = (Vec::new(), Vec::new());
        for unit in self.ticket.involved() {
            if let Some(known) = self.ticket.verdict_on(&unit)
                && (known.carried_out.is_some() || self.prng.percent(60))
            {
                confirmed.push(known.number);
                continue;
            }
            let fine = if self.prng.percent(20) { 5_000 } else { 0 };
            let finding = if by_rule || self.prng.percent(70) {
                Finding::NotAtFault { reason: self.text() }
            } else {
                Finding::AtFault {
                    rule: "考核办法第七条".to_owned(),
                    points: 1 + self.prng.below(5),
                    penalty_fen: fine,
                    because: vec![self.ticket.intake_event],
                    reason: self.text(),
                }
            };
            verdicts.push((unit, finding));
        }
        (assessor, chain::Command::Assess { verdicts, confirmed }.into())
    }

    pub(super) fn close(&mut self) -> Option<Step> {
        let assessor = self.someone(Role::Assessment);
        let late =
            [(ClockKind::Repair, DueReason::LateRepair), (ClockKind::Activation, DueReason::LateInstall)];
        for (kind, reason) in late {
            let breached =
                self.ticket.clock(kind, clock::Subject::Ticket).is_some_and(clock::Clock::is_breached);
            if breached && self.ticket.dues.is_empty() && self.prng.percent(50) {
                let amount_fen = u64::from(self.prng.below(40) + 1) * 50;
                let because = vec![self.ticket.intake_event];
                return Some((assessor, money::Command::Accrue { reason, amount_fen, because }.into()));
            }
        }
        let missing = gate::all_missing(self.ticket);
        match missing.first() {
            None => Some((assessor, chain::Command::Close.into())),
            Some(Missing::MeasureCarriedOut(measure)) => {
                let command = gate::Command::CarryOutMeasure { measure: *measure, evidence: self.text() };
                Some((self.someone(Role::Dispatch), command.into()))
            }
            Some(Missing::Settlement(due)) => Some((assessor, self.settle(*due).into())),
            Some(Missing::FinalVerdict(verdict)) => Some(self.contest(*verdict)),
            Some(Missing::Penalty(verdict)) => {
                let payroll_reference = format!("gz-{:08x}", self.prng.below(u32::MAX));
                let command = verdict::Command::CarryOutPenalty { verdict: *verdict, payroll_reference };
                Some((assessor, command.into()))
            }
            Some(_) => None,
        }
    }

    fn settle(&mut self, due: DueNo) -> money::Command {
        if self.ticket.due(due).is_some_and(|due| due.approved) {
            let reference = format!("tf-{:08x}", self.prng.below(u32::MAX));
            money::Command::Settle { due, settlement: Settlement::Credited, reference }
        } else {
            money::Command::Approve { due }
        }
    }

    fn contest(&mut self, verdict: VerdictNo) -> Step {
        let known = self.ticket.verdict(verdict);
        let Some(known) = known else { return self.call(ContactReason::Callback) };
        if known.appealed {
            let granted = self.prng.percent(30);
            let command = verdict::Command::DecideAppeal { verdict, granted, reason: self.text() };
            return (actor(Role::Assessment, 40 + self.prng.below(3)), command.into());
        }
        let member = self.of_unit(&known.unit);
        let command = match self.prng.below(10) {
            0..5 => verdict::Command::Accept { verdict },
            5 | 6 => verdict::Command::Appeal { verdict, grounds: self.text() },
            _ => return self.call(ContactReason::Callback),
        };
        (member, command.into())
    }

    /// A few come back.
    pub(super) fn after_the_end(&mut self) -> Option<Step> {
        let ended = self.ticket.ended.as_ref()?;
        let comes_back = self.ticket.reopened == 0 && !matches!(ended.how, End::Merged(_));
        if !comes_back || !self.prng.percent(4) {
            return None;
        }
        let command = chain::Command::Reopen { because: ReopenCause::CustomerReturned, reason: self.text() };
        Some((self.someone(Role::Desk), command.into()))
    }
}

//! What the departments would do next, stage by stage.

use jiff::Timestamp;

use super::office::{actor, member, unit_for, words};
use super::{Prng, Proposal, Seal, after, attachment};
use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::{Calendar, add_days, local_date};
use duban_aggregates::ids::{TicketId, UnitId};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::Missing;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::{self, Cause, NamedUnit};
use duban_aggregates::ticket::fault::{self, Fact};
use duban_aggregates::ticket::order::{self, MeasurePlan, NewOrder, Order, Status};
use duban_aggregates::ticket::state::Ticket;
use duban_aggregates::ticket::{Command, clock, contact, install};
use duban_aggregates::words::{
    Answer, ClockKind, ContactReason, Ground, Kind, Milestone, Outcome, Part, PauseCode, Role, Stage,
};

const HOUR: u32 = 3_600;

/// Somebody's next step, without its moment.
type Step = (Actor, Command);

mod judge;

struct Scene<'a> {
    prng: &'a mut Prng,
    ticket: &'a Ticket,
    seal: Seal<'a>,
    /// When the step would be taken.
    at: Timestamp,
}

/// What happens next: what falls due by itself before it, else the step; nothing when the story is over.
pub(super) fn next(
    prng: &mut Prng,
    ticket: &Ticket,
    policy: &Policy,
    calendar: &Calendar,
    seal: Seal<'_>,
) -> Option<Proposal> {
    let at = after(ticket.last_recorded_at, i64::from(wait_seconds(prng, ticket)));
    if let Some(due) = clock::next_step(ticket, policy, calendar).filter(|due| due.from <= at) {
        let at = due.from.max(ticket.last_recorded_at);
        return Some(Proposal {
            at,
            actor: actor(Role::Timer, 0),
            command: clock::Command::Tick(due).into(),
        });
    }
    let mut scene = Scene { prng, ticket, seal, at };
    let (actor, command) = if ticket.is_open() { scene.step()? } else { scene.after_the_end()? };
    Some(Proposal { at, actor, command })
}

/// How long until somebody acts: mostly soon, sometimes far too late.
fn wait_seconds(prng: &mut Prng, ticket: &Ticket) -> u32 {
    if !ticket.is_open() {
        return prng.below(20 * 24 * HOUR);
    }
    let usual = match ticket.stage {
        Stage::Investigate if ticket.kind() == Kind::Install => 10 * HOUR,
        Stage::Investigate | Stage::Dispatch => HOUR / 4,
        Stage::Reply if ticket.kind() == Kind::Fault => 2 * HOUR,
        Stage::Reply => 10 * HOUR,
        Stage::Feedback => 2 * HOUR,
        Stage::Inspect | Stage::Report | Stage::Assess => 12 * HOUR,
        Stage::Close => 30 * HOUR,
    };
    let slow = if prng.percent(4) { 8 } else { 1 };
    1 + prng.below(usual * slow)
}

impl Scene<'_> {
    fn text(&mut self) -> Sealed {
        (self.seal)(words(self.prng))
    }

    fn someone(&mut self, role: Role) -> Actor {
        let number = self.prng.below(6);
        actor(role, number)
    }

    fn of_unit(&mut self, unit: &UnitId) -> Actor {
        let number = self.prng.below(5);
        member(unit.as_str(), number)
    }

    /// A supervisor who only waives and signs off.
    fn untouched_supervisor(&mut self) -> Actor {
        let number = 50 + self.prng.below(3);
        actor(Role::Supervisor, number)
    }

    fn step(&mut self) -> Option<Step> {
        if self.ticket.pause.is_some() {
            return Some(self.while_paused());
        }
        if !self.ticket.contacted && self.prng.percent(60) {
            return Some(self.call(ContactReason::Callback));
        }
        if self.ticket.rejection_consented && self.ticket.stage <= Stage::Dispatch && self.prng.percent(80) {
            return Some(self.reject());
        }
        if self.prng.percent(8)
            && let Some(step) = self.aside()
        {
            return Some(step);
        }
        match self.ticket.stage {
            Stage::Investigate => Some(self.investigate()),
            Stage::Dispatch => Some(self.dispatch()),
            Stage::Reply => Some(self.reply()),
            Stage::Feedback => Some(self.feedback()),
            Stage::Inspect => Some(self.inspect()),
            Stage::Report => Some(self.report()),
            Stage::Assess => Some(self.assess()),
            Stage::Close => self.close(),
        }
    }

    fn while_paused(&mut self) -> Step {
        if self.prng.percent(60) {
            (self.someone(Role::Dispatch), clock::Command::Resume.into())
        } else {
            self.call(ContactReason::Question)
        }
    }

    fn call(&mut self, reason: ContactReason) -> Step {
        let command = contact::Command::ContactCustomer {
            reason,
            gm_hotline: reason == ContactReason::Urge && self.prng.percent(10),
            said: self.text(),
            answer: Some(self.text()),
            recording: Some(attachment(self.prng)),
            occurred_at: None,
        };
        (self.someone(Role::Desk), command.into())
    }

    /// What happens beside the chain.
    fn aside(&mut self) -> Option<Step> {
        let early = self.ticket.stage <= Stage::Reply;
        match self.prng.below(14) {
            0..3 => Some(self.call(ContactReason::Urge)),
            3 => Some(self.call(ContactReason::Supplement)),
            4 => {
                let attachment = attachment(self.prng);
                Some((
                    self.someone(Role::Desk),
                    duban_aggregates::ticket::intake::Command::Attach { attachment }.into(),
                ))
            }
            5 if self.ticket.kind() != Kind::Complaint && early => {
                let command = contact::Command::NotifyDelay {
                    expected_at: after(self.at, i64::from(24 * HOUR)),
                    reason: self.text(),
                    recording: Some(attachment(self.prng)),
                    occurred_at: None,
                };
                Some((self.someone(Role::Desk), command.into()))
            }
            6..9 if matches!(self.ticket.stage, Stage::Investigate | Stage::Reply) => {
                let codes = [
                    PauseCode::Customer,
                    PauseCode::ThirdParty,
                    PauseCode::ForceMajeure,
                    PauseCode::Resources,
                ];
                let code = *self.prng.pick(&codes.each_ref());
                let evidence = self.text();
                let command = clock::Command::Pause { code, evidence, attachment: None, resume_by: None };
                Some((self.someone(Role::Desk), command.into()))
            }
            9 if early && self.prng.percent(30) => {
                let command =
                    chain::Command::Withdraw { recording: attachment(self.prng), reason: self.text() };
                Some((self.someone(Role::Desk), command.into()))
            }
            10 if self.ticket.stage <= Stage::Dispatch && self.prng.percent(40) => Some(self.reject()),
            11 if early && self.prng.percent(10) => {
                let evidence = chain::MergeEvidence { open: true, same_customer: true, same_service: true };
                let command = chain::Command::Merge { into: TicketId(self.prng.uuid()), evidence };
                Some((self.someone(Role::Desk), command.into()))
            }
            12 => {
                let order = self.ticket.orders.iter().find(|order| order.is_open())?.number;
                let command = clock::Command::Urge { order, words: self.text() };
                Some((self.someone(Role::Supervisor), command.into()))
            }
            _ => None,
        }
    }

    fn reject(&mut self) -> Step {
        let reason = self.text();
        if !self.ticket.rejection_consented {
            return (self.someone(Role::Supervisor), chain::Command::ConsentToRejection { reason }.into());
        }
        let recording = attachment(self.prng);
        let referred_to = self.text();
        (self.someone(Role::Desk), chain::Command::Reject { referred_to, reason, recording }.into())
    }

    fn milestone(&mut self, milestone: Milestone) -> Step {
        let fact = install::Fact::MilestoneReached { milestone };
        let command = install::Command::RecordFact { fact, occurred_at: None, evidence: None };
        (self.someone(Role::Investigation), command.into())
    }

    fn named(&mut self, share: u32) -> Vec<NamedUnit> {
        if !self.prng.percent(share) {
            return Vec::new();
        }
        let unit = self.prng.pick(&["planning", "resources", "legal", "power", "cable-contractor"]);
        vec![NamedUnit { unit: unit.into(), reason: self.text() }]
    }

    fn investigate(&mut self) -> Step {
        if self.ticket.kind() == Kind::Install {
            let steps = [Milestone::Accepted, Milestone::Surveyed, Milestone::ResourcesAssigned];
            let reached = &self.ticket.install.milestones;
            if let Some(next) = steps.into_iter().find(|milestone| !reached.contains_key(milestone)) {
                return self.milestone(next);
            }
        } else if self.ticket.is_urgent() && self.prng.percent(80) {
            let (facts, orders) = (self.text(), self.orders());
            return (self.someone(Role::Desk), chain::Command::DispatchUrgent { facts, orders }.into());
        }
        let cause = match self.ticket.kind() {
            Kind::Install => Cause::NewOrder,
            _ if self.prng.percent(15) => Cause::NotYetKnown,
            _ => Cause::Known(self.text()),
        };
        let units = self.named(12);
        let facts = self.text();
        (self.someone(Role::Investigation), chain::Command::Investigate { cause, facts, units }.into())
    }

    fn order(&mut self, part: Part, taken: &[&str]) -> Option<(NewOrder, &'static str)> {
        let unit = unit_for(self.prng, &self.ticket.intake.category);
        let due = self.prng.percent(5).then(|| after(self.at, 3 * i64::from(HOUR) / 4));
        let order = NewOrder { part, unit: unit.into(), task: self.text(), due };
        (!taken.contains(&unit)).then_some((order, unit))
    }

    fn orders(&mut self) -> Vec<NewOrder> {
        let mut orders = Vec::new();
        let mut taken = Vec::new();
        let assists = if self.prng.percent(30) { 1 + self.prng.below(2) } else { 0 };
        for number in 0..=assists {
            let part = if number == 0 { Part::Lead } else { Part::Assist };
            if let Some((order, unit)) = self.order(part, &taken) {
                orders.push(order);
                taken.push(unit);
            }
        }
        orders
    }

    fn dispatch(&mut self) -> Step {
        let orders = self.orders();
        (self.someone(Role::Dispatch), chain::Command::Dispatch { orders }.into())
    }

    fn reply(&mut self) -> Step {
        let ticket = self.ticket;
        let open: Vec<&Order> = ticket.orders.iter().filter(|order| order.is_open()).collect();
        if let Some(order) = open.iter().find(|order| order.status == Status::ReturnAsked) {
            return self.decide_return(order);
        }
        if let Some(order) = open.iter().find(|order| order.status == Status::Issued) {
            let fresh = self.at.duration_since(order.issued_at).as_hours() < 4;
            if fresh && ticket.round.returns < 3 && self.prng.percent(12) {
                let command = order::Command::RequestReturn { order: order.number, reason: self.text() };
                return (self.of_unit(&order.unit), command.into());
            }
            return (self.of_unit(&order.unit), order::Command::Accept { order: order.number }.into());
        }
        if let Some(order) = open.iter().find(|order| order.extension_asked.is_some()) {
            let order = order.number;
            let command = if self.prng.percent(70) {
                order::Command::GrantExtension { order, until: None }
            } else {
                order::Command::RefuseExtension { order, reason: self.text() }
            };
            return (self.someone(Role::Dispatch), command.into());
        }
        let Some(lead) = ticket.lead() else { return self.call(ContactReason::Callback) };
        if let Some(assist) = open.iter().find(|order| order.part == Part::Assist) {
            return self.reply_of_assist(lead, assist);
        }
        self.reply_of_lead(lead)
    }

    fn decide_return(&mut self, order: &Order) -> Step {
        let role = if order.return_number >= 3 { Role::Supervisor } else { Role::Dispatch };
        let number = order.number;
        let open = self.ticket.orders.iter().filter(|other| other.is_open());
        let taken: Vec<&str> = open.map(|other| other.unit.as_str()).collect();
        let command = match self.order(order.part, &taken) {
            Some((new, _)) if self.prng.percent(75) => {
                order::Command::GrantReturn { order: number, replacement: Some(new) }
            }
            _ => order::Command::RefuseReturn { order: number, reason: self.text() },
        };
        (self.someone(role), command.into())
    }

    fn reply_of_assist(&mut self, lead: &Order, assist: &Order) -> Step {
        let order = assist.number;
        if lead.waits_for.is_none() && self.prng.percent(40) {
            let command = order::Command::WaitForAssist { order: lead.number, assist: order };
            return (self.of_unit(&lead.unit), command.into());
        }
        if self.prng.percent(6) {
            let command = order::Command::Release { order, reason: self.text() };
            return (self.someone(Role::Dispatch), command.into());
        }
        let worker = self.of_unit(&assist.unit);
        let resolution = self.text();
        let done_by = vec![worker.id.clone()];
        let command = order::Command::Reply {
            order,
            resolution,
            cause: None,
            measures: Vec::new(),
            done_by,
            not_provided: None,
        };
        (worker, command.into())
    }

    fn reply_of_lead(&mut self, lead: &Order) -> Step {
        if let Some(missing) = self.ticket.service_missing().first() {
            return self.prove_service(missing, lead);
        }
        let order = lead.number;
        let worker = self.of_unit(&lead.unit);
        if lead.replies == 0 && self.prng.percent(5) {
            let running = self.ticket.clock(ClockKind::Order, clock::Subject::Order(order));
            if let Some(due) = running.filter(|clock| clock.is_running()).map(|clock| clock.start.due) {
                let until = after(due, i64::from(12 * HOUR));
                let command = order::Command::AskExtension { order, until, reason: self.text() };
                return (worker, command.into());
            }
        }
        let cause = self.ticket.cause.is_none().then(|| Cause::Known(self.text()));
        let measures = if self.ticket.measures.is_empty() && self.prng.percent(30) {
            let due_on = add_days(local_date(self.at), 7);
            vec![MeasurePlan { text: self.text(), owner: lead.unit.clone(), due_on }]
        } else {
            Vec::new()
        };
        let done_by = vec![worker.id.clone()];
        let resolution = self.text();
        let not_provided = None;
        (worker, order::Command::Reply { order, resolution, cause, measures, done_by, not_provided }.into())
    }

    fn prove_service(&mut self, missing: &Missing, lead: &Order) -> Step {
        let worker = self.of_unit(&lead.unit);
        if *missing == Missing::Activation {
            if let Some(step) = self.visit(&worker) {
                return step;
            }
            let visited = self.ticket.install.milestones.contains_key(&Milestone::Visited);
            return self.milestone(if visited { Milestone::Activated } else { Milestone::Visited });
        }
        let fact = match missing {
            Missing::ServiceUp if self.prng.percent(30) => Fact::Repaired { work: self.text() },
            Missing::ServiceUp if self.ticket.intake.category == "fault.restore_after_arrears" => {
                if self.ticket.clock(ClockKind::Restore, clock::Subject::Ticket).is_none() {
                    Fact::ArrearsPaid { reference: format!("pay-{:08x}", self.prng.below(u32::MAX)) }
                } else {
                    Fact::ServiceUp
                }
            }
            Missing::ServiceUp => Fact::ServiceUp,
            _ => Fact::LineTested {
                passed: self.prng.percent(85),
                reference: format!("112-{:08x}", self.prng.below(u32::MAX)),
                result: self.text(),
            },
        };
        let command = fault::Command::RecordFact { fact, occurred_at: None, evidence: None };
        (worker, command.into())
    }

    /// An install's visit: an appointment is made, and kept or missed.
    fn visit(&mut self, worker: &Actor) -> Option<Step> {
        let known = self.ticket.install.appointments.last();
        let appointment =
            duban_aggregates::ids::AppointmentNo(u32::try_from(self.ticket.install.appointments.len()).ok()?);
        let from = after(self.at, i64::from(6 * HOUR));
        let until = after(from, i64::from(2 * HOUR));
        let Some(known) = known else {
            return Some((
                self.someone(Role::Desk),
                install::Command::MakeAppointment { from, until }.into(),
            ));
        };
        match known.outcome {
            Some(Outcome::Kept) => None,
            Some(Outcome::MissedByOperator | Outcome::MissedByCustomer) => {
                let reason = self.text();
                let command = install::Command::Reschedule { appointment, from, until, reason };
                Some((self.someone(Role::Desk), command.into()))
            }
            None if self.at < known.from => Some(self.call(ContactReason::Callback)),
            None => {
                let outcome = match self.prng.below(20) {
                    0 => Outcome::MissedByOperator,
                    1 => Outcome::MissedByCustomer,
                    _ => Outcome::Kept,
                };
                let fact = install::Fact::AppointmentEnded { appointment, outcome };
                let evidence = Some(self.text());
                let command = install::Command::RecordFact { fact, occurred_at: None, evidence };
                Some((worker.clone(), command.into()))
            }
        }
    }

    fn feedback(&mut self) -> Step {
        let desk = self.someone(Role::Desk);
        let attempts = self.ticket.round.attempts_made();
        if attempts >= 4 && self.prng.percent(60) {
            let command = chain::Command::SignOffUnreachable { reason: self.text() };
            return (self.untouched_supervisor(), command.into());
        }
        if (attempts > 0 && self.prng.percent(70)) || self.prng.percent(4) {
            return (desk, chain::Command::AttemptContact { recording: attachment(self.prng) }.into());
        }
        if self.ticket.dissatisfied_rounds >= 2 && self.prng.percent(50) {
            let command = chain::Command::ConcludeFeedback {
                ground: Ground::RemedyRefused,
                offer: self.text(),
                appeal_explained: attachment(self.prng),
            };
            return (self.untouched_supervisor(), command.into());
        }
        if self.ticket.round.sent_back == 0 && self.prng.percent(4) {
            let command = chain::Command::SendReplyBack { assists: Vec::new(), reason: self.text() };
            return (desk, command.into());
        }
        let answer = match self.prng.below(20) {
            0..16 => Answer::Satisfied,
            16 | 17 => Answer::BasicallySatisfied,
            _ => Answer::Dissatisfied,
        };
        let command = chain::Command::RecordFeedback {
            answer,
            words: self.text(),
            recording: Some(attachment(self.prng)),
            investigate_again: self.prng.percent(25),
        };
        (desk, command.into())
    }
}

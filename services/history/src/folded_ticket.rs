//! A ticket as readers see it: the rules' own state, and what they have no use for and only its events say.

use std::collections::BTreeMap;

use duban_aggregates::ids::{MeasureNo, OrderNo, VerdictNo};
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::clock::{Clock, Status as ClockStands};
use duban_aggregates::ticket::custody::Held;
use duban_aggregates::ticket::gate::{self, Certificate};
use duban_aggregates::ticket::intake::{self, Attachment};
use duban_aggregates::ticket::order::{self, Status as OrderStands};
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::verdict::{self, Finding, Verdict};
use duban_aggregates::ticket::{self, Ticket, chain};
use duban_aggregates::words::{FeedbackPassed, Gate};
use duban_codec::Wire;

use duban_log::Recorded;
use duban_projections::{Kept, Row};
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as pb;
use jiff::Timestamp;

use crate::error::HistoryError;
use crate::text_opener::TextOpener;
use crate::ticket_summary::ticket_summary;

/// A ticket, and what only its events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedTicket {
    ticket: Ticket,
    only_in_events: OnlyInEvents,
}

/// What the fold has no use for and readers have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OnlyInEvents {
    attachments: Vec<Attachment>,
    tasks: BTreeMap<OrderNo, Sealed>,
    measures: BTreeMap<MeasureNo, Sealed>,
    errata: Vec<VerdictNo>,
    certificate: Option<Certificate>,
    attempts: u32,
    round: u32,
}

impl FoldedTicket {
    /// The ticket.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The same after one more event; nothing comes of an event before the intake.
    ///
    /// # Errors
    /// [`HistoryError::Unreadable`], where it cannot be read.
    pub fn after(folded: Option<Self>, recorded: &Recorded) -> Result<Option<Self>, HistoryError> {
        let unreadable = |error: duban_projections::Undecodable| HistoryError::unreadable(recorded, &error);
        let event = duban_projections::ticket_event(recorded).map_err(unreadable)?;
        let meta = duban_projections::meta(recorded).map_err(unreadable)?;
        let (ticket, only_in_events) = match folded {
            Some(Self { ticket, only_in_events }) => (Some(ticket), only_in_events),
            None => (None, OnlyInEvents::default()),
        };
        let Some(ticket) = ticket::evolve(ticket, &event, &meta) else { return Ok(None) };
        let mut folded = Self { ticket, only_in_events };
        folded.keep(&event);
        Ok(Some(folded))
    }

    fn keep(&mut self, event: &ticket::Event) {
        if self.ticket.round.number != self.only_in_events.round {
            self.only_in_events.round = self.ticket.round.number;
            self.only_in_events.attempts = 0;
        }
        match event {
            ticket::Event::Intake(intake::Event::TakenIn(intake)) => {
                self.only_in_events.attachments.clone_from(&intake.attachments);
            }
            ticket::Event::Intake(intake::Event::Attached { attachment }) => {
                self.only_in_events.attachments.push(attachment.clone());
            }
            ticket::Event::Order(order::Event::Issued { order, task, .. }) => {
                self.only_in_events.tasks.insert(*order, task.clone());
            }
            ticket::Event::Gate(gate::Event::MeasurePlanned { measure, text, .. }) => {
                self.only_in_events.measures.insert(*measure, text.clone());
            }
            ticket::Event::Verdict(verdict::Event::ErratumRecorded { verdict, .. }) => {
                self.only_in_events.errata.push(*verdict);
            }
            ticket::Event::Chain(chain::Event::Closed { certificate }) => {
                self.only_in_events.certificate = Some(certificate.clone());
            }
            // Superseded, never erased: the events keep it.
            ticket::Event::Chain(chain::Event::Reopened { .. }) => self.only_in_events.certificate = None,
            ticket::Event::Chain(chain::Event::ContactAttempted { .. }) => self.only_in_events.attempts += 1,
            _ => {}
        }
    }

    /// What readers see, as of a moment: custody is counted up to it.
    #[must_use]
    pub fn view(&self, opener: &TextOpener, moment: Timestamp) -> api::Ticket {
        let ticket = &self.ticket;
        let intake = &ticket.intake;
        api::Ticket {
            summary: Some(ticket_summary(&Row::of(ticket, Kept::NEW, None))),
            description: opener.open(&intake.description),
            remedy: intake.remedy.as_ref().and_then(|remedy| opener.open(remedy)),
            happened_at: intake.happened_at.put(),
            first_owner: intake.first_owner.put(),
            customer: intake.customer.as_ref().map(|customer| api::CustomerView {
                customer_id: customer.id.to_string(),
                name: opener.open(&customer.name),
                phone: opener.open(&customer.phone),
                address: customer.address.as_ref().and_then(|address| opener.open(address)),
                tier: customer.tier.put(),
                segment: customer.segment.put(),
                erased: opener.is_erased(customer.id),
            }),
            service: intake.service.as_ref().map(|service| api::ServiceView {
                number: opener.open(&service.number),
                product: service.product.put(),
                monthly_rent_fen: service.monthly_rent_fen,
            }),
            reporter: intake.reporter.as_ref().map(|reporter| api::ReporterView {
                kind: reporter.kind.put(),
                name: reporter.known.as_ref().and_then(|known| opener.open(&known.name)),
                phone: reporter.known.as_ref().and_then(|known| opener.open(&known.phone)),
                relation: reporter.relation.as_ref().and_then(|relation| opener.open(relation)),
                authority: reporter.authority.put(),
            }),
            attachments: self.only_in_events.attachments.put(),
            mass_outage: intake.mass_outage,
            linked: intake.linked.put(),
            install: intake.install.put(),
            source: intake.source.put(),
            merged_into: match ticket.ended.as_ref().map(|ended| &ended.how) {
                Some(End::Merged(into)) => Some(into.to_string()),
                _ => None,
            },
            reopened: ticket.reopened,
            last_recorded_at: ticket.last_recorded_at.put(),
            missing: missing(ticket),
            round: Some(self.round()),
            orders: ticket.orders.iter().map(|order| self.order(order, opener)).collect(),
            clocks: ticket.clocks.iter().map(clock).collect(),
            pause: ticket.pause.as_ref().map(|pause| api::PauseView {
                code: pause.code.put(),
                since: pause.since.put(),
                resume_by: pause.resume_by.put(),
            }),
            custody: custody(ticket, moment),
            gates: self.gates(),
            requests: ticket.requests.iter().map(request).collect(),
            measures: ticket.measures.iter().map(|measure| self.measure(measure, opener)).collect(),
            verdicts: ticket.verdicts.iter().map(|verdict| verdict_view(verdict, opener)).collect(),
            dues: (1..).zip(&ticket.dues).map(|(number, it)| due(number, it)).collect(),
            escalations: (1..).zip(&ticket.escalations).map(|(number, it)| escalation(number, it)).collect(),
            milestones: milestones(ticket),
            appointments: (1..)
                .zip(&ticket.install.appointments)
                .map(|(number, it)| appointment(number, it))
                .collect(),
            urges: ticket.urges,
            delays_notified: ticket.delays_notified,
            service_up_at: ticket.fault.service_up.map(|(at, _)| at).put(),
            last_test_passed: ticket.fault.last_test.map(|(passed, _)| passed),
            customers_own_terminal: ticket.fault.customers_own_terminal,
            certificate: self.only_in_events.certificate.put(),
            errata: self.only_in_events.errata.put(),
            problem: ticket.problem.put(),
            notices: ticket.notices.iter().map(ToString::to_string).collect(),
            merged_from: ticket.merged_from.iter().map(ToString::to_string).collect(),
            involved: ticket.involved().iter().map(ToString::to_string).collect(),
            rejection_consented: ticket.rejection_consented,
            open_finding: ticket.finding.put(),
            as_of: moment.put(),
        }
    }

    fn round(&self) -> api::RoundView {
        let round = &self.ticket.round;
        api::RoundView {
            number: round.number,
            lead: round.lead.put(),
            returns: round.returns,
            answer: round.answer.map_or(pb::Answer::Unspecified.into(), |(answer, _)| answer.put()),
            passed: round
                .passed
                .map_or(pb::FeedbackPassed::Unspecified.into(), |(passed, _): (FeedbackPassed, _)| {
                    passed.put()
                }),
            attempts: self.only_in_events.attempts,
            not_provided: round
                .not_provided
                .map_or(pb::NotProvidedGround::Unspecified.into(), |known| known.ground.put()),
            not_provided_consented: round.not_provided_consented().is_some(),
        }
    }

    fn order(&self, order: &order::Order, opener: &TextOpener) -> api::OrderView {
        let its = |clock: &&Clock| {
            clock.is_live()
                && clock.start.subject == duban_aggregates::ticket::clock::Subject::Order(order.number)
        };
        api::OrderView {
            order: order.number.0,
            round: order.round,
            part: order.part.put(),
            unit: order.unit.to_string(),
            status: order_status(order.status).into(),
            task: self.only_in_events.tasks.get(&order.number).and_then(|task| opener.open(task)),
            issued_at: order.issued_at.put(),
            due: self.ticket.clocks.iter().find(its).map(|clock| clock.start.due).put(),
            waits_for: order.waits_for.put(),
            extension_asked_until: order.extension_asked.put(),
            replies: order.replies,
        }
    }

    fn measure(&self, measure: &gate::Measure, opener: &TextOpener) -> api::MeasureView {
        api::MeasureView {
            measure: measure.number.0,
            text: self.only_in_events.measures.get(&measure.number).and_then(|text| opener.open(text)),
            owner: measure.owner.to_string(),
            due_on: measure.due_on.put(),
            carried_out: measure.carried_out.is_some(),
            failed: measure.failed.is_some(),
        }
    }

    fn gates(&self) -> Vec<api::GateView> {
        let view = |gate: Gate| {
            let missing = gate::missing(&self.ticket, gate);
            let held = self
                .only_in_events
                .certificate
                .iter()
                .flat_map(|certificate| &certificate.gates)
                .find(|held| held.gate == gate);
            api::GateView {
                gate: gate.put(),
                holds: missing.is_empty(),
                waived: self.ticket.waived.contains_key(&gate),
                proof: held.map(|held| held.proof.put()).unwrap_or_default(),
                missing: missing.iter().map(ToString::to_string).collect(),
            }
        };
        Gate::ALL.into_iter().map(view).collect()
    }
}

/// How an order stands, as answers say it.
#[must_use]
pub fn order_status(status: OrderStands) -> api::OrderStatus {
    match status {
        OrderStands::Issued => api::OrderStatus::Issued,
        OrderStands::Accepted => api::OrderStatus::Accepted,
        OrderStands::ReturnAsked => api::OrderStatus::ReturnAsked,
        OrderStands::Replied => api::OrderStatus::Replied,
        OrderStands::Returned => api::OrderStatus::Returned,
        OrderStands::Released => api::OrderStatus::Released,
        OrderStands::Recalled => api::OrderStatus::Recalled,
    }
}

/// What closing still lacks, each thing once; nothing after an end.
fn missing(ticket: &Ticket) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    if ticket.is_open() {
        for lacking in gate::all_missing(ticket).iter().map(ToString::to_string) {
            if !missing.contains(&lacking) {
                missing.push(lacking);
            }
        }
    }
    missing
}

/// How a clock stands, as answers say it, and when it was met.
pub(super) fn clock_status(status: ClockStands) -> (api::ClockStatus, Option<Timestamp>) {
    match status {
        ClockStands::Running => (api::ClockStatus::Running, None),
        ClockStands::Paused { .. } => (api::ClockStatus::Paused, None),
        ClockStands::Met { at } => (api::ClockStatus::Met, Some(at)),
        ClockStands::Breached { withdrawn: false } => (api::ClockStatus::Breached, None),
        ClockStands::Breached { withdrawn: true } => (api::ClockStatus::BreachWithdrawn, None),
        ClockStands::Cancelled => (api::ClockStatus::Cancelled, None),
    }
}

pub(super) fn clock(clock: &Clock) -> api::ClockView {
    let (status, met_at) = clock_status(clock.status);
    let start = &clock.start;
    api::ClockView {
        clock: start.clock.0,
        kind: start.kind.put(),
        subject: start.subject.put(),
        status: status.into(),
        started_at: start.started_at.put(),
        due: start.due.put(),
        warn_at: start.warn_at.put(),
        warned: clock.warned,
        met_at: met_at.put(),
        article: start.article.clone(),
        provisional: start.provisional,
        policy: start.policy.clone(),
        calendar: start.calendar.clone(),
    }
}

/// Who had it, up to a moment.
fn custody(ticket: &Ticket, moment: Timestamp) -> Vec<api::CustodyStretch> {
    let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    let stretch = |held: Held| api::CustodyStretch {
        holder: held.holder.name().to_owned(),
        from: at(held.from_second).put(),
        until: (!held.is_open).then(|| at(held.until_second)).put(),
        seconds: u64::try_from(held.seconds()).unwrap_or(0),
    };
    ticket.custody.up_to(moment).into_iter().map(stretch).collect()
}

fn request(request: &duban_aggregates::ticket::contact::Request) -> api::RequestView {
    api::RequestView { request: request.outside.put(), owed: request.is_owed() }
}

pub(super) fn verdict_view(verdict: &Verdict, opener: &TextOpener) -> api::VerdictView {
    let status = match verdict {
        verdict if verdict.reversed => api::VerdictStatus::Reversed,
        verdict if verdict.appealed => api::VerdictStatus::Appealed,
        verdict if verdict.is_final => api::VerdictStatus::Final,
        _ => api::VerdictStatus::Given,
    };
    let (at_fault, rule, points, penalty_fen, reason) = match &verdict.finding {
        Finding::AtFault { rule, points, penalty_fen, reason, .. } => {
            (true, rule.clone(), *points, *penalty_fen, reason)
        }
        Finding::NotAtFault { reason } => (false, String::new(), 0, 0, reason),
    };
    api::VerdictView {
        verdict: verdict.number.0,
        unit: verdict.unit.to_string(),
        status: status.into(),
        at_fault,
        rule,
        points,
        penalty_fen,
        reason: opener.open(reason),
        carried_out: verdict.carried_out.is_some() || (verdict.is_final && !verdict.finding.has_penalty()),
    }
}

fn due(number: u32, due: &duban_aggregates::ticket::money::Due) -> api::DueView {
    api::DueView {
        due: number,
        reason: due.reason.put(),
        amount_fen: due.amount_fen,
        approved: due.approved,
        settled: due.settled.is_some(),
        cancelled: due.cancelled.is_some(),
    }
}

fn escalation(number: u32, escalation: &duban_aggregates::ticket::clock::Escalation) -> api::EscalationView {
    let status = match escalation.issued {
        None => api::EscalationStatus::Proposed,
        Some(true) => api::EscalationStatus::Issued,
        Some(false) => api::EscalationStatus::Declined,
    };
    api::EscalationView {
        escalation: number,
        clock: escalation.clock.0,
        rung: escalation.rung.put(),
        status: status.into(),
    }
}

fn milestones(ticket: &Ticket) -> Vec<api::MilestoneView> {
    let view = |(milestone, (at, _)): (&duban_aggregates::words::Milestone, &(Timestamp, _))| {
        api::MilestoneView { milestone: milestone.put(), reached_at: at.put() }
    };
    ticket.install.milestones.iter().map(view).collect()
}

fn appointment(
    number: u32,
    appointment: &duban_aggregates::ticket::install::Appointment,
) -> api::AppointmentView {
    api::AppointmentView {
        appointment: number,
        from: appointment.from.put(),
        until: appointment.until.put(),
        outcome: appointment
            .outcome
            .map_or(pb::AppointmentOutcome::Unspecified.into(), |outcome| outcome.put()),
        missed_by_operator: appointment.missed_by_operator,
    }
}

//! A 12315 complaint about a missed install visit (domain.md section 11, trace 2): its chain, appointment and receipt.

use duban_client::Client;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::TicketState;
use duban_proto::event::v1::event::Payload;
use duban_proto::event::v1::{self as ev, Answer, ClockKind, Milestone, OrderPart, ReceiptKind};
use tonic::Code;

use super::DemoError;
use super::scene::{
    Scene, ask, at_fault, judgements, known, moment, not_at_fault, order, recording, shanghai,
};
use crate::walk::walk;

/// The customer's phone.
pub(crate) const PHONE: &str = "13900000226";
/// The customer's name.
pub(crate) const NAME: &str = "样例客户乙";

fn customer() -> api::CustomerInput {
    api::CustomerInput {
        customer_id: None,
        name: NAME.into(),
        phone: PHONE.into(),
        address: Some("样例市样例区样例路2号".into()),
        tier: ev::Tier::Standard.into(),
        segment: ev::Segment::Public.into(),
    }
}

fn area() -> ev::Area {
    ev::Area {
        province: "henan".into(), city: "样例市".into(), district: "样例区".into(), rural: false
    }
}

/// The install whose visit the operator missed.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn missed_visit(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    scene.until("2026-09-14T10:00:00")?;
    let request = ask!(
        scene,
        TakeInRequest {
            kind: ev::TicketKind::Install.into(),
            channel: ev::Channel::Counter.into(),
            category: "install.broadband.new".into(),
            severity: ev::Severity::Minor.into(),
            description: "新装宽带".into(),
            remedy: None,
            happened_at: None,
            first_owner: None,
            customer: Some(customer()),
            service: Some(api::ServiceInput {
                number: "ad0000226".into(),
                product: ev::Product::Broadband.into(),
                monthly_rent_fen: 9_900,
            }),
            area: Some(area()),
            requests: Vec::new(),
            attachments: Vec::new(),
            mass_outage: false,
            reporter: None,
            linked: None,
            install: Some(ev::InstallOrder { fees_fen: 10_000, promised_on: Some("2026-09-25".into()) }),
        }
    );
    scene.done(scene.client.desk()?.take_in(request).await)?;

    // Milestones come in order.
    let request = ask!(
        scene,
        ReachMilestoneRequest { milestone: Milestone::Activated.into(), occurred_at: None, evidence: None }
    );
    let answer = scene.client.install("install-crew")?.reach_milestone(request).await;
    scene.refused(answer, Code::FailedPrecondition, "MILESTONE_OUT_OF_ORDER")?;
    for milestone in [Milestone::Accepted, Milestone::Surveyed, Milestone::ResourcesAssigned] {
        scene.pass(1, 0);
        let request = ask!(
            scene,
            ReachMilestoneRequest { milestone: milestone.into(), occurred_at: None, evidence: None }
        );
        scene.done(scene.client.install("install-crew")?.reach_milestone(request).await)?;
    }
    let (from, until) = (shanghai("2026-09-17T14:00:00")?, shanghai("2026-09-17T16:00:00")?);
    let request =
        ask!(scene, MakeAppointmentRequest { from: Some(moment(from)), until: Some(moment(until)) });
    scene.done(scene.client.install("install-crew")?.make_appointment(request).await)?;
    scene.until("2026-09-17T16:30:00")?;
    let request = ask!(
        scene,
        EndAppointmentRequest {
            appointment: 1,
            outcome: ev::AppointmentOutcome::MissedByOperator.into(),
            occurred_at: None,
            evidence: Some("装维人员未到场，客户等候两小时".into()),
        }
    );
    scene.done(scene.client.install("install-crew")?.end_appointment(request).await)?;
    let state = scene.state().await?;
    scene.expect(
        state.appointments.iter().any(|made| made.missed_by_operator == 1),
        "the visit was missed by the operator",
    )
}

/// A moment after the warning of 12315's limit, which falls at four fifths of its time.
pub(crate) const AFTER_THE_WARNING: &str = "2026-09-28T09:00:00";
/// When 12315's limit ends: 24:00 of the seventh working day.
const DUE: &str = "2026-09-30T00:00:00";
/// A second later.
pub(crate) const JUST_TOO_LATE: &str = "2026-09-30T00:00:01";

/// The complaint, up to where the unit has its order and lets it lie.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn handed_over(scene: &mut Scene<'_>, install: &str) -> Result<(), DemoError> {
    taken_in(scene, install).await?;
    dispatched(scene).await
}

/// The rest of it, from the late reply to the certificate.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn play(scene: &mut Scene<'_>, second_assessor: &Client) -> Result<(), DemoError> {
    receipt_before_report(scene).await?;
    appeal(scene, second_assessor).await
}

/// 12315's clock on the complaint.
pub(crate) struct Limit {
    ticket: String,
    clock: u32,
    due: prost_types::Timestamp,
}

impl Limit {
    /// Reads it from the ticket.
    ///
    /// # Errors
    /// [`DemoError`] where there is none, or its deadline is another.
    pub(crate) async fn of(scene: &Scene<'_>) -> Result<Self, DemoError> {
        let due = moment(shanghai(DUE)?);
        let state = scene.state().await?;
        let outside = state.clocks.iter().find(|clock| clock.kind() == ClockKind::Outside);
        scene
            .expect(outside.is_some_and(|clock| clock.due == Some(due)), "12315's clock runs to its limit")?;
        let clock = outside.map_or(0, |clock| clock.clock);
        Ok(Self { ticket: scene.ticket.clone(), clock, due })
    }

    /// Is this its warning?
    pub(crate) fn is_warned_by(&self, event: &ev::Event) -> bool {
        self.is_of(event)
            && matches!(&event.payload, Some(Payload::ClockWarned(it)) if it.clock == self.clock)
    }

    /// Is this its breach?
    pub(crate) fn is_breached_by(&self, event: &ev::Event) -> bool {
        self.is_of(event)
            && matches!(&event.payload, Some(Payload::ClockBreached(it)) if it.clock == self.clock)
    }

    fn is_of(&self, event: &ev::Event) -> bool {
        event.stream.ends_with(&self.ticket)
    }

    /// An event of it in words.
    pub(crate) fn told(&self, event: &ev::Event) -> String {
        let local =
            |at: &Option<prost_types::Timestamp>| at.as_ref().map(super::show::local).unwrap_or_default();
        let (happened, recorded) = (local(&event.occurred_at), local(&event.recorded_at));
        format!("{} of 12315's clock, happened {happened}, recorded {recorded}", event.r#type)
    }

    /// The warning has fallen before the deadline, once, and nothing worse.
    ///
    /// # Errors
    /// [`DemoError`] where it is not so.
    pub(crate) async fn warned(&self, scene: &Scene<'_>, warned: &ev::Event) -> Result<(), DemoError> {
        let events = self.events(scene).await?;
        let warnings: Vec<_> = events.iter().filter(|event| self.is_warned_by(event)).collect();
        scene.expect(warnings == [warned], "12315's clock is warned once, and the monitor is told so")?;
        let before = warned.occurred_at.is_some_and(|at| at.seconds < self.due.seconds);
        scene.expect(before, "the warning falls before the deadline")?;
        let breached = events.iter().any(|event| self.is_breached_by(event));
        scene.expect(!breached, "12315's clock is not breached before its deadline")
    }

    /// What stands there when nobody has asked the server for anything since it is ready: the breach, once, by the
    /// timer, stamped with the moment at which the server was down.
    ///
    /// # Errors
    /// [`DemoError`] where it is not so.
    pub(crate) async fn breached_while_down(&self, scene: &Scene<'_>) -> Result<ev::Event, DemoError> {
        let events = self.events(scene).await?;
        let mut breaches = events.into_iter().filter(|event| self.is_breached_by(event));
        let breach = breaches.next().unwrap_or_default();
        let alone = breaches.next().is_none();
        scene.expect(self.is_breached_by(&breach), "the breach is there as soon as the server is ready")?;
        scene.expect(alone, "the breach is there once")?;
        scene.expect(breach.occurred_at == Some(self.due), "the breach carries the due moment")?;
        let later = breach.recorded_at == Some(moment(shanghai(JUST_TOO_LATE)?));
        scene.expect(later, "the breach was recorded when the server was started again")?;
        let actor = breach.metadata.as_ref().map_or("", |metadata| metadata.actor_id.as_str());
        scene.expect(actor == "timer", "the breach happened by itself")?;
        Ok(breach)
    }

    async fn events(&self, scene: &Scene<'_>) -> Result<Vec<ev::Event>, DemoError> {
        let events = super::show::events(scene.client, &scene.ticket, "").await?;
        Ok(events.into_iter().filter_map(|shown| shown.event).collect())
    }
}

/// Handed over on a Friday, with seven working days over the Mid-Autumn holiday and a shifted Sunday.
async fn taken_in(scene: &mut Scene<'_>, install: &str) -> Result<(), DemoError> {
    scene.until("2026-09-18T09:30:00")?;
    let due = shanghai(DUE)?;
    let now = moment(scene.now());
    let request = ask!(
        scene,
        TakeInRequest {
            kind: ev::TicketKind::Complaint.into(),
            channel: ev::Channel::Consumer12315.into(),
            category: "complaint.service_quality.missed_visit".into(),
            severity: ev::Severity::Major.into(),
            description: "约好上门装宽带无人来，要求赔偿".into(),
            remedy: Some("赔偿误工".into()),
            happened_at: None,
            first_owner: None,
            customer: Some(customer()),
            service: Some(api::ServiceInput {
                number: "ad0000226".into(),
                product: ev::Product::Broadband.into(),
                monthly_rent_fen: 9_900,
            }),
            area: Some(area()),
            requests: vec![api::OutsideRequestInput {
                body: ev::Channel::Consumer12315.into(),
                number: "12315-2026-000226".into(),
                handed_over_at: Some(now),
                due: Some(moment(due)),
            }],
            attachments: Vec::new(),
            mass_outage: false,
            reporter: None,
            linked: Some(install.to_owned()),
            install: None,
        }
    );
    scene.done(scene.client.desk()?.take_in(request.clone()).await)?;
    // A second call about the same is a contact, never a second ticket.
    let twin = api::TakeInRequest { ticket_id: String::new(), command_id: scene.id(), ..request };
    scene.state().await?;
    let answer = scene.client.desk()?.take_in(twin).await;
    scene.refused(answer, Code::FailedPrecondition, "OPEN_TICKET_EXISTS")?;
    scene.pass(1, 0);
    let request = ask!(
        scene,
        ContactCustomerRequest {
            reason: ev::ContactReason::Callback.into(),
            gm_hotline: false,
            said: "希望尽快安排".into(),
            answer: Some("已督办，今天答复安排".into()),
            recording: Some(recording("录音-12315-0001")),
            occurred_at: None,
        }
    );
    scene.done(scene.client.desk()?.contact_customer(request).await)?;
    let request = ask!(
        scene,
        RecordReceiptRequest {
            request: 1,
            kind: ReceiptKind::Final.into(),
            content: "已办结".into(),
            reference: "回执-0".into(),
        }
    );
    let answer = scene.client.desk()?.record_receipt(request).await;
    scene.refused(answer, Code::FailedPrecondition, "NO_REPLY_YET")
}

/// The unit takes the order, and lets it lie.
async fn dispatched(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    scene.pass(1, 0);
    let request = ask!(
        scene,
        InvestigateRequest {
            cause: Some(known("派班系统未推送预约时段")),
            facts: "核对派班记录，该时段未派人".into(),
            units: vec![api::NamedUnit { unit: "install-crew".into(), reason: "未按预约上门".into() }],
        }
    );
    scene.done(scene.client.investigation()?.investigate(request).await)?;
    let request = ask!(
        scene,
        DispatchRequest {
            orders: vec![order(OrderPart::Lead, "install-crew", "向客户致歉并重新预约")]
        }
    );
    scene.done(scene.client.dispatch()?.dispatch(request).await)?;
    scene.pass(0, 30);
    let request = ask!(scene, AcceptRequest { order: 1 });
    scene.done(scene.client.unit("install-crew")?.accept(request).await)
}

/// The reply comes a second after 12315's limit: it finds the breach there, and adds none.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn late_reply(scene: &mut Scene<'_>, limit: &Limit) -> Result<(), DemoError> {
    let before = limit.breached_while_down(scene).await?;
    let request = ask!(
        scene,
        ReplyRequest {
            order: 1,
            resolution: "已致歉，重新预约，补偿方案已告知".into(),
            cause: None,
            measures: vec![api::MeasurePlan {
                text: "派班系统增加预约提醒".into(),
                owner: "it-systems".into(),
                due_on: "2026-10-15".into(),
            }],
            done_by: vec!["install-4".into()],
            not_provided: None,
        }
    );
    scene.done(scene.client.unit("install-crew")?.reply(request).await)?;
    let state = scene.state().await?;
    let outside = state.clocks.iter().find(|clock| clock.kind() == ClockKind::Outside);
    let breached = outside.is_some_and(|clock| clock.status() == api::ClockStatus::Breached);
    scene.expect(breached, "12315's clock breached before the late reply")?;
    let after = limit.breached_while_down(scene).await?;
    scene.expect(after == before, "the late reply finds the breach there, and adds none")
}

async fn receipt_before_report(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    scene.pass(1, 0);
    let request = ask!(
        scene,
        RecordFeedbackRequest {
            answer: Answer::Satisfied.into(),
            words: "已道歉并补偿，满意".into(),
            recording: Some(recording("录音-12315-0002")),
            investigate_again: false,
        }
    );
    scene.done(scene.client.feedback()?.record_feedback(request).await)?;
    let request = ask!(
        scene,
        InspectRequest {
            judgements: judgements(true, "派班系统已加提醒，回访属实"), units: Vec::new()
        }
    );
    scene.done(scene.client.inspection()?.inspect(request).await)?;
    let report = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            ReportRequest {
                level: "city".into(),
                summary: "12315 转办件办理情况".into(),
                reference: "督办上报-0002".into(),
            }
        )
    };
    let request = report(scene);
    let answer = scene.client.reporting()?.report(request).await;
    scene.refused(answer, Code::FailedPrecondition, "RECEIPTS_OWED")?;
    let request = ask!(
        scene,
        RecordReceiptRequest {
            request: 1,
            kind: ReceiptKind::Final.into(),
            content: "已致歉并按承诺补偿，客户满意".into(),
            reference: "回执-12315-2026-000226".into(),
        }
    );
    scene.done(scene.client.desk()?.record_receipt(request).await)?;
    let request = report(scene);
    scene.done(scene.client.reporting()?.report(request).await)
}

/// The unit appeals its deduction; another assessor grants it.
async fn appeal(scene: &mut Scene<'_>, second_assessor: &Client) -> Result<(), DemoError> {
    let because: Vec<_> = scene.events("chain.investigated.v1").await?.into_iter().take(1).collect();
    let involved = scene.state().await?.involved;
    let verdict = |unit: &String| {
        if unit == "install-crew" {
            at_fault(unit, 3, 5_000, because.clone(), "未按预约上门")
        } else {
            not_at_fault(unit, "时限超出系等待责任单位所致")
        }
    };
    let request = ask!(
        scene,
        AssessRequest { verdicts: involved.iter().map(verdict).collect(), confirmed: Vec::new() }
    );
    scene.done(scene.client.assessment()?.assess(request).await)?;
    let state = scene.state().await?;
    let given = state.verdicts.iter().find(|verdict| verdict.unit == "install-crew");
    let number = given.map_or(0, |verdict| verdict.verdict);
    scene.pass(24, 0);
    let request =
        ask!(scene, AppealVerdictRequest { verdict: number, grounds: "派班系统故障，非本班责任".into() });
    scene.done(scene.client.unit("install-crew")?.appeal_verdict(request).await)?;
    let decide = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            DecideAppealRequest {
                verdict: number, granted: true, reason: "系统日志证实未推送".into()
            }
        )
    };
    let request = decide(scene);
    let answer = scene.client.assessment()?.decide_appeal(request).await;
    scene.refused(answer, Code::PermissionDenied, "OWN_WORK")?;
    let request = decide(scene);
    scene.done(second_assessor.assessment()?.decide_appeal(request).await)?;
    scene.pass(24, 0);
    let walked = walk(scene.client, &scene.ticket).await?;
    scene.tally.commands += walked.commands;
    let state = scene.state().await?;
    let closed = state.summary.clone().unwrap_or_default().state() == TicketState::Closed;
    scene.expect(closed && state.certificate.is_some(), "closed with a certificate")?;
    super::show::custody_adds_up(&state).map_err(|problem| DemoError::Unexpected {
        scene: "trace 2",
        step: 0,
        problem,
    })
}

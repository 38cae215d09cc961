//! Installs 装移机: milestones, and appointments, which faults may have too.

use duban_aggregates::ids::AppointmentNo;
use duban_aggregates::ticket::install::{Command, Fact};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::install_service_server::InstallService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{moment, read, required_moment, take};

#[tonic::async_trait]
impl InstallService for Api {
    async fn reach_milestone(&self, request: Request<api::ReachMilestoneRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                milestone: take("milestone", asked.milestone);
                occurred_at: moment("occurred_at", asked.occurred_at);
                evidence: texts.optional("evidence", asked.evidence.as_deref());
            }
            Ok(Command::RecordFact { fact: Fact::MilestoneReached { milestone }, occurred_at, evidence })
        })
        .await
    }

    async fn make_appointment(&self, request: Request<api::MakeAppointmentRequest>) -> Answered {
        self.on_own_ticket(request, |_, asked| {
            read! {
                from: required_moment("from", asked.from);
                until: required_moment("until", asked.until);
            }
            Ok(Command::MakeAppointment { from, until })
        })
        .await
    }

    async fn reschedule_appointment(&self, request: Request<api::RescheduleAppointmentRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                from: required_moment("from", asked.from);
                until: required_moment("until", asked.until);
                reason: texts.text("reason", &asked.reason);
            }
            let appointment = AppointmentNo(asked.appointment);
            Ok(Command::Reschedule { appointment, from, until, reason })
        })
        .await
    }

    async fn end_appointment(&self, request: Request<api::EndAppointmentRequest>) -> Answered {
        self.on_own_ticket(request, |texts, asked| {
            read! {
                outcome: take("outcome", asked.outcome);
                occurred_at: moment("occurred_at", asked.occurred_at);
                evidence: texts.optional("evidence", asked.evidence.as_deref());
            }
            let appointment = AppointmentNo(asked.appointment);
            Ok(Command::RecordFact {
                fact: Fact::AppointmentEnded { appointment, outcome },
                occurred_at,
                evidence,
            })
        })
        .await
    }
}

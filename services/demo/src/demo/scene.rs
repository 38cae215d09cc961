//! A ticket on the demo's stage: commands as the departments send them, time moved by hand, refusals counted.

use std::time::Duration;

use duban_client::{Client, Refusal, step_command_id};
use duban_engine::time::{Clock, VirtualClock};
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as ev;
use jiff::Timestamp;
use tonic::{Code, Response, Status};

use super::DemoError;

/// What all scenes did together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Commands carried out.
    pub(crate) commands: u64,
    /// Refusals that came as the rules say.
    pub(crate) refusals_checked: u64,
}

/// A ticket on stage.
pub(crate) struct Scene<'a> {
    /// The departments.
    pub(crate) client: &'a Client,
    /// The server's clock.
    pub(crate) clock: &'a VirtualClock,
    /// The ticket.
    pub(crate) ticket: String,
    /// What this scene did.
    pub(crate) tally: Tally,
    /// Where the last command's events are.
    pub(crate) position: String,
    name: &'static str,
    steps: u64,
}

impl<'a> Scene<'a> {
    /// A scene whose ticket's id follows from its name.
    pub(crate) fn new(client: &'a Client, clock: &'a VirtualClock, name: &'static str) -> Self {
        let ticket = step_command_id(name, 0, "ticket");
        Self { client, clock, ticket, tally: Tally::default(), position: String::new(), name, steps: 0 }
    }

    /// The next command's id.
    pub(crate) fn id(&mut self) -> String {
        self.steps += 1;
        step_command_id(self.name, self.steps, "command")
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, hours: u64, minutes: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600 + minutes * 60));
    }

    /// Lets time pass until this moment in Shanghai, which lies ahead.
    ///
    /// # Errors
    /// [`DemoError::Clock`] where it does not.
    pub(crate) fn until(&self, local: &str) -> Result<(), DemoError> {
        let at = shanghai(local)?;
        self.clock.set(at).map_err(|error| DemoError::Clock(error.to_string()))
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a command's answer.
    ///
    /// # Errors
    /// [`DemoError::Unexpected`] where it was refused.
    pub(crate) fn done(
        &mut self,
        answer: Result<Response<api::CommandResponse>, Status>,
    ) -> Result<(), DemoError> {
        match answer {
            Ok(answer) => {
                self.tally.commands += 1;
                self.position = answer.into_inner().position;
                Ok(())
            }
            Err(status) => Err(DemoError::Unexpected {
                scene: self.name,
                step: self.steps,
                problem: format!("{}: {}", status.code(), status.message()),
            }),
        }
    }

    /// Takes a refusal that the rules ask for.
    ///
    /// # Errors
    /// [`DemoError::Unexpected`] where it was not refused so.
    pub(crate) fn refused(
        &mut self,
        answer: Result<Response<api::CommandResponse>, Status>,
        code: Code,
        reason: &str,
    ) -> Result<(), DemoError> {
        let problem = match answer {
            Ok(_) => format!("was carried out, and not refused with {reason}"),
            Err(status) => {
                let given = Refusal::from(&status);
                if given.code == code && given.reason == reason {
                    self.tally.refusals_checked += 1;
                    return Ok(());
                }
                format!("was refused with {} {}, and not with {code:?} {reason}", given.code, given.reason)
            }
        };
        Err(DemoError::Unexpected { scene: self.name, step: self.steps, problem })
    }

    /// The ticket as it stands.
    ///
    /// # Errors
    /// [`DemoError::Call`].
    pub(crate) async fn state(&self) -> Result<api::Ticket, DemoError> {
        Ok(self.client.ticket(&self.ticket, &self.position).await?)
    }

    /// The ticket's events of a type, oldest first: their ids.
    ///
    /// # Errors
    /// [`DemoError::Call`].
    pub(crate) async fn events(&self, kind: &str) -> Result<Vec<String>, DemoError> {
        let events = super::show::events(self.client, &self.ticket, &self.position).await?;
        let events = events.into_iter().filter_map(|event| event.event);
        Ok(events.filter(|event| event.r#type == kind).map(|event| event.id).collect())
    }

    /// What must hold at this point of the story.
    ///
    /// # Errors
    /// [`DemoError::Unexpected`] where it does not.
    pub(crate) fn expect(&self, holds: bool, what: &str) -> Result<(), DemoError> {
        if holds {
            return Ok(());
        }
        Err(DemoError::Unexpected {
            scene: self.name,
            step: self.steps,
            problem: format!("does not hold: {what}"),
        })
    }
}

/// A command with the scene's ticket and the next id.
macro_rules! ask {
    ($scene:expr, $message:ident { $($field:ident: $value:expr),* $(,)? }) => {
        duban_proto::api::v1::$message {
            ticket_id: $scene.ticket.clone(),
            command_id: $scene.id(),
            expected_revision: None,
            $($field: $value),*
        }
    };
}
pub(super) use ask;

/// A moment given as local time in Shanghai.
///
/// # Errors
/// [`DemoError::Clock`] where it is no time.
pub(crate) fn shanghai(local: &str) -> Result<Timestamp, DemoError> {
    format!("{local}+08:00").parse().map_err(|error: jiff::Error| DemoError::Clock(error.to_string()))
}

/// A moment as the protos have it.
pub(crate) fn moment(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A recording, kept elsewhere.
pub(crate) fn recording(reference: &str) -> ev::Attachment {
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, reference.as_bytes());
    let mut sha256 = digest.as_bytes().to_vec();
    sha256.extend_from_slice(digest.as_bytes());
    ev::Attachment { reference: reference.to_owned(), sha256 }
}

/// An order for a unit.
pub(crate) fn order(part: ev::OrderPart, unit: &str, task: &str) -> api::NewOrder {
    api::NewOrder { part: part.into(), unit: unit.into(), task: task.into(), due: None }
}

/// A known cause.
pub(crate) fn known(text: &str) -> api::Cause {
    api::Cause { kind: ev::CauseKind::Known.into(), text: Some(text.into()) }
}

/// Three judgements, the third as given.
pub(crate) fn judgements(improved: bool, evidence: &str) -> Vec<api::Judgement> {
    let judged = [
        (ev::Gate::CauseKnown, true),
        (ev::Gate::ProblemSolved, true),
        (ev::Gate::ServiceImproved, improved),
    ];
    let judgement = |(gate, passed): (ev::Gate, bool)| api::Judgement {
        gate: gate.into(),
        passed,
        evidence: evidence.into(),
    };
    judged.into_iter().map(judgement).collect()
}

/// A verdict that a unit is not at fault.
pub(crate) fn not_at_fault(unit: &str, reason: &str) -> api::NewVerdict {
    let finding = api::finding::Finding::NotAtFault(api::NotAtFault { reason: reason.into() });
    api::NewVerdict { unit: unit.into(), finding: Some(api::Finding { finding: Some(finding) }) }
}

/// A verdict with a deduction.
pub(crate) fn at_fault(
    unit: &str,
    points: u32,
    penalty_fen: u64,
    because: Vec<String>,
    reason: &str,
) -> api::NewVerdict {
    let finding =
        api::AtFault { rule: "考核办法-3.2".into(), points, penalty_fen, because, reason: reason.into() };
    let finding = api::finding::Finding::AtFault(finding);
    api::NewVerdict { unit: unit.into(), finding: Some(api::Finding { finding: Some(finding) }) }
}

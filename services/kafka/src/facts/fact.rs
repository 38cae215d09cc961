//! What other systems say, and the command that it becomes. The schemas are published in `deploy/kafka`.

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::TicketId;
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::ticket::{self, Ticket, fault, install};
use duban_aggregates::words::{Milestone, Role};
use duban_engine::runner::RunError;
use duban_vault::seal::Sealer;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use uuid::Uuid;

/// How far the other system's clock may run ahead of the server's: a fact of a moment so near is one of now.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(60);

/// A system that facts come from. Who may write to its topic is proven by Kafka's own authentication; the actor of its events follows
/// from the topic alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The 97 install system: milestones.
    InstallSystem,
    /// The 112 line tester: test results.
    LineTester,
    /// Billing: arrears paid, service restored.
    Billing,
}

impl Source {
    /// The actor's id and unit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InstallSystem => "install-97",
            Self::LineTester => "line-tester-112",
            Self::Billing => "billing",
        }
    }

    /// The identity of its facts. Not a person of a department: nobody has handled the ticket by it, and no clock of an imported
    /// ticket starts by it.
    pub(super) fn actor(self) -> Actor {
        Actor { id: self.name().into(), role: Role::Import, unit: self.name().into() }
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// What is wrong with it, without what it says.
    pub(super) fn read(self, value: Option<&[u8]>) -> Result<Fact, String> {
        let value = value.ok_or("the record has no value")?;
        match self {
            Self::InstallSystem => from_json::<Reached>(value).map(Fact::from),
            Self::LineTester => from_json::<Tested>(value).map(Fact::from),
            Self::Billing => from_json::<Billed>(value).map(Fact::from),
        }
    }
}

fn from_json<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| without_contents(&error))
}

/// What is wrong, with the names of our own fields and without what the record holds, which may be about a customer.
fn without_contents(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let ours = ["missing field", "duplicate field", "ticket_id is not"];
    if !error.is_data() || ours.iter().any(|begins| said.starts_with(begins)) {
        return said;
    }
    let known = ["unknown field", "unknown variant", "invalid type", "invalid value"];
    match (known.iter().find(|begins| said.starts_with(*begins)), said.rsplit_once(", expected ")) {
        (Some(begins), Some((_, expected))) => format!("{begins}, expected {expected}"),
        _ => format!("a field cannot be read at line {} column {}", error.line(), error.column()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    #[serde(deserialize_with = "ticket_id")]
    ticket_id: TicketId,
    milestone: Milestone,
    reference: String,
    occurred_at: Option<Timestamp>,
    evidence: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tested {
    #[serde(deserialize_with = "ticket_id")]
    ticket_id: TicketId,
    passed: bool,
    result: String,
    reference: String,
    occurred_at: Option<Timestamp>,
    evidence: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Billed {
    #[serde(deserialize_with = "ticket_id")]
    ticket_id: TicketId,
    fact: BilledFact,
    reference: String,
    occurred_at: Option<Timestamp>,
    evidence: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BilledFact {
    ArrearsPaid,
    Restored,
}

/// A UUID in the usual form, and not the nil one, which is what a forgotten field looks like in many languages.
fn ticket_id<'de, D: Deserializer<'de>>(from: D) -> Result<TicketId, D::Error> {
    let text = String::deserialize(from)?;
    let id = Uuid::try_parse(&text).ok().filter(|id| !id.is_nil() && text.len() == 36);
    id.map(TicketId).ok_or_else(|| D::Error::custom("ticket_id is not a UUID"))
}

/// A fact, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// Whose it is.
    pub(super) ticket: TicketId,
    what: What,
    /// The other system's own number of it.
    reference: String,
    occurred_at: Option<Timestamp>,
    evidence: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Milestone(Milestone),
    LineTest { passed: bool, result: String },
    ArrearsPaid,
    Restored,
}

impl From<Reached> for Fact {
    fn from(from: Reached) -> Self {
        let Reached { ticket_id: ticket, milestone, reference, occurred_at, evidence } = from;
        Self { ticket, what: What::Milestone(milestone), reference, occurred_at, evidence }
    }
}

impl From<Tested> for Fact {
    fn from(from: Tested) -> Self {
        let Tested { ticket_id: ticket, passed, result, reference, occurred_at, evidence } = from;
        Self { ticket, what: What::LineTest { passed, result }, reference, occurred_at, evidence }
    }
}

impl From<Billed> for Fact {
    fn from(from: Billed) -> Self {
        let Billed { ticket_id: ticket, fact, reference, occurred_at, evidence } = from;
        let what = match fact {
            BilledFact::ArrearsPaid => What::ArrearsPaid,
            BilledFact::Restored => What::Restored,
        };
        Self { ticket, what, reference, occurred_at, evidence }
    }
}

impl Fact {
    /// The command on its ticket. `origin` says where the record lies: it is the evidence, where the system brought none.
    pub(super) fn command(
        &self,
        ticket: &Ticket,
        sealer: &Sealer,
        now: Timestamp,
        origin: &str,
    ) -> Result<ticket::Command, RunError> {
        if self.reference.trim().is_empty() {
            return Err(Rejection::Invalid { field: "reference", problem: Problem::Required }.into());
        }
        let sealer = sealer.known_customer(ticket.intake.person())?;
        let occurred_at = self.occurred_at.map(|at| moment(at, now));
        // An import may be older than its intake; what a running system says may not.
        if occurred_at.is_some_and(|at| at < ticket.intake.taken_in_at) {
            return Err(Rejection::Invalid { field: "occurred_at", problem: Problem::BeforeIntake }.into());
        }
        let given = self.evidence.as_deref().filter(|text| !text.trim().is_empty());
        let evidence = given.map_or_else(|| format!("{} {origin}", self.reference), str::to_owned);
        let evidence = Some(sealer.seal(&evidence)?);
        let fault =
            |fact| fault::Command::RecordFact { fact, occurred_at, evidence: evidence.clone() }.into();
        Ok(match &self.what {
            What::Milestone(milestone) => {
                let fact = install::Fact::MilestoneReached { milestone: *milestone };
                install::Command::RecordFact { fact, occurred_at, evidence }.into()
            }
            What::LineTest { passed, result } => fault(fault::Fact::LineTested {
                passed: *passed,
                reference: self.reference.clone(),
                result: sealer.seal(result)?,
            }),
            What::ArrearsPaid => fault(fault::Fact::ArrearsPaid { reference: self.reference.clone() }),
            What::Restored => fault(fault::Fact::ServiceUp),
        })
    }
}

/// A moment as events keep it; one that is only just ahead is now.
fn moment(at: Timestamp, now: Timestamp) -> Timestamp {
    let at = if at > now && at.duration_since(now) <= AHEAD_MAX { now } else { at };
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests;

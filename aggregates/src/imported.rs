//! Foreign histories: what another system recorded about its own cases, kept as it was recorded (domain.md section 8).
//!
//! One stream a case, of steps and nothing else. No clock runs and nobody here acts on them: they are there to be compared with
//! the chain, and to be shown beside our own. They hold no personal data: whoever took a step is an employee's number, and a
//! mapping keeps no column that it does not name.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::checks::{listed, named};
use crate::ids::HistoryId;
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Problem, Rejection};
use crate::words::{Role, Stage};

/// The longest value of an attribute, in bytes. A hundred of them still fit into one event.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Something else that the source says of a step. A name that begins with `case:` says it of the whole case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value, as the source writes it; no personal data.
    pub value: String,
}

/// A step of a case, as its source recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The history's id; it follows from source and case.
    pub history: HistoryId,
    /// The source's name.
    pub source: String,
    /// What the source calls the case.
    pub case: String,
    /// What was done, in the source's words.
    pub activity: String,
    /// When, as the source says.
    pub occurred_at: Timestamp,
    /// The stage of the chain that this step completes, where it is one of those.
    pub stage: Option<Stage>,
    /// Who did it: an employee's number, where the source says it.
    pub resource: Option<String>,
    /// What became of the activity, `complete` where the source does not say.
    pub transition: String,
    /// What else the source says.
    pub attributes: Vec<Attribute>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The source recorded a step.
    HistoricStep(Step),
}

/// A foreign history, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its id.
    pub id: HistoryId,
    /// The source's name.
    pub source: String,
    /// What the source calls the case.
    pub case: String,
    /// How many steps it has.
    pub steps: u64,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did: a step that was imported before is found here.
    pub commands: Memory,
}

/// Folds one event.
#[must_use]
pub fn evolve(history: Option<History>, event: &Event, meta: &Meta) -> Option<History> {
    let Event::HistoricStep(step) = event;
    let mut history = history.unwrap_or_else(|| History {
        id: step.history,
        source: step.source.clone(),
        case: step.case.clone(),
        steps: 0,
        revision: meta.revision,
        last_recorded_at: meta.recorded_at,
        commands: Memory::default(),
    });
    history.steps += 1;
    history.revision = meta.revision;
    history.last_recorded_at = meta.recorded_at;
    history.commands.note(meta);
    Some(history)
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record a step, by an import.
    Record(Step),
}

/// Decides a command: the events it adds. The same step may stand in a source twice, so two commands add two.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    history: Option<&History>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Command::Record(step) = command;
    if context.actor.role != Role::Import {
        return Err(Rejection::NotYours { whose: "an import".into() });
    }
    named("source", &step.source)?;
    named("case", &step.case)?;
    named("activity", &step.activity)?;
    named("transition", &step.transition)?;
    step.resource.iter().try_for_each(|resource| named("resource", resource))?;
    if step.occurred_at > context.at {
        return Err(Rejection::invalid("occurred_at", Problem::InFuture));
    }
    listed("attributes", &step.attributes)?;
    let mut names = BTreeSet::new();
    for Attribute { name, value } in &step.attributes {
        named("attributes.name", name)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Rejection::invalid("attributes.value", Problem::TooLong(VALUE_BYTES_MAX)));
        }
        if !names.insert(name) {
            return Err(Rejection::invalid("attributes.name", Problem::Twice(name.clone())));
        }
    }
    let of_another =
        |known: &&History| (known.id, &known.source, &known.case) != (step.history, &step.source, &step.case);
    if history.filter(of_another).is_some() {
        return Err(Rejection::invalid("case", Problem::Unfit("the history is another case's")));
    }
    Ok(vec![Event::HistoricStep(step)])
}

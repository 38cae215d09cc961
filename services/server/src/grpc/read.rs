//! From what callers send to what the rules take. Every problem is named by its field.

use duban_aggregates::TEXT_BYTES_MAX;
use duban_aggregates::ids::{CustomerId, EventId, UnitId};
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::{Cause, Judgement, NamedUnit};
use duban_aggregates::ticket::order::{MeasurePlan, NewOrder};
use duban_aggregates::ticket::verdict::Finding;
use duban_codec::Wire;
use duban_log::Position;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::CauseKind;
use duban_vault::keys::KeysError;
use duban_vault::seal::CustomerSealer;
use jiff::Timestamp;
use uuid::Uuid;

use duban_engine::runner::RunError;

/// A field that was read, or why not.
pub(crate) type Field<T> = Result<T, RunError>;

/// Reads several fields and names all that are wrong, rather than the first.
macro_rules! read {
    ($($name:ident: $value:expr;)*) => {
        $(let $name = $value;)*
        let mut wrong = Vec::new();
        $(let $name = $crate::grpc::read::keep($name, &mut wrong)?;)*
        $crate::grpc::read::none_wrong(wrong)?;
        $(let $name = $name.ok_or_else($crate::grpc::read::missing)?;)*
    };
}
pub(crate) use read;

/// Keeps a problem for later; what is no problem of a field ends the reading at once.
pub(crate) fn keep<T>(
    field: Field<T>,
    wrong: &mut Vec<duban_engine::runner::FieldProblem>,
) -> Result<Option<T>, RunError> {
    match field {
        Ok(value) => Ok(Some(value)),
        Err(RunError::Fields { fields }) => {
            wrong.extend(fields);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

pub(crate) fn none_wrong(fields: Vec<duban_engine::runner::FieldProblem>) -> Result<(), RunError> {
    if fields.is_empty() { Ok(()) } else { Err(RunError::Fields { fields }) }
}

/// Never seen: a field without a value is a field with a problem.
pub(crate) fn missing() -> RunError {
    RunError::field("request", "cannot be read")
}

/// A field that the codec knows.
pub(crate) fn take<T: Wire>(name: &'static str, from: T::Field) -> Field<T> {
    T::take(from, name).map_err(|malformed| {
        let malformed = if malformed.field.starts_with(name) { malformed } else { malformed.within(name) };
        RunError::field(malformed.field, malformed.problem.to_string())
    })
}

/// A field inside another one, or inside a list.
fn inside<T: Wire>(outer: &str, name: &'static str, from: T::Field) -> Field<T> {
    take(name, from).map_err(|error| under(outer, error))
}

pub(crate) fn under(outer: &str, error: RunError) -> RunError {
    match error {
        RunError::Fields { mut fields } => {
            for wrong in &mut fields {
                wrong.field = format!("{outer}.{}", wrong.field);
            }
            RunError::Fields { fields }
        }
        other => other,
    }
}

/// A moment, to the microsecond: finer ones are not kept.
pub(crate) fn moment(name: &'static str, from: Option<prost_types::Timestamp>) -> Field<Option<Timestamp>> {
    let at: Option<Timestamp> = take(name, from)?;
    let cut = |at: Timestamp| Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
    Ok(at.map(cut))
}

/// A moment that must be there.
pub(crate) fn required_moment(name: &'static str, from: Option<prost_types::Timestamp>) -> Field<Timestamp> {
    moment(name, from)?.ok_or_else(|| RunError::field(name, "is required"))
}

/// A position that some command answered.
pub(crate) fn position(name: &'static str, from: &str) -> Field<Option<Position>> {
    if from.is_empty() {
        return Ok(None);
    }
    let parsed = from.parse().map(|raw| Some(Position::new(raw)));
    parsed.map_err(|_| RunError::field(name, "is not a position that this server gave out"))
}

/// A text in the clear of at most so many bytes; whether it may be empty, the rules know.
pub(crate) fn plain(name: &str, text: &str, bytes_max: usize) -> Field<String> {
    if text.len() > bytes_max {
        return Err(RunError::field(name, format!("is longer than {bytes_max} bytes")));
    }
    Ok(text.to_owned())
}

/// A text in the clear that must be there.
pub(crate) fn required<'f>(name: &str, text: &'f str) -> Field<&'f str> {
    if text.trim().is_empty() { Err(RunError::field(name, "is required")) } else { Ok(text) }
}

/// A required message.
pub(crate) fn given<'f, T>(name: &str, from: &'f Option<T>) -> Field<&'f T> {
    from.as_ref().ok_or_else(|| RunError::field(name, "is required"))
}

/// A unit's name.
pub(crate) fn unit(name: &str, from: &str) -> Field<UnitId> {
    if from.trim().is_empty() {
        return Err(RunError::field(name, "is required"));
    }
    plain(name, from, duban_aggregates::NAME_BYTES_MAX).map(UnitId)
}

/// Reads texts, sealing each under the customer's key.
pub(crate) struct Texts<'s> {
    /// None where texts are only looked at.
    key: Option<Result<&'s CustomerSealer, &'s KeysError>>,
}

impl<'s> Texts<'s> {
    /// A key that cannot be had, above all an erased one, is in the way of the first text only: what comes without texts,
    /// such as money being paid out or a verdict becoming final, goes on after an erasure.
    pub(crate) fn new(key: &'s Result<CustomerSealer, KeysError>) -> Self {
        Self { key: Some(key.as_ref()) }
    }

    /// Without a key, texts are only looked at; what it answers in their place opens nowhere and is not to be kept.
    pub(crate) fn of(key: Option<&'s CustomerSealer>) -> Self {
        Self { key: key.map(Ok) }
    }

    /// A text that must be there.
    pub(crate) fn text(&self, name: &str, text: &str) -> Field<Sealed> {
        if text.trim().is_empty() {
            return Err(RunError::field(name, "is required"));
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(RunError::field(name, format!("is longer than {TEXT_BYTES_MAX} bytes")));
        }
        match self.key {
            Some(Ok(sealer)) => Ok(sealer.seal(text)?),
            Some(Err(error)) => Err(error.clone().into()),
            None => Ok(Sealed { customer: CustomerId(Uuid::nil()), nonce: [0; 12], ciphertext: Vec::new() }),
        }
    }

    /// A text that may be absent; an empty one is.
    pub(crate) fn optional(&self, name: &str, text: Option<&str>) -> Field<Option<Sealed>> {
        text.filter(|text| !text.trim().is_empty()).map(|text| self.text(name, text)).transpose()
    }

    /// A cause.
    pub(crate) fn cause(&self, name: &str, from: &api::Cause) -> Field<Cause> {
        let unknown = || RunError::field(format!("{name}.kind"), "is required");
        let kind = CauseKind::try_from(from.kind).map_err(|_| unknown())?;
        let text = self.optional(&format!("{name}.text"), from.text.as_deref())?;
        match (kind, text) {
            (CauseKind::Unspecified, _) => Err(unknown()),
            (CauseKind::Known, Some(text)) => Ok(Cause::Known(text)),
            (CauseKind::Known, None) => Err(RunError::field(format!("{name}.text"), "is required")),
            (CauseKind::NotYetKnown, None) => Ok(Cause::NotYetKnown),
            (CauseKind::NewOrder, None) => Ok(Cause::NewOrder),
            (CauseKind::NotYetKnown | CauseKind::NewOrder, Some(_)) => {
                Err(RunError::field(format!("{name}.text"), "does not belong here"))
            }
        }
    }

    /// An order as dispatch asks for it.
    pub(crate) fn order(&self, name: &str, from: &api::NewOrder) -> Field<NewOrder> {
        read! {
            part: inside(name, "part", from.part);
            unit: unit(&format!("{name}.unit"), &from.unit);
            task: self.text(&format!("{name}.task"), &from.task);
            due: moment("due", from.due).map_err(|error| under(name, error));
        }
        Ok(NewOrder { part, unit, task, due })
    }

    /// A replacement, where one is given.
    pub(crate) fn replacement(&self, from: &Option<api::NewOrder>) -> Field<Option<NewOrder>> {
        from.as_ref().map(|order| self.order("replacement", order)).transpose()
    }

    /// Orders.
    pub(crate) fn orders(&self, name: &str, from: &[api::NewOrder]) -> Field<Vec<NewOrder>> {
        each(name, from, |name, order| self.order(name, order))
    }

    /// A measure's plan.
    pub(crate) fn plan(&self, name: &str, from: &api::MeasurePlan) -> Field<MeasurePlan> {
        read! {
            text: self.text(&format!("{name}.text"), &from.text);
            owner: unit(&format!("{name}.owner"), &from.owner);
            due_on: inside(name, "due_on", from.due_on.clone());
        }
        Ok(MeasurePlan { text, owner, due_on })
    }

    /// Measures' plans.
    pub(crate) fn plans(&self, name: &str, from: &[api::MeasurePlan]) -> Field<Vec<MeasurePlan>> {
        each(name, from, |name, plan| self.plan(name, plan))
    }

    /// Units named as involved.
    pub(crate) fn units(&self, name: &str, from: &[api::NamedUnit]) -> Field<Vec<NamedUnit>> {
        each(name, from, |name, named| {
            read! {
                unit: unit(&format!("{name}.unit"), &named.unit);
                reason: self.text(&format!("{name}.reason"), &named.reason);
            }
            Ok(NamedUnit { unit, reason })
        })
    }

    /// Judgements of gates.
    pub(crate) fn judgements(&self, name: &str, from: &[api::Judgement]) -> Field<Vec<Judgement>> {
        each(name, from, |name, judged| {
            read! {
                gate: inside(name, "gate", judged.gate);
                evidence: self.text(&format!("{name}.evidence"), &judged.evidence);
            }
            Ok(Judgement { gate, passed: judged.passed, evidence })
        })
    }

    /// Verdicts.
    pub(crate) fn verdicts(&self, name: &str, from: &[api::NewVerdict]) -> Field<Vec<(UnitId, Finding)>> {
        each(name, from, |name, verdict| {
            let finding = verdict.finding.as_ref().and_then(|finding| finding.finding.as_ref());
            read! {
                unit: unit(&format!("{name}.unit"), &verdict.unit);
                finding: self.finding(&format!("{name}.finding"), finding);
            }
            Ok((unit, finding))
        })
    }

    fn finding(&self, name: &str, from: Option<&api::finding::Finding>) -> Field<Finding> {
        match from {
            None => Err(RunError::field(name, "is required")),
            Some(api::finding::Finding::NotAtFault(api::NotAtFault { reason })) => {
                Ok(Finding::NotAtFault { reason: self.text(&format!("{name}.not_at_fault.reason"), reason)? })
            }
            Some(api::finding::Finding::AtFault(fault)) => {
                let name = format!("{name}.at_fault");
                read! {
                    rule: plain(&format!("{name}.rule"), &fault.rule, duban_aggregates::NAME_BYTES_MAX);
                    because: events(&format!("{name}.because"), &fault.because);
                    reason: self.text(&format!("{name}.reason"), &fault.reason);
                }
                let (points, penalty_fen) = (fault.points, fault.penalty_fen);
                Ok(Finding::AtFault { rule, points, penalty_fen, because, reason })
            }
        }
    }
}

/// Events' ids.
pub(crate) fn events(name: &str, from: &[String]) -> Field<Vec<EventId>> {
    each(name, from, |name, id| {
        let parsed = id.parse().map(EventId);
        parsed.map_err(|_| RunError::field(name, "is not a UUID"))
    })
}

/// Reads a list; all elements that are wrong are named.
fn each<S, T>(name: &str, from: &[S], read: impl Fn(&str, &S) -> Field<T>) -> Field<Vec<T>> {
    let (mut wrong, mut read_all) = (Vec::new(), Vec::with_capacity(from.len()));
    for (index, element) in from.iter().enumerate() {
        read_all.extend(keep(read(&format!("{name}[{index}]"), element), &mut wrong)?);
    }
    none_wrong(wrong)?;
    Ok(read_all)
}

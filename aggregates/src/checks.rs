//! Checks of a command's fields that all streams share: there, not too long, not too many, registered.

use crate::ids::EmployeeId;
use crate::meta::Context;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;

/// The largest sealed text, in bytes of plain text.
pub const TEXT_BYTES_MAX: usize = 65_536;

/// The largest identifier, reference or name in the clear, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest list that one command may bring.
pub const LIST_MAX: usize = 100;

/// The sealing's own bytes, beside the text.
const TAG_BYTES: usize = 16;

/// The unit stands in the policy's register.
pub(crate) fn registered(context: &Context<'_>, field: &'static str, unit: &str) -> Result<(), Rejection> {
    if context.policy.unit(unit).is_some() {
        return Ok(());
    }
    Err(Rejection::invalid(field, Problem::NotRegistered(unit.to_owned())))
}

/// A sealed text that must be there.
pub(crate) fn required(field: &'static str, text: &Sealed) -> Result<(), Rejection> {
    if text.is_empty() {
        return Err(Rejection::invalid(field, Problem::Required));
    }
    bounded(field, text)
}

/// A sealed text that is not too long.
pub(crate) fn bounded(field: &'static str, text: &Sealed) -> Result<(), Rejection> {
    if text.ciphertext.len() > TEXT_BYTES_MAX + TAG_BYTES {
        return Err(Rejection::invalid(field, Problem::TooLong(TEXT_BYTES_MAX)));
    }
    Ok(())
}

/// A name or reference in the clear that must be there.
pub(crate) fn named(field: &'static str, text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::invalid(field, Problem::Required));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Rejection::invalid(field, Problem::TooLong(NAME_BYTES_MAX)));
    }
    Ok(())
}

/// A list that is not too long.
pub(crate) fn listed<T>(field: &'static str, list: &[T]) -> Result<(), Rejection> {
    if list.len() > LIST_MAX { Err(Rejection::invalid(field, Problem::TooMany(LIST_MAX))) } else { Ok(()) }
}

/// A longer text in the clear, without personal data, that must be there.
pub(crate) fn described(field: &'static str, text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::invalid(field, Problem::Required));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(Rejection::invalid(field, Problem::TooLong(TEXT_BYTES_MAX)));
    }
    Ok(())
}

/// People who did work, at least one.
pub(crate) fn people(field: &'static str, people: &[EmployeeId]) -> Result<(), Rejection> {
    if people.is_empty() {
        return Err(Rejection::invalid(field, Problem::Required));
    }
    listed(field, people)?;
    people.iter().try_for_each(|person| named(field, person.as_str()))
}

//! Why something could not be read.

use std::borrow::Cow;

/// Why stored bytes or JSON were not understood. A reader that meets one stops: nothing is passed over.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A type that this version does not know, or one of another stream's.
    #[error("unknown event type `{0}`")]
    UnknownType(String),
    /// Not protobuf, or not of this message.
    #[error("{kind} is not readable")]
    Undecodable {
        /// What was to be read: a stored type name, or `metadata`.
        kind: Cow<'static, str>,
        /// What protobuf says.
        #[source]
        source: prost::DecodeError,
    },
    /// A field that this version does not know, or one written twice or otherwise than this version writes it.
    #[error(
        "{kind} has fields that this version does not know: {understood} of its {stored} bytes were understood"
    )]
    UnknownField {
        /// What was to be read: a stored type name, or `metadata`.
        kind: Cow<'static, str>,
        /// Its length.
        stored: usize,
        /// The length of what was understood.
        understood: usize,
    },
    /// A field that the domain needs is missing or has no meaning.
    #[error("{kind}: {malformed}")]
    Malformed {
        /// What was to be read: a stored type name, `metadata` or `event`.
        kind: Cow<'static, str>,
        /// Which field, and what is wrong with it.
        malformed: Malformed,
    },
    /// The envelope says another type than its payload is.
    #[error("the event says it is `{said}` and holds `{held}`")]
    TypeMismatch {
        /// The type the envelope says.
        said: String,
        /// The type of the payload.
        held: &'static str,
    },
    /// Not the canonical JSON of an event, or one with fields or values that this version does not know.
    #[error("not the json of an event")]
    Json(#[source] serde_json::Error),
}

/// An error with everything behind it, in one line.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let why = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(why.trim_end());
        }
        source = error.source();
    }
    text
}

/// A field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Malformed {
    /// The field, as the proto names it; `orders[1].due` inside others.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Malformed {
    /// Names a field.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self { field: field.into(), problem }
    }

    /// The same, named from the message around it: `due` in `orders[1]` is `orders[1].due`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field).into(), problem: self.problem }
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Required and absent.
    #[error("is required")]
    Missing,
    /// Given where it may not be.
    #[error("does not belong here")]
    Unwanted,
    /// A number without a name in the enum.
    #[error("has the unknown value {0}")]
    UnknownValue(i32),
    /// Not a UUID.
    #[error("is not a UUID")]
    NotAUuid,
    /// Not a date.
    #[error("is not a date (YYYY-MM-DD)")]
    NotADate,
    /// Not a moment between the years 1 and 9999.
    #[error("is not a moment between the years 1 and 9999")]
    NotAMoment,
    /// A moment finer than the log keeps.
    #[error("is finer than a microsecond")]
    TooFine,
    /// Not a time of day.
    #[error("is not a time of day")]
    NotATime,
    /// Bytes of another length.
    #[error("is {found} bytes long, {needed} are needed")]
    Length {
        /// How long it is.
        found: usize,
        /// How long it must be.
        needed: usize,
    },
}

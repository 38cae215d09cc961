//! The office's days: each is closed by a signed head of the log, which outsiders keep (domain.md sections 8 and 9).
//!
//! One stream, [`STREAM`]. The rules here keep its days in order; what a head says of the log, and its signature, are
//! made by whoever commands, and checked by whoever verifies.

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::calendar::local_date;
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Problem, Rejection};
use crate::words::Role;

/// The stream's name; there is one office.
pub const STREAM: &str = "office";

/// What stands for the office where other streams have an id of their own: ids of its events and commands follow from it.
pub const ID: Uuid = Uuid::from_u128(0x6475_6261_6e00_8000_8000_6f66_6669_6365);

/// What a log held when a day was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayHead {
    /// The day, in Shanghai.
    pub day: Date,
    /// How many events belong to this day and those before it.
    pub size: u64,
    /// RFC 6962 root over these events in log order.
    pub root: [u8; 32],
    /// How many streams these events belong to.
    pub streams: u64,
    /// RFC 6962 root over these streams, sorted by name: each one's name, last revision and last event's leaf.
    pub streams_root: [u8; 32],
}

impl DayHead {
    /// The bytes that are signed. The first line keeps a signature from being taken for one of anything else.
    #[must_use]
    pub fn statement(&self, key: &[u8; 16]) -> String {
        let Self { day, size, root, streams, streams_root } = self;
        let (root, streams_root, key) = (hex(root), hex(streams_root), hex(key));
        format!(
            "duban day head v1\nday {day}\nsize {size}\nroot {root}\nstreams {streams}\nstreams_root {streams_root}\nkey {key}\n"
        )
    }
}

/// Lower-case hexadecimal, as statements have it.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Bytes of a given length from hexadecimal, in either case; none where it is something else.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A head and the signature under its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The head.
    pub head: DayHead,
    /// By which key: the first 16 bytes of the SHA-256 of the public key.
    pub key: [u8; 16],
    /// Ed25519 over [`DayHead::statement`].
    pub signature: [u8; 64],
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A day is over; what the log held then is signed.
    DayClosed(SignedHead),
}

/// The office, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Office {
    /// The head of the last day that was closed.
    pub last: SignedHead,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

/// Folds one event.
#[must_use]
pub fn evolve(office: Option<Office>, event: &Event, meta: &Meta) -> Option<Office> {
    let Event::DayClosed(head) = event;
    let mut commands = office.map(|office| office.commands).unwrap_or_default();
    commands.note(meta);
    Some(Office { last: *head, revision: meta.revision, last_recorded_at: meta.recorded_at, commands })
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close a day that is over, by the timer.
    CloseDay(SignedHead),
}

/// Decides a command: the events it adds, none where the day is closed already.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    office: Option<&Office>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Command::CloseDay(signed) = command;
    let unfit = |field, why| Err(Rejection::invalid(field, Problem::Unfit(why)));
    if context.actor.role != Role::Timer {
        return Err(Rejection::NotYours { whose: "the timer".into() });
    }
    if signed.head.day >= local_date(context.at) {
        return unfit("day", "it is not over");
    }
    if signed.head.size == 0 {
        return unfit("size", "a day without events is not closed");
    }
    if let Some(Office { last: SignedHead { head: last, .. }, .. }) = office {
        if signed.head.day == last.day {
            return Ok(Vec::new());
        }
        if signed.head.day < last.day {
            return unfit("day", "a later one is closed");
        }
        if signed.head.size <= last.size {
            return unfit("size", "the day closed last has as many events");
        }
    }
    Ok(vec![Event::DayClosed(signed)])
}

//! The table's keys: one row a ticket, and below it the orders in which people look for tickets. Every key of an index
//! follows from the row alone, so that what is no longer true is found and taken away.

use duban_aggregates::ids::{ClockNo, CustomerId, OrderNo, TicketId, VerdictNo};
use duban_aggregates::ticket::chain::table::InHandOf;
use duban_aggregates::ticket::clock::{DueStep, Step};
use duban_aggregates::words::{Kind, Rung, Stage};
use jiff::Timestamp;
use uuid::Uuid;

use super::row::Row;
use crate::table::{self, Key, Pair};

/// Tickets, each with its row.
const ROWS: u8 = b'r';
/// By the moment of intake.
const BY_INTAKE: u8 = b't';
/// By the nearest due moment; open ones only.
const BY_DUE: u8 = b'q';
/// A customer's, by the moment of intake.
const BY_CUSTOMER: u8 = b'c';
/// A service number's, by the moment of intake.
const BY_SERVICE: u8 = b'n';
/// By an outside body's number.
const BY_OUTSIDE: u8 = b'x';
/// Open ones on the chain, by stage and kind.
const ON_CHAIN: u8 = b'o';
/// Open ones, by holder.
const IN_HAND: u8 = b'h';
/// What a unit or department has to do, by its due moment.
const TO_DO: u8 = b'w';
/// What happens by itself, by its moment.
const STEPS: u8 = b'd';
/// The counts.
pub(super) const COUNTS: &[u8] = b"s";
/// Whole seconds that holders had tickets before they went on, by holder.
pub(super) const CUSTODY: u8 = b'u';

/// Where what has no due moment is sorted in: a moment that microseconds can say, unlike the very last one.
pub(super) const NEVER: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// Where a list goes on: after this moment and ticket.
pub type Place = (Timestamp, TicketId);

/// A range of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Key,
    pub(super) to: Key,
}

impl Span {
    fn prefix(prefix: Key) -> Self {
        let to = table::end_of(&prefix);
        Self { from: prefix, to }
    }

    /// All tickets' rows.
    pub(super) fn rows() -> Self {
        Self::prefix(vec![ROWS])
    }

    /// All open tickets on the chain.
    pub(super) fn on_chain() -> Self {
        Self::prefix(vec![ON_CHAIN])
    }

    /// What holders have in hand.
    pub(super) fn in_hand() -> Self {
        Self::prefix(vec![IN_HAND])
    }

    /// Sums of custody.
    pub(super) fn custody() -> Self {
        Self::prefix(vec![CUSTODY])
    }

    /// What one unit or department has to do.
    pub(super) fn to_do(unit: &str) -> Self {
        Self::prefix(text(TO_DO, unit))
    }

    /// Tickets with an outside body's number.
    pub(super) fn outside(number: &str) -> Self {
        Self::prefix(text(BY_OUTSIDE, number))
    }

    /// Steps up to a moment, which is included.
    pub(super) fn steps_by(at: Timestamp) -> Self {
        Self { from: vec![STEPS], to: table::end_of(&begun(STEPS, &[&moment(at)])) }
    }

    /// Steps after a moment.
    pub(super) fn steps_after(at: Timestamp) -> Self {
        Self { from: table::end_of(&begun(STEPS, &[&moment(at)])), to: table::end_of(&[STEPS]) }
    }
}

/// An order in which tickets are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index(Key);

impl Index {
    pub(super) fn by_intake() -> Self {
        Self(vec![BY_INTAKE])
    }

    pub(super) fn by_due() -> Self {
        Self(vec![BY_DUE])
    }

    pub(super) fn of_customer(customer: CustomerId) -> Self {
        Self(begun(BY_CUSTOMER, &[customer.0.as_bytes()]))
    }

    pub(super) fn of_service(number_hash: &[u8; 16]) -> Self {
        Self(begun(BY_SERVICE, &[number_hash]))
    }

    /// From a place on, which is not included, to the end in that direction.
    pub(super) fn beyond(&self, place: Option<Place>, backwards: bool) -> Span {
        let whole = Span::prefix(self.0.clone());
        let Some((at, ticket)) = place else { return whole };
        let mut here = self.0.clone();
        here.extend(moment(at));
        here.extend(ticket.0.as_bytes());
        if backwards { Span { to: here, ..whole } } else { Span { from: table::after(&here), ..whole } }
    }

    /// Narrows a span to moments of a range, the end excluded.
    pub(super) fn between(&self, span: Span, from: Option<Timestamp>, to: Option<Timestamp>) -> Span {
        let at = |at: Timestamp| [self.0.as_slice(), &moment(at)].concat();
        Span {
            from: from.map_or(span.from.clone(), |from| span.from.max(at(from))),
            to: to.map_or(span.to.clone(), |to| span.to.min(at(to))),
        }
    }
}

/// The row's own key.
pub(super) fn row(ticket: TicketId) -> Key {
    begun(ROWS, &[ticket.0.as_bytes()])
}

/// The sum of a holder's custody.
pub(super) fn custody(holder: &str) -> Key {
    text(CUSTODY, holder)
}

/// The holder of a key that begins with it.
pub(super) fn holder_of(key: &[u8]) -> Option<String> {
    let (length, rest) = key.get(1..)?.split_at_checked(2)?;
    let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
    String::from_utf8(rest.get(..length)?.to_vec()).ok()
}

/// Every index entry of a row.
pub(super) fn index(row: &Row) -> Vec<Pair> {
    let ticket = row.ticket.0.as_bytes();
    let taken_in = moment(row.taken_in_at);
    let plain = |key: Key| (key, Vec::new());
    let mut entries = vec![
        plain(begun(BY_INTAKE, &[&taken_in, ticket])),
        plain(begun(BY_CUSTOMER, &[row.customer.0.as_bytes(), &taken_in, ticket])),
        plain(begun(BY_SERVICE, &[&row.number_hash, &taken_in, ticket])),
    ];
    entries.extend(row.outside.iter().map(|it| plain(ended(text(BY_OUTSIDE, &it.number), &[ticket]))));
    entries.extend(row.next_step.map(|step| plain(begun(STEPS, &[&step_bytes(step), ticket]))));
    if !row.is_open() {
        return entries;
    }
    let due = |due: Option<Timestamp>| moment(due.unwrap_or(NEVER));
    let stage = [stage_number(row.stage), kind_number(row.kind)];
    let since = |at: Timestamp| at.as_microsecond().to_be_bytes().to_vec();
    entries.push((begun(ON_CHAIN, &[&stage, &taken_in, ticket]), since(row.kept.stage_since)));
    entries.push(plain(begun(BY_DUE, &[&due(row.next_due), ticket])));
    entries.push((ended(text(IN_HAND, &row.holder), &[ticket]), since(row.held_since)));
    let to_do = |unit: &str, at, order: OrderNo| {
        plain(ended(text(TO_DO, unit), &[&due(at), ticket, &order.0.to_be_bytes()]))
    };
    entries.extend(row.orders.iter().map(|order| to_do(order.unit.as_str(), order.due, order.order)));
    let stage = row.stage.row();
    if stage.in_hand_of == InHandOf::Department {
        entries.push(to_do(stage.department, row.next_due, OrderNo(0)));
    }
    entries
}

/// The ticket at the end of a key.
pub(super) fn ticket_of(key: &[u8]) -> Option<TicketId> {
    let id = key.get(key.len().checked_sub(16)?..)?;
    Uuid::from_slice(id).ok().map(TicketId)
}

/// Due moment, ticket and order of an entry of a worklist; order 0 is the ticket itself, with its stage's department.
pub(super) fn work_of(key: &[u8]) -> Option<(Place, OrderNo)> {
    let (before, order) = key.split_at_checked(key.len().checked_sub(4)?)?;
    let due = read_moment(before.get(before.len().checked_sub(24)?..before.len() - 16)?)?;
    Some(((due, ticket_of(before)?), OrderNo(u32::from_be_bytes(order.try_into().ok()?))))
}

/// The first key of a worklist after an entry.
pub(super) fn after_work(unit: &str, ((due, ticket), order): (Place, OrderNo)) -> Key {
    table::after(&ended(text(TO_DO, unit), &[&moment(due), ticket.0.as_bytes(), &order.0.to_be_bytes()]))
}

/// Stage, kind and moment of intake of an entry on the chain.
pub(super) fn on_chain(key: &[u8]) -> Option<(Stage, Kind, Timestamp)> {
    let stage = *Stage::ALL.get(usize::from(*key.get(1)?))?;
    let kind = *KINDS.get(usize::from(*key.get(2)?))?;
    Some((stage, kind, read_moment(key.get(3..11)?)?))
}

/// A moment in a value.
pub(super) fn since(value: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(value.try_into().ok()?);
    Timestamp::from_microsecond(micros).ok()
}

/// The step in a key.
pub(super) fn step_of(key: &[u8]) -> Option<DueStep> {
    let from = read_moment(key.get(1..9)?)?;
    let number = u32::from_be_bytes(key.get(10..14)?.try_into().ok()?);
    let clock = ClockNo(number);
    let step = match *key.get(9)? {
        0 => Step::Restate(clock),
        1 => Step::Warn(clock),
        2 => Step::Breach(clock),
        3 => Step::Rung(clock, *RUNGS.get(usize::from(*key.get(14)?))?),
        4 => Step::Final(VerdictNo(number)),
        5 => Step::Resume,
        _ => return None,
    };
    Some(DueStep { from, step })
}

/// A step in the order of steps: its moment, what happens, to what.
fn step_bytes(due: DueStep) -> Vec<u8> {
    let (tag, number, rung) = match due.step {
        Step::Restate(clock) => (0, clock.0, 0),
        Step::Warn(clock) => (1, clock.0, 0),
        Step::Breach(clock) => (2, clock.0, 0),
        Step::Rung(clock, rung) => (3, clock.0, rung_number(rung)),
        Step::Final(verdict) => (4, verdict.0, 0),
        Step::Resume => (5, 0, 0),
    };
    [&moment(due.from)[..], &[tag], &number.to_be_bytes(), &[rung]].concat()
}

const KINDS: [Kind; 3] = [Kind::Complaint, Kind::Fault, Kind::Install];

fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Complaint => 0,
        Kind::Fault => 1,
        Kind::Install => 2,
    }
}

const RUNGS: [Rung; 5] = [Rung::Urge, Rung::Notice, Rung::Criticism, Rung::Listed, Rung::Interview];

fn rung_number(rung: Rung) -> u8 {
    match rung {
        Rung::Urge => 0,
        Rung::Notice => 1,
        Rung::Criticism => 2,
        Rung::Listed => 3,
        Rung::Interview => 4,
    }
}

/// Its place on the chain.
fn stage_number(stage: Stage) -> u8 {
    stage as u8
}

/// A moment in the order of moments, also before 1970.
fn moment(at: Timestamp) -> [u8; 8] {
    (at.as_microsecond().cast_unsigned() ^ SIGN).to_be_bytes()
}

fn read_moment(bytes: &[u8]) -> Option<Timestamp> {
    let ordered = u64::from_be_bytes(bytes.try_into().ok()?);
    Timestamp::from_microsecond((ordered ^ SIGN).cast_signed()).ok()
}

const SIGN: u64 = 1 << 63;

fn begun(first: u8, parts: &[&[u8]]) -> Key {
    ended(vec![first], parts)
}

fn ended(mut key: Key, parts: &[&[u8]]) -> Key {
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// A text with its length before it: no text is the beginning of another.
fn text(first: u8, text: &str) -> Key {
    // Names and numbers are bounded far below; what is longer would share its place with its beginning.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    begun(first, &[&length.to_be_bytes(), text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_sort_as_they_happen_and_are_read_back() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let mut steps = Vec::new();
        for from in [NEVER, Timestamp::MIN, at(-1), at(0), at(1), at(1_700_000_000_000_000)] {
            steps.push(DueStep { from, step: Step::Resume });
            for number in [1, 2, 300] {
                let clock = ClockNo(number);
                let of_clock = [Step::Restate(clock), Step::Warn(clock), Step::Breach(clock)];
                let rungs = RUNGS.map(|rung| Step::Rung(clock, rung));
                let all = of_clock.into_iter().chain(rungs).chain([Step::Final(VerdictNo(number))]);
                steps.extend(all.map(|step| DueStep { from, step }));
            }
        }
        let mut by_key = steps.clone();
        by_key.sort_by_key(|step| step_bytes(*step));
        steps.sort();
        assert_eq!(by_key, steps);
        for step in steps {
            let key = begun(STEPS, &[&step_bytes(step), &[7; 16]]);
            let whole = DueStep { from: at(step.from.as_microsecond()), ..step };
            assert_eq!(step_of(&key), Some(whole));
            assert_eq!(ticket_of(&key), Some(TicketId(Uuid::from_bytes([7; 16]))));
        }
    }

    #[test]
    fn numbers_of_stages_kinds_and_rungs_lead_back() {
        for stage in Stage::ALL {
            assert_eq!(Stage::ALL[usize::from(stage_number(stage))], stage);
        }
        for kind in KINDS {
            assert_eq!(KINDS[usize::from(kind_number(kind))], kind);
        }
        for rung in RUNGS {
            assert_eq!(RUNGS[usize::from(rung_number(rung))], rung);
        }
    }

    #[test]
    fn no_name_is_the_beginning_of_another() {
        let whole = Span::to_do("line");
        let other = ended(text(TO_DO, "line-crew"), &[&[0; 8]]);
        assert!(!(whole.from..whole.to).contains(&other));
        assert_eq!(holder_of(&custody("line-crew")).as_deref(), Some("line-crew"));
    }
}

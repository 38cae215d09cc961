//! Seeded events for tests of this and other crates: plausible, and with the corners that break encoders.

use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::Target;
use duban_aggregates::ids::{
    AppointmentNo, ClockNo, CommandId, CustomerId, DueNo, EmergencyId, EmployeeId, EscalationNo, EventId,
    HistoryId, MeasureNo, NoticeId, OrderNo, ProblemId, RequestNo, TicketId, UnitId, VerdictNo,
};
use duban_aggregates::meta::Meta;
use duban_aggregates::office::{self, DayHead, SignedHead};
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::Cause;
use duban_aggregates::ticket::clock::Subject;
use duban_aggregates::ticket::intake::Fact;
use duban_aggregates::ticket::verdict::Finding;
use duban_aggregates::ticket::{self, fault, install};
use duban_aggregates::{customer, edition, emergency, imported, notice, problem};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use uuid::Uuid;

use crate::envelope::{Lineage, Parts, encode_metadata};
use crate::events::Stored;

/// A small generator (SplitMix64): the same seed gives the same samples on every machine.
#[derive(Clone, Debug)]
pub struct Gen {
    state: u64,
    corners: bool,
}

impl Gen {
    /// Plausible values only.
    #[must_use]
    pub fn plain(seed: u64) -> Self {
        Self { state: seed, corners: false }
    }

    /// Corners too: empty lists and texts, extreme numbers, moments to the nanosecond, odd characters.
    #[must_use]
    pub fn wild(seed: u64) -> Self {
        Self { state: seed, corners: true }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).unwrap_or(0)].clone()
    }

    /// Bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.bits().to_le_bytes()[0])
    }

    /// Whether a corner is due: one time in eight, where they are wanted.
    fn corner(&mut self) -> bool {
        self.corners && self.below(8) == 0
    }
}

/// A type of which samples can be made.
pub trait Sample: Sized {
    /// The next sample.
    fn sample(g: &mut Gen) -> Self;
}

impl<T: Sample> Sample for Option<T> {
    fn sample(g: &mut Gen) -> Self {
        (g.below(3) > 0).then(|| T::sample(g))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(g: &mut Gen) -> Self {
        let length = if g.corner() { 0 } else { 1 + g.below(3) };
        (0..length).map(|_| T::sample(g)).collect()
    }
}

impl<T: Sample> Sample for Box<T> {
    fn sample(g: &mut Gen) -> Self {
        Self::new(T::sample(g))
    }
}

impl<const N: usize> Sample for [u8; N] {
    fn sample(g: &mut Gen) -> Self {
        g.bytes()
    }
}

impl Sample for bool {
    fn sample(g: &mut Gen) -> Self {
        g.below(2) == 1
    }
}

impl Sample for u32 {
    fn sample(g: &mut Gen) -> Self {
        if g.corner() { g.pick(&[0, 127, 128, Self::MAX]) } else { g.pick(&[1, 2, 3, 5, 80]) }
    }
}

impl Sample for u64 {
    fn sample(g: &mut Gen) -> Self {
        if g.corner() { g.pick(&[0, 1 << 53, (1 << 53) + 1, Self::MAX]) } else { g.below(100_000) }
    }
}

impl Sample for String {
    fn sample(g: &mut Gen) -> Self {
        let text = if g.corner() {
            g.pick(&[
                "",
                "\"\\/\u{8}\u{c}\n\r\t",
                "\u{1}\u{7f}\u{2028}\u{feff}",
                "𠮷😀e\u{301}",
                "<a href='x'>&amp;</a>",
            ])
        } else {
            g.pick(&[
                "河南",
                "郑州",
                "二七区",
                "fault.broadband.down",
                "FK-2026-0417",
                "光缆被挖断，已熔接",
                "assessment/3.2",
            ])
        };
        text.to_owned()
    }
}

impl Sample for Uuid {
    fn sample(g: &mut Gen) -> Self {
        uuid::Builder::from_random_bytes(g.bytes()).into_uuid()
    }
}

macro_rules! samples {
    ($inner:ty => $($type:ident),*) => {$(
        impl Sample for $type {
            fn sample(g: &mut Gen) -> Self {
                Self(<$inner>::sample(g))
            }
        }
    )*};
}

samples! { Uuid => TicketId, CustomerId, CommandId, EventId, ProblemId, NoticeId, EmergencyId, HistoryId }
samples! { u32 => OrderNo, RequestNo, ClockNo, VerdictNo, MeasureNo, DueNo, AppointmentNo, EscalationNo }

impl Sample for EmployeeId {
    fn sample(g: &mut Gen) -> Self {
        g.pick(&["e1024", "e2077", "工号3001", "timer"]).into()
    }
}

impl Sample for UnitId {
    fn sample(g: &mut Gen) -> Self {
        g.pick(&["line-crew-2", "access-network", "transmission", "desk", "装维三班"]).into()
    }
}

impl Sample for Timestamp {
    fn sample(g: &mut Gen) -> Self {
        if g.corner() {
            let corners =
                ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "9999-12-31T23:59:59.999999999Z"];
            return g.pick(&corners).parse().unwrap_or_default();
        }
        let nanos = if g.corners { g.pick(&[0, 1, 120_000_000, 120_300_000, 999_999_999]) } else { 0 };
        let second = 1_767_225_600 + i64::try_from(g.below(31_536_000)).unwrap_or(0);
        Self::new(second, nanos).unwrap_or_default()
    }
}

impl Sample for Date {
    fn sample(g: &mut Gen) -> Self {
        let day = i8::try_from(1 + g.below(28)).unwrap_or(1);
        Self::new(2026, g.pick(&[1, 2, 6, 12]), day).unwrap_or_default()
    }
}

impl Sample for Sealed {
    fn sample(g: &mut Gen) -> Self {
        let length = if g.corner() { 16 } else { 16 + g.below(60) };
        let ciphertext = (0..length).map(|_| g.bits().to_le_bytes()[0]).collect();
        Self { customer: Sample::sample(g), nonce: g.bytes(), ciphertext }
    }
}

impl Sample for SignedHead {
    fn sample(g: &mut Gen) -> Self {
        let head = DayHead {
            day: Sample::sample(g),
            size: Sample::sample(g),
            root: g.bytes(),
            streams: Sample::sample(g),
            streams_root: g.bytes(),
        };
        Self { head, key: g.bytes(), signature: g.bytes() }
    }
}

impl Sample for Cause {
    fn sample(g: &mut Gen) -> Self {
        match g.below(3) {
            0 => Self::NotYetKnown,
            1 => Self::NewOrder,
            _ => Self::Known(Sample::sample(g)),
        }
    }
}

impl Sample for Finding {
    fn sample(g: &mut Gen) -> Self {
        if g.below(2) == 0 {
            return Self::NotAtFault { reason: Sample::sample(g) };
        }
        Self::AtFault {
            rule: Sample::sample(g),
            points: Sample::sample(g),
            penalty_fen: Sample::sample(g),
            because: Sample::sample(g),
            reason: Sample::sample(g),
        }
    }
}

impl Sample for Subject {
    fn sample(g: &mut Gen) -> Self {
        match g.below(4) {
            0 => Self::Ticket,
            1 => Self::Stage(Sample::sample(g)),
            2 => Self::Order(Sample::sample(g)),
            _ => Self::Request(Sample::sample(g)),
        }
    }
}

impl Sample for Target {
    fn sample(g: &mut Gen) -> Self {
        match g.below(7) {
            0 => Self::Minutes(Sample::sample(g)),
            1 => Self::Hours(Sample::sample(g)),
            2 => Self::CalendarDays(Sample::sample(g)),
            3 => Self::WorkingDays(Sample::sample(g)),
            4 => Self::SameDayElseHours {
                by: g.pick(&[Time::midnight(), Time::constant(16, 0, 0, 0), Time::constant(23, 59, 59, 0)]),
                else_hours: Sample::sample(g),
            },
            5 => Self::Day(Sample::sample(g)),
            _ => Self::Moment(Sample::sample(g)),
        }
    }
}

impl Sample for Fact {
    fn sample(g: &mut Gen) -> Self {
        match g.below(8) {
            0 => Self::Fault(fault::Fact::LineTested {
                passed: Sample::sample(g),
                reference: Sample::sample(g),
                result: Sample::sample(g),
            }),
            1 => Self::Fault(fault::Fact::Repaired { work: Sample::sample(g) }),
            2 => Self::Fault(fault::Fact::ServiceUp),
            3 => Self::Fault(fault::Fact::TerminalJudged { customers_own: Sample::sample(g) }),
            4 => Self::Fault(fault::Fact::ArrearsPaid { reference: Sample::sample(g) }),
            5 => Self::Install(install::Fact::MilestoneReached { milestone: Sample::sample(g) }),
            6 => Self::Install(install::Fact::AppointmentEnded {
                appointment: Sample::sample(g),
                outcome: Sample::sample(g),
            }),
            _ => Self::Category { category: Sample::sample(g) },
        }
    }
}

/// A sample of any stored type, as the log would keep it: domain event, metadata, envelope. None for an unknown type.
#[must_use]
pub fn parts(kind: &str, g: &mut Gen) -> Option<Parts> {
    let (kind, payload) = payload(kind, g)?;
    let meta = Meta {
        id: Sample::sample(g),
        revision: Sample::sample(g),
        recorded_at: whole_microseconds(g),
        occurred_at: whole_microseconds(g),
        actor: Actor { id: Sample::sample(g), role: Sample::sample(g), unit: Sample::sample(g) },
        command: Sample::sample(g),
        fingerprint: g.bytes(),
    };
    let lineage = Lineage {
        correlation: Sample::sample(g),
        causation: Sample::sample(g),
        trace_context: g.pick(&["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]).to_owned(),
    };
    let policy_version = g.pick(&["cn-national-1", ""]);
    Some(Parts {
        id: meta.id.0,
        stream: format!("complaint-{}", Uuid::sample(g)),
        revision: meta.revision,
        position: Sample::sample(g),
        kind,
        occurred_at: meta.occurred_at.as_microsecond(),
        recorded_at: meta.recorded_at.as_microsecond(),
        tags: vec![("kind".into(), "complaint".into()), ("unit".into(), String::sample(g).into())],
        metadata: encode_metadata(&meta, &lineage, policy_version),
        payload: payload.into(),
    })
}

fn payload(kind: &str, g: &mut Gen) -> Option<(&'static str, Vec<u8>)> {
    fn of<E: Stored>(kind: &str, g: &mut Gen) -> Option<(&'static str, Vec<u8>)> {
        E::sample(kind, g).map(|event| event.encode())
    }
    of::<ticket::Event>(kind, g)
        .or_else(|| of::<problem::Event>(kind, g))
        .or_else(|| of::<notice::Event>(kind, g))
        .or_else(|| of::<customer::Event>(kind, g))
        .or_else(|| of::<office::Event>(kind, g))
        .or_else(|| of::<edition::Event>(kind, g))
        .or_else(|| of::<emergency::Event>(kind, g))
        .or_else(|| of::<imported::Event>(kind, g))
}

/// Logs keep moments to the microsecond.
fn whole_microseconds(g: &mut Gen) -> Timestamp {
    Timestamp::from_microsecond(Timestamp::sample(g).as_microsecond()).unwrap_or_default()
}

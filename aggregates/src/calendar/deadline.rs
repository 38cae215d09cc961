//! Deadline arithmetic: from a target and a start to the moment due and the warning (domain.md section 4).
//!
//! - Hour and minute targets run from the second, through nights, weekends and holidays.
//! - Day targets skip the starting day and end at 24:00 of their last day.
//! - A calendar-day target whose last day is a day off rolls to the next working day (Civil Code 201 to 203).
//! - **Exactly at due is on time**: a clock is breached by the first instant *after* [`Deadline::due`]
//!   ([`Deadline::is_late`]). So `due` of a day target is 00:00:00 of the following day, and work recorded at
//!   that very instant is still on time.
//! - The warning falls when its share of the span from start to due has passed, measured in the target's own
//!   calendar. For hours, minutes, calendar days, fixed days and moments that is the wall clock: for 15 calendar days
//!   the span to the rolled due, holidays included. For working days it is working seconds: a working day counts
//!   24 hours, a day off nothing, and what is left of the starting day counts if it is a working day. The warning is
//!   the first instant at which the whole seconds of the share (rounded down) have passed.
//! - A day target that runs through a year whose holidays are not published is provisional: from its starting day
//!   through its last day, not the instant of 24:00. Hour targets and fixed moments never are.
//!
//! **Pauses.** A target in hours, and a fixed moment, moves by the length of the pause. Of a target in days, the days
//! left after the day of the pause are counted again from the day of resuming (which is skipped, like a starting
//! day); days that only the rolling had added are not counted, the new last day rolls by itself. If no day was left,
//! the last day is the day of resuming itself, rolled to a working day. Paused and resumed on one day changes
//! nothing. A warning that had fallen due before the pause stays; one that had not never falls before resuming.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};

use crate::calendar::{Calendar, add_days, count_days, due_day, end_of_day, local_date, local_time};

#[cfg(test)]
mod table;

/// The warning's share of the span when a policy names none, in percent (domain.md section 4).
pub const WARN_PERCENT: u32 = 80;

/// How long a clock may run.
///
/// The text form ([`fmt::Display`], [`FromStr`]) is what policy files hold: `30m`, `48h`, `15d` calendar days,
/// `5wd` working days, `16:00/24h` the same day if in by 16:00, else 24 hours, `2026-03-01` a fixed day, and an
/// RFC 3339 instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Minutes, from the second.
    Minutes(u32),
    /// Hours, from the second.
    Hours(u32),
    /// Calendar days after the starting day, rolled to a working day.
    CalendarDays(u32),
    /// Working days after the starting day.
    WorkingDays(u32),
    /// The operator's promise: in by `by` (included) means 24:00 of the same day, later means `else_hours`.
    SameDayElseHours {
        /// Civil time in Shanghai up to which the same day is promised.
        by: Time,
        /// Hours from the second when it is later.
        else_hours: u32,
    },
    /// 24:00 of a day agreed with the customer (an install's promised date). It does not roll.
    Day(Date),
    /// A fixed instant: an outside body's deadline, an extension, an order's deadline set by dispatch.
    Moment(Timestamp),
}

/// A target that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no target: use 30m, 48h, 15d, 5wd, 16:00/24h, a day or an instant, none of them zero")]
pub struct TargetError(pub String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(count) => write!(f, "{count}m"),
            Self::Hours(count) => write!(f, "{count}h"),
            Self::CalendarDays(count) => write!(f, "{count}d"),
            Self::WorkingDays(count) => write!(f, "{count}wd"),
            Self::SameDayElseHours { by, else_hours } => {
                write!(f, "{:02}:{:02}/{else_hours}h", by.hour(), by.minute())
            }
            Self::Day(date) => write!(f, "{date}"),
            Self::Moment(at) => write!(f, "{at}"),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = |suffix: &str| {
            let digits = text.strip_suffix(suffix)?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|count| plain && (1..=MAX_COUNT).contains(count))
        };
        let target = if let Some((by, hours)) = text.split_once('/') {
            parse_promise(by, hours)
        } else if let Some(days) = count("wd") {
            Some(Self::WorkingDays(days))
        } else if let Some(days) = count("d") {
            Some(Self::CalendarDays(days))
        } else if let Some(hours) = count("h") {
            Some(Self::Hours(hours))
        } else if let Some(minutes) = count("m") {
            Some(Self::Minutes(minutes))
        } else if text.contains('T') {
            text.parse().ok().map(Self::Moment)
        } else {
            text.parse().ok().map(Self::Day)
        };
        target.ok_or_else(|| TargetError(text.to_owned()))
    }
}

/// The largest count of a relative target: about eleven years of minutes, and far below any overflow.
const MAX_COUNT: u32 = 6_000_000;

fn parse_promise(by: &str, hours: &str) -> Option<Target> {
    let by: Time = by.parse().ok()?;
    let Ok(Target::Hours(else_hours)) = hours.parse() else { return None };
    (by.second() == 0 && by.subsec_nanosecond() == 0).then_some(Target::SameDayElseHours { by, else_hours })
}

impl<'de> serde::Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a clock stores when it starts, and again when it resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// The last instant that is on time.
    pub due: Timestamp,
    /// When the warning falls: never after `due`, and never before the start unless `due` itself is (a fixed moment).
    pub warn_at: Timestamp,
    /// The count ran through a year whose holidays are not published; loading the year restates it.
    pub provisional: bool,
}

impl Deadline {
    /// Is `at` too late? Exactly at due is on time.
    pub fn is_late(&self, at: Timestamp) -> bool {
        at > self.due
    }

    /// Has the warning fallen at `at`?
    pub fn is_warned(&self, at: Timestamp) -> bool {
        at >= self.warn_at
    }
}

/// A pause of a clock that has ended. Both instants are when they were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When the clock stopped.
    pub paused_at: Timestamp,
    /// When it ran again; never before `paused_at`.
    pub resumed_at: Timestamp,
}

/// The deadline of a clock that starts at `start` and was never paused.
///
/// `warn_percent` is the warning's share of the span, 1 to 100; larger counts as 100.
pub fn deadline(target: Target, start: Timestamp, warn_percent: u32, calendar: &Calendar) -> Deadline {
    resume(target, start, warn_percent, &[], calendar)
}

/// The deadline of a clock that starts at `start`, after all its pauses up to now.
///
/// `pauses` holds every pause of this clock that has ended, in order and not overlapping, the one that ends now
/// last. The whole list is needed because a rolled last day does not tell how many days were left. An extension or a
/// correction makes a new target or start, and drops the pauses before it. Given the list, the result depends on
/// nothing else: restating a clock under a new calendar is this same call.
pub fn resume(
    target: Target,
    start: Timestamp,
    warn_percent: u32,
    pauses: &[Pause],
    calendar: &Calendar,
) -> Deadline {
    let mut warn_at = warning(target, start, warn_percent, &[], calendar);
    for (index, pause) in pauses.iter().enumerate() {
        if warn_at > pause.paused_at {
            let share = warning(target, start, warn_percent, &pauses[..=index], calendar);
            warn_at = share.max(pause.resumed_at);
        }
    }
    let due = due(target, start, pauses, calendar);
    let provisional = match target {
        Target::CalendarDays(_) | Target::WorkingDays(_) => {
            calendar.is_provisional(local_date(start), due_day(due))
        }
        Target::Minutes(_)
        | Target::Hours(_)
        | Target::SameDayElseHours { .. }
        | Target::Day(_)
        | Target::Moment(_) => false,
    };
    Deadline { due, warn_at: warn_at.min(due), provisional }
}

/// The last instant on time.
pub(crate) fn due(target: Target, start: Timestamp, pauses: &[Pause], calendar: &Calendar) -> Timestamp {
    match target {
        Target::Minutes(count) => moved(plus(start, i64::from(count) * 60), pauses),
        Target::Hours(count) => moved(plus(start, i64::from(count) * 3600), pauses),
        Target::SameDayElseHours { by, else_hours } => {
            let base = if local_time(start) <= by {
                end_of_day(local_date(start))
            } else {
                plus(start, i64::from(else_hours) * 3600)
            };
            moved(base, pauses)
        }
        Target::Moment(at) => moved(at, pauses),
        Target::Day(date) => end_of_day(calendar_day(date, pauses)),
        Target::CalendarDays(count) => {
            let last = calendar_day(add_days(local_date(start), count), pauses);
            end_of_day(calendar.working_day_from(last))
        }
        Target::WorkingDays(count) => {
            let mut anchor = local_date(start);
            let mut left = count;
            for pause in pauses {
                let passed = calendar.count_working_days(anchor, local_date(pause.paused_at));
                left = left.saturating_sub(passed);
                anchor = local_date(pause.resumed_at);
            }
            end_of_day(calendar.working_day_from(calendar.add_working_days(anchor, left)))
        }
    }
}

/// The last calendar day after the pauses, before any rolling.
fn calendar_day(last: Date, pauses: &[Pause]) -> Date {
    pauses.iter().fold(last, |last, pause| {
        let left = count_days(local_date(pause.paused_at), last);
        add_days(local_date(pause.resumed_at), left).max(last)
    })
}

/// The first instant at which the warning's share of the running time has passed.
fn warning(
    target: Target,
    start: Timestamp,
    percent: u32,
    pauses: &[Pause],
    calendar: &Calendar,
) -> Timestamp {
    let due = due(target, start, pauses, calendar);
    let working = matches!(target, Target::WorkingDays(_));
    let seconds = |(from, to): (Timestamp, Timestamp)| {
        if working { calendar.working_seconds(from, to) } else { to.duration_since(from).as_secs().max(0) }
    };
    // The stretches in which the clock runs: from the start, or a resumption, to the next pause or to due.
    let begins = std::iter::once(start).chain(pauses.iter().map(|pause| pause.resumed_at));
    let ends = pauses.iter().map(|pause| pause.paused_at).chain(std::iter::once(due));
    let stretches: Vec<_> = begins.zip(ends).collect();
    let total: i64 = stretches.iter().copied().map(seconds).sum();
    let mut left = total.saturating_mul(i64::from(percent.min(100))) / 100;
    for (from, to) in stretches {
        let length = seconds((from, to));
        if left <= length {
            return if working { calendar.add_working_seconds(from, left) } else { plus(from, left) };
        }
        left -= length;
    }
    due
}

fn plus(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn moved(at: Timestamp, pauses: &[Pause]) -> Timestamp {
    let paused: SignedDuration =
        pauses.iter().map(|pause| pause.resumed_at.duration_since(pause.paused_at)).sum();
    at.saturating_add(paused.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MAX)
}

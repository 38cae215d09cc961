//! The working calendar: which days count, by versioned data (domain.md section 4).
//!
//! Civil time here is Asia/Shanghai, held as the fixed offset UTC+8: the zone has kept no daylight saving time
//! since 1991, so no time zone database is read. The data file lists the public holidays of each published year
//! and the weekend days worked in exchange for them (调休); every other Monday to Friday is a working day, every
//! other Saturday and Sunday is a day off.
//!
//! A day ends at 24:00, which is the same instant as 00:00 of the next day. As the *start* of a count an instant
//! at midnight belongs to the day it opens ([`local_date`]); as a *deadline* it belongs to the day it ends
//! ([`due_day`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use toml::Spanned;

mod deadline;

pub(crate) use deadline::due;
pub use deadline::{Deadline, Pause, Target, TargetError, WARN_PERCENT, deadline, resume};

/// The offset of Asia/Shanghai: UTC+8 all year.
pub const SHANGHAI: Offset = Offset::constant(8);

/// Seconds in a civil day; every day in Shanghai has as many.
pub const DAY_SECONDS: i64 = 86_400;

/// The civil day in Shanghai that an instant falls on. Midnight belongs to the day that it opens.
pub fn local_date(at: Timestamp) -> Date {
    SHANGHAI.to_datetime(at).date()
}

/// The civil time of day in Shanghai of an instant.
pub fn local_time(at: Timestamp) -> Time {
    SHANGHAI.to_datetime(at).time()
}

/// The civil day that a deadline falls on: midnight, being 24:00, belongs to the day that it ends.
pub fn due_day(due: Timestamp) -> Date {
    let date = local_date(due);
    if start_of_day(date) == due { previous(date) } else { date }
}

/// The instant of `time` on `date` in Shanghai. Beyond the range of timestamps (year 9999) it saturates.
pub fn at_time(date: Date, time: Time) -> Timestamp {
    SHANGHAI.to_timestamp(date.to_datetime(time)).unwrap_or(Timestamp::MAX)
}

/// 00:00 of a civil day in Shanghai.
pub fn start_of_day(date: Date) -> Timestamp {
    at_time(date, Time::midnight())
}

/// 24:00 of a civil day in Shanghai, which is 00:00 of the next.
pub fn end_of_day(date: Date) -> Timestamp {
    start_of_day(add_days(date, 1))
}

/// The civil day `days` calendar days after `date`. Beyond the year 9999 it saturates.
pub fn add_days(date: Date, days: u32) -> Date {
    date.saturating_add(i64::from(days).days())
}

/// How many calendar days lie in (`after`, `through`]; zero when `through` is not later.
pub fn count_days(after: Date, through: Date) -> u32 {
    let hours = through.duration_since(after).as_hours();
    u32::try_from(hours / 24).unwrap_or(0)
}

fn previous(date: Date) -> Date {
    date.yesterday().unwrap_or(date)
}

fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Why a calendar file was refused. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not TOML, or not of the expected shape.
    #[error("calendar is not readable: {0}")]
    Syntax(String),
    /// A day or range that does not exist.
    #[error(
        "line {line}: `{text}` is not a day or a range of days of {year} (month-day or month-day/month-day)"
    )]
    Day {
        /// Line of the holiday.
        line: usize,
        /// Year of the section.
        year: i16,
        /// What the file says.
        text: String,
    },
    /// A year listed twice.
    #[error("line {line}: the year {year} is listed twice")]
    YearTwice {
        /// Line of the second section.
        line: usize,
        /// The year.
        year: i16,
    },
    /// A day that two holidays of the file claim, or that is off and worked at once.
    #[error("line {line}: {date} is listed twice")]
    DayTwice {
        /// Line of the second mention.
        line: usize,
        /// The day.
        date: Date,
    },
    /// A shifted working day that is a working day anyway.
    #[error("line {line}: {date} is no weekend day, so it cannot be worked in exchange")]
    NotAWeekend {
        /// Line of the holiday.
        line: usize,
        /// The day.
        date: Date,
    },
    /// No version, or an empty one.
    #[error("calendar has an empty version")]
    NoVersion,
}

/// Public holidays and shifted working days of the published years, with the version that clocks store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Name of this edition of the data, stored with every deadline that was computed from it.
    pub version: String,
    years: BTreeSet<i16>,
    /// Exceptions only: `true` is a weekend day worked, `false` a day off.
    days: BTreeMap<Date, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarFile {
    version: String,
    #[serde(default)]
    year: Vec<Spanned<YearSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YearSection {
    year: i16,
    #[serde(default)]
    holidays: Vec<Spanned<Holiday>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holiday {
    #[serde(rename = "name")]
    _name: String,
    off: Option<String>,
    #[serde(default)]
    work: Vec<String>,
}

/// The line, counted from 1, of a byte offset in `text`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

impl Calendar {
    /// The calendar of mainland China that ships with this crate: 2015 to 2026.
    ///
    /// # Panics
    ///
    /// Never: a test parses the embedded file.
    pub fn cn() -> Arc<Self> {
        static CN: LazyLock<Arc<Calendar>> = LazyLock::new(|| {
            let text = include_str!("../data/calendar-cn.toml");
            Arc::new(Calendar::parse(text).expect("the embedded calendar is valid"))
        });
        Arc::clone(&CN)
    }

    /// Reads a calendar file (the format is described in `data/calendar-cn.toml`).
    ///
    /// # Errors
    ///
    /// [`CalendarError`], with the line, for anything that is not a consistent calendar.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let file: CalendarFile = toml::from_str(text)
            .map_err(|error| CalendarError::Syntax(error.to_string().trim_end().to_owned()))?;
        if file.version.trim().is_empty() {
            return Err(CalendarError::NoVersion);
        }
        let mut calendar = Self { version: file.version, years: BTreeSet::new(), days: BTreeMap::new() };
        for section in &file.year {
            let year = section.get_ref().year;
            if !calendar.years.insert(year) {
                return Err(CalendarError::YearTwice { line: line_of(text, section.span().start), year });
            }
            for holiday in &section.get_ref().holidays {
                calendar.add_holiday(year, holiday.get_ref(), line_of(text, holiday.span().start))?;
            }
        }
        Ok(calendar)
    }

    fn add_holiday(&mut self, year: i16, holiday: &Holiday, line: usize) -> Result<(), CalendarError> {
        if let Some(range) = &holiday.off {
            let (first, last) = range.split_once('/').unwrap_or((range, range));
            let (first, last) = (parse_day(year, first, line)?, parse_day(year, last, line)?);
            if last < first {
                return Err(CalendarError::Day { line, year, text: range.clone() });
            }
            for date in first.series(1.day()).take_while(|date| *date <= last) {
                self.add_exception(date, false, line)?;
            }
        }
        for text in &holiday.work {
            let date = parse_day(year, text, line)?;
            if !is_weekend(date) {
                return Err(CalendarError::NotAWeekend { line, date });
            }
            self.add_exception(date, true, line)?;
        }
        Ok(())
    }

    fn add_exception(&mut self, date: Date, working: bool, line: usize) -> Result<(), CalendarError> {
        match self.days.insert(date, working) {
            None => Ok(()),
            Some(_) => Err(CalendarError::DayTwice { line, date }),
        }
    }

    /// This calendar with the years of `other` added or replaced, under the version of `other`: how an operator
    /// publishes a new year without repeating the old ones.
    #[must_use]
    pub fn extended_by(&self, other: &Self) -> Self {
        let mut calendar = self.clone();
        calendar.version.clone_from(&other.version);
        calendar.days.retain(|date, _| !other.years.contains(&date.year()));
        calendar.days.extend(&other.days);
        calendar.years.extend(&other.years);
        calendar
    }

    /// The calendar as a file that reads as the same calendar; days stand under their own year, one a line.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let escaped = |letter: char| match letter {
            '"' | '\\' => format!("\\{letter}"),
            control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
            other => other.to_string(),
        };
        let version: String = self.version.chars().map(escaped).collect();
        let mut text = format!("version = \"{version}\"\n");
        for year in &self.years {
            let of_year = self.days.iter().filter(|(date, _)| date.year() == *year);
            let days = of_year.map(|(date, working)| {
                let day = date.strftime("%m-%d");
                let says = if *working { format!("work = [\"{day}\"]") } else { format!("off = \"{day}\"") };
                format!("    {{ name = \"\", {says} }},\n")
            });
            text += &format!("\n[[year]]\nyear = {year}\nholidays = [\n{}]\n", days.collect::<String>());
        }
        text
    }

    /// The years whose holidays are published, ascending.
    pub fn years(&self) -> impl DoubleEndedIterator<Item = i16> + '_ {
        self.years.iter().copied()
    }

    /// Are the holidays of `year` published in this calendar?
    pub fn published(&self, year: i16) -> bool {
        self.years.contains(&year)
    }

    /// Does any day from `from` through `to` (both included) lie in a year that is not published?
    ///
    /// A notice now and then moves the last days of the December before its year (29 to 31 December 2018); such days
    /// are published with their own year here, and a later file that moves them restates whatever ends on them.
    pub fn is_provisional(&self, from: Date, to: Date) -> bool {
        (from.year()..=to.year()).any(|year| !self.published(year))
    }

    /// Is `date` a working day? In a year that is not published: is it Monday to Friday?
    pub fn is_working_day(&self, date: Date) -> bool {
        self.days.get(&date).copied().unwrap_or_else(|| !is_weekend(date))
    }

    /// `date` itself if it is a working day, else the first one after it.
    pub fn working_day_from(&self, date: Date) -> Date {
        let mut day = date;
        while !self.is_working_day(day) && day < Date::MAX {
            day = add_days(day, 1);
        }
        day
    }

    /// The first working day after `date`.
    pub fn next_working_day(&self, date: Date) -> Date {
        self.working_day_from(add_days(date, 1))
    }

    /// The `count`-th working day after `date`, which itself is not counted. Zero gives `date` itself.
    pub fn add_working_days(&self, date: Date, count: u32) -> Date {
        (0..count).fold(date, |day, _| self.next_working_day(day))
    }

    /// How many working days lie in (`after`, `through`]; zero when `through` is not later.
    pub fn count_working_days(&self, after: Date, through: Date) -> u32 {
        let mut count = 0;
        let mut day = after;
        while day < through {
            day = add_days(day, 1);
            count += u32::from(self.is_working_day(day));
        }
        count
    }

    /// 24:00 of the `count`-th working day after the day of `at`: pauses that end by themselves, appeals
    /// (domain.md sections 4 and 7). An `at` of midnight belongs to the day that it opens.
    pub fn working_days_after(&self, at: Timestamp, count: u32) -> Timestamp {
        end_of_day(self.add_working_days(local_date(at), count))
    }

    /// 24:00 of the `count`-th working day after the day that `due` ends: the steps +5, +10, +15 of the ladder
    /// (domain.md section 4). A deadline of Monday 24:00 counts from Monday.
    pub fn working_days_after_due(&self, due: Timestamp, count: u32) -> Timestamp {
        end_of_day(self.add_working_days(due_day(due), count))
    }

    /// `time` on the first working day after the day that `due` ends: the ladder's 催办通知书 at 09:00
    /// (domain.md section 4). After a deadline of Monday 24:00 that is Tuesday.
    pub fn next_working_day_at(&self, due: Timestamp, time: Time) -> Timestamp {
        at_time(self.next_working_day(due_day(due)), time)
    }

    /// Whole seconds between two instants that fall on working days, each of which counts 24 hours; zero when
    /// `to` is not later.
    pub fn working_seconds(&self, from: Timestamp, to: Timestamp) -> i64 {
        let mut total = 0;
        let mut at = from;
        while at < to {
            let date = local_date(at);
            let end = end_of_day(date).min(to);
            if self.is_working_day(date) {
                total += end.duration_since(at).as_secs();
            }
            if end <= at {
                break;
            }
            at = end;
        }
        total
    }

    /// The first instant at which `seconds` working seconds have passed since `from`.
    pub fn add_working_seconds(&self, from: Timestamp, seconds: i64) -> Timestamp {
        let mut left = seconds;
        let mut at = from;
        while left > 0 {
            let date = local_date(at);
            let end = end_of_day(date);
            if end <= at {
                break;
            }
            if self.is_working_day(date) {
                let day = end.duration_since(at).as_secs();
                if left <= day {
                    return at.saturating_add(left.seconds()).unwrap_or(Timestamp::MAX);
                }
                left -= day;
            }
            at = end;
        }
        at
    }
}

fn parse_day(year: i16, text: &str, line: usize) -> Result<Date, CalendarError> {
    let wrong = || CalendarError::Day { line, year, text: text.to_owned() };
    let (month, day) = text.split_once('-').ok_or_else(wrong)?;
    let (month, day) = (month.parse().map_err(|_| wrong())?, day.parse().map_err(|_| wrong())?);
    Date::new(year, month, day).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    fn at(text: &str) -> Timestamp {
        let civil: jiff::civil::DateTime = text.parse().unwrap();
        SHANGHAI.to_timestamp(civil).unwrap()
    }

    #[test]
    fn a_calendar_written_as_a_file_is_read_as_the_same_calendar() {
        let calendar = Calendar::cn();
        assert_eq!(Calendar::parse(&calendar.to_toml()).unwrap(), *calendar);
        let more = "version = \"cn \\\"2027\\\"\"\n[[year]]\nyear = 2027\nholidays = [{ name = \"元旦\", off = \"01-01/01-03\", work = [\"01-09\"] }]";
        let extended = calendar.extended_by(&Calendar::parse(more).unwrap());
        assert_eq!(Calendar::parse(&extended.to_toml()).unwrap(), extended);
        assert_eq!(extended.version, "cn \"2027\"");
        assert!(extended.is_working_day(date(2027, 1, 9)) && !extended.is_working_day(date(2026, 10, 7)));
    }

    #[test]
    fn well_known_days_of_china_are_right() {
        let calendar = Calendar::cn();
        let cases = [
            (date(2025, 9, 28), true, "Sunday worked for National Day 2025"),
            (date(2025, 10, 1), false, "National Day"),
            (date(2025, 10, 6), false, "mid-autumn inside the National Day week"),
            (date(2025, 10, 8), false, "last of the eight days"),
            (date(2025, 10, 9), true, "an ordinary Thursday"),
            (date(2025, 10, 11), true, "Saturday worked for National Day 2025"),
            (date(2025, 10, 12), false, "an ordinary Sunday"),
            (date(2026, 1, 2), false, "New Year 2026 is three days"),
            (date(2026, 1, 4), true, "Sunday worked for New Year 2026"),
            (date(2026, 2, 14), true, "Saturday worked before Spring Festival 2026"),
            (date(2026, 2, 15), false, "Spring Festival 2026 begins, nine days"),
            (date(2026, 2, 23), false, "Spring Festival 2026 ends"),
            (date(2026, 2, 24), true, "the Tuesday after"),
            (date(2026, 2, 28), true, "Saturday worked after Spring Festival 2026"),
            (date(2024, 2, 9), true, "the eve of Spring Festival 2024 was no holiday"),
            (date(2025, 1, 28), false, "the eve of Spring Festival 2025 was one"),
            (date(2020, 1, 31), false, "Spring Festival 2020 was prolonged to 2 February"),
            (date(2020, 2, 3), true, "and ended then"),
            (date(2018, 12, 29), true, "Saturday worked for New Year 2019"),
            (date(2018, 12, 31), false, "New Year 2019 began in 2018"),
            (date(2015, 9, 3), false, "70th anniversary of the victory"),
            (date(2015, 9, 6), true, "Sunday worked for it"),
            (date(2027, 1, 1), true, "2027 is not published: a Friday is assumed to be worked"),
            (date(2027, 1, 2), false, "and a Saturday not"),
        ];
        for (day, working, why) in cases {
            assert_eq!(calendar.is_working_day(day), working, "{day}: {why}");
        }
    }

    #[test]
    fn years_have_the_working_days_that_the_state_council_left() {
        // 365 or 366 days less weekends and holidays, as payroll tables print them.
        let calendar = Calendar::cn();
        for (year, days) in [(2021, 250), (2022, 249), (2023, 249), (2024, 251), (2025, 248), (2026, 248)] {
            let count = calendar.count_working_days(date(year - 1, 12, 31), date(year, 12, 31));
            assert_eq!(count, days, "{year}");
        }
    }

    #[test]
    fn published_years_are_2015_to_2026() {
        let calendar = Calendar::cn();
        assert_eq!(calendar.years().collect::<Vec<_>>(), (2015..=2026).collect::<Vec<_>>());
        assert!(!calendar.is_provisional(date(2015, 1, 1), date(2026, 12, 31)));
        assert!(calendar.is_provisional(date(2026, 12, 31), date(2027, 1, 1)));
        assert!(calendar.is_provisional(date(2014, 12, 31), date(2015, 1, 1)));
    }

    #[test]
    fn an_operator_adds_a_year_under_a_new_version() {
        let extra = "version = \"cn-2027.1\"\n[[year]]\nyear = 2027\nholidays = [{ name = \"x\", off = \"01-01/01-03\" }]";
        let calendar = Calendar::cn().extended_by(&Calendar::parse(extra).unwrap());
        assert_eq!(calendar.version, "cn-2027.1");
        assert!(calendar.published(2027) && calendar.published(2026));
        assert!(!calendar.is_working_day(date(2027, 1, 1)));
        assert!(!calendar.is_working_day(date(2026, 10, 1)));
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        let file = |holidays: &str| {
            format!("version = \"x\"\n\n[[year]]\nyear = 2026\nholidays = [\n{holidays}\n]\n")
        };
        let line6 = |holidays: &str| Calendar::parse(&file(holidays)).unwrap_err();
        let day = |text: &str| CalendarError::Day { line: 6, year: 2026, text: text.into() };
        assert_eq!(line6("{ name = \"a\", off = \"02-30\" }"), day("02-30"));
        assert_eq!(line6("{ name = \"a\", off = \"2 March\" }"), day("2 March"));
        assert_eq!(line6("{ name = \"a\", off = \"03-02/03-01\" }"), day("03-02/03-01"));
        assert_eq!(
            line6("{ name = \"a\", off = \"03-02\", work = [\"03-03\"] }"),
            CalendarError::NotAWeekend { line: 6, date: date(2026, 3, 3) }
        );
        assert_eq!(
            line6("{ name = \"a\", off = \"02-27/03-01\", work = [\"02-28\"] }"),
            CalendarError::DayTwice { line: 6, date: date(2026, 2, 28) }
        );
        let twice = format!("{}[[year]]\nyear = 2026\n", file(""));
        assert_eq!(Calendar::parse(&twice), Err(CalendarError::YearTwice { line: 8, year: 2026 }));
        assert_eq!(Calendar::parse("version = \" \""), Err(CalendarError::NoVersion));
        let message = line6("{ name = 1 }").to_string();
        assert!(message.contains("line 6"), "{message}");
    }

    #[test]
    fn midnight_opens_a_day_for_a_start_and_ends_one_for_a_deadline() {
        let midnight = at("2025-09-30T00:00:00");
        assert_eq!(local_date(midnight), date(2025, 9, 30));
        assert_eq!(due_day(midnight), date(2025, 9, 29));
        assert_eq!(due_day(at("2025-09-30T00:00:01")), date(2025, 9, 30));
        assert_eq!(end_of_day(date(2025, 9, 29)), midnight);
        assert_eq!(local_time(at("2025-09-30T16:00:00")), time(16, 0, 0, 0));
        // 16:00 UTC is midnight in Shanghai.
        assert_eq!("2025-09-29T16:00:00Z".parse::<Timestamp>().unwrap(), midnight);
    }

    #[test]
    fn the_ladder_counts_from_the_day_that_the_deadline_ends() {
        let calendar = Calendar::cn();
        // Due Tuesday 30 September 24:00; the next working day is Thursday 9 October.
        let due = at("2025-10-01T00:00:00");
        assert_eq!(calendar.next_working_day_at(due, time(9, 0, 0, 0)), at("2025-10-09T09:00:00"));
        // 9, 10, 11 (a Saturday worked), 13, 14 October.
        assert_eq!(calendar.working_days_after_due(due, 5), at("2025-10-15T00:00:00"));
        assert_eq!(calendar.working_days_after_due(due, 10), at("2025-10-22T00:00:00"));
        assert_eq!(calendar.working_days_after_due(due, 15), at("2025-10-29T00:00:00"));
        // An hour deadline in the middle of a day counts from that day.
        let noon = at("2025-09-29T12:00:00");
        assert_eq!(calendar.next_working_day_at(noon, time(9, 0, 0, 0)), at("2025-09-30T09:00:00"));
    }

    #[test]
    fn working_days_after_skip_the_day_itself() {
        let calendar = Calendar::cn();
        // Friday 26 September: Sunday 28 is worked; 28, 29, 30, then 9 and 10 October.
        assert_eq!(calendar.working_days_after(at("2025-09-26T17:30:00"), 5), at("2025-10-11T00:00:00"));
        assert_eq!(calendar.working_days_after(at("2025-11-03T00:00:00"), 5), at("2025-11-11T00:00:00"));
    }

    #[test]
    fn counting_and_adding_working_days_and_seconds_agree() {
        let calendar = Calendar::cn();
        let mut day = date(2025, 9, 1);
        for offset in 0..60_u32 {
            let start = at_time(day, time(13, 7, 9, 0));
            for count in 1..20 {
                let end = calendar.add_working_days(day, count);
                assert_eq!(calendar.count_working_days(day, end), count);
                let seconds = i64::from(count) * 40_000 + i64::from(offset);
                let moment = calendar.add_working_seconds(start, seconds);
                assert_eq!(calendar.working_seconds(start, moment), seconds);
            }
            day = add_days(day, 1);
        }
    }
}

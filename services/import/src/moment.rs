//! Dates and times as tables write them: in some order, in some zone, and not always in the same way in every row.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use serde::Deserialize;

/// When something happened: one column that says it whole, or a date and a time in columns of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "MomentFields")]
pub(crate) enum Moment {
    /// One column.
    Whole(Formatted),
    /// A date, and where there is one, a time; midnight without.
    Split {
        /// The day.
        date: Day,
        /// The time of day.
        time: Option<Formatted>,
    },
}

/// A moment as it is written. Not an untagged enum, which would only say that nothing fits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MomentFields {
    column: Option<String>,
    formats: Option<Vec<String>>,
    date: Option<Day>,
    time: Option<Formatted>,
}

impl TryFrom<MomentFields> for Moment {
    type Error = &'static str;

    fn try_from(from: MomentFields) -> Result<Self, Self::Error> {
        match from {
            MomentFields { column: Some(column), formats: Some(formats), date: None, time: None } => {
                Ok(Self::Whole(Formatted { column, formats }))
            }
            MomentFields { column: None, formats: None, date: Some(date), time } => {
                Ok(Self::Split { date, time })
            }
            _ => Err("a moment has `column` and `formats`, or `date` and perhaps `time`"),
        }
    }
}

/// A column in one of several formats (`strptime`), tried in turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Formatted {
    /// The column's name.
    pub(crate) column: String,
    /// Formats such as `%Y-%m-%d %H:%M:%S`.
    pub(crate) formats: Vec<String>,
}

/// A column that holds a date.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "DayFields")]
pub(crate) enum Day {
    /// Three numbers in an order.
    Ordered(Ordered),
    /// One of several formats.
    Formatted(Formatted),
}

/// Three numbers with something between them.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    /// The column's name.
    pub(crate) column: String,
    /// What each number is.
    pub(crate) order: Order,
    /// What may stand between them, one character each.
    pub(crate) separators: String,
}

/// A date as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DayFields {
    column: String,
    formats: Option<Vec<String>>,
    order: Option<Order>,
    separators: Option<String>,
}

impl TryFrom<DayFields> for Day {
    type Error = &'static str;

    fn try_from(from: DayFields) -> Result<Self, Self::Error> {
        let column = from.column;
        match (from.formats, from.order, from.separators) {
            (Some(formats), None, None) => Ok(Self::Formatted(Formatted { column, formats })),
            (None, Some(order), separators) => {
                let separators = separators.unwrap_or_else(|| "-/.".to_owned());
                Ok(Self::Ordered(Ordered { column, order, separators }))
            }
            _ => Err("a date has `formats`, or `order` and perhaps `separators`"),
        }
    }
}

/// What each of three numbers is. Years have four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// 2015-04-22.
    YearFirst,
    /// 22-04-2015.
    DayFirst,
    /// 04-22-2015.
    MonthFirst,
    /// The first number is the month where it is at most 12, else the day. It undoes what a spreadsheet does that reads month-first
    /// dates day first and leaves those that make no sense alone.
    #[serde(rename = "month-first-unless-over-12")]
    MonthFirstUnlessOver12,
}

/// Why a moment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MomentError {
    /// Empty.
    #[error("column {column:?} is empty")]
    Empty {
        /// The column.
        column: String,
    },
    /// In none of the formats.
    #[error("column {column:?}: {text:?} is in none of the formats {formats}")]
    Format {
        /// The column.
        column: String,
        /// What it holds.
        text: String,
        /// What was tried.
        formats: String,
    },
    /// Not three numbers, or no day of any calendar.
    #[error("column {column:?}: {text:?} is no date of three numbers, {order}")]
    Order {
        /// The column.
        column: String,
        /// What it holds.
        text: String,
        /// How it was read.
        order: &'static str,
    },
    /// Outside of what time stamps can say.
    #[error("{0} is no moment in the zone of the mapping")]
    Range(DateTime),
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::YearFirst => "year first",
            Self::DayFirst => "day first",
            Self::MonthFirst => "month first",
            Self::MonthFirstUnlessOver12 => "month first unless that is over 12",
        }
    }

    /// The date that three numbers are.
    pub(crate) fn date(self, text: &str, separators: &str) -> Option<Date> {
        let parts: Vec<&str> = text.split(|c| separators.contains(c)).collect();
        let [first, second, third] = parts[..] else { return None };
        let number = |part: &str, digits: std::ops::RangeInclusive<usize>| {
            let fits = digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<i16>().ok().filter(|_| fits)
        };
        let short = |part| number(part, 1..=2).and_then(|number| i8::try_from(number).ok());
        let (year, month, day) = match self {
            Self::YearFirst => (number(first, 4..=4)?, short(second)?, short(third)?),
            Self::DayFirst => (number(third, 4..=4)?, short(second)?, short(first)?),
            Self::MonthFirst => (number(third, 4..=4)?, short(first)?, short(second)?),
            Self::MonthFirstUnlessOver12 => {
                let (year, first, second) = (number(third, 4..=4)?, short(first)?, short(second)?);
                if first <= 12 { (year, first, second) } else { (year, second, first) }
            }
        };
        Date::new(year, month, day).ok()
    }
}

impl Moment {
    /// The columns it reads.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Whole(whole) => vec![&whole.column],
            Self::Split { date, time } => {
                let mut columns = vec![date.column()];
                columns.extend(time.as_ref().map(|time| time.column.as_str()));
                columns
            }
        }
    }

    /// The moment that a row says. A format with an offset of its own goes before the mapping's zone.
    pub(crate) fn read<'r>(
        &self,
        column: impl Fn(&str) -> &'r str,
        zone: Offset,
    ) -> Result<Timestamp, MomentError> {
        let local = match self {
            Self::Whole(whole) => {
                let parsed = whole.parse(column(&whole.column), |parsed| {
                    let zoned = parsed.offset().and_then(|_| parsed.to_timestamp().ok());
                    zoned.map(Ok).or_else(|| parsed.to_datetime().ok().map(Err))
                })?;
                match parsed {
                    Ok(timestamp) => return Ok(timestamp),
                    Err(local) => local,
                }
            }
            Self::Split { date, time } => {
                let date = date.read(column(date.column()))?;
                let time = match time {
                    Some(time) => time.parse(column(&time.column), |parsed| parsed.to_time().ok())?,
                    None => Time::midnight(),
                };
                date.to_datetime(time)
            }
        };
        zone.to_timestamp(local).map_err(|_| MomentError::Range(local))
    }
}

impl Day {
    pub(crate) fn column(&self) -> &str {
        match self {
            Self::Ordered(ordered) => &ordered.column,
            Self::Formatted(formatted) => &formatted.column,
        }
    }

    /// The date that a text says.
    pub(crate) fn read(&self, text: &str) -> Result<Date, MomentError> {
        match self {
            Self::Formatted(formatted) => formatted.parse(text, |parsed| parsed.to_date().ok()),
            Self::Ordered(Ordered { column, order, separators }) => {
                let text = present(column, text)?;
                order.date(text, separators).ok_or_else(|| MomentError::Order {
                    column: column.clone(),
                    text: text.to_owned(),
                    order: order.name(),
                })
            }
        }
    }
}

impl Formatted {
    fn parse<T>(&self, text: &str, take: impl Fn(&BrokenDownTime) -> Option<T>) -> Result<T, MomentError> {
        let text = present(&self.column, text)?;
        let read =
            |format: &String| BrokenDownTime::parse(format, text).ok().and_then(|parsed| take(&parsed));
        self.formats.iter().find_map(read).ok_or_else(|| MomentError::Format {
            column: self.column.clone(),
            text: text.to_owned(),
            formats: self.formats.join(", "),
        })
    }
}

fn present<'t>(column: &str, text: &'t str) -> Result<&'t str, MomentError> {
    let text = text.trim();
    if text.is_empty() { Err(MomentError::Empty { column: column.to_owned() }) } else { Ok(text) }
}

/// A fixed distance from UTC, `+08:00`. Names of zones are not understood: no time zone database is shipped.
pub(crate) fn zone(text: &str) -> Option<Offset> {
    let parsed = BrokenDownTime::parse("%:z", text).ok()?;
    parsed.offset()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn date(order: Order, text: &str, is: Option<&str>) {
        assert_eq!(order.date(text, "-/").map(|date| date.to_string()).as_deref(), is, "{text}");
    }

    #[test]
    fn a_first_number_of_at_most_12_is_the_month_and_a_larger_one_the_day() {
        let order = Order::MonthFirstUnlessOver12;
        date(order, "22-04-2015", Some("2015-04-22"));
        date(order, "04-08-2015", Some("2015-04-08"));
        date(order, "4/8/2015", Some("2015-04-08"));
        date(order, "12-06-2015", Some("2015-12-06"));
        date(order, "13-06-2015", Some("2015-06-13"));
        date(order, "06-13-2015", Some("2015-06-13"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        let order = Order::MonthFirstUnlessOver12;
        for text in [
            "",
            "22-13-2015",
            "30-02-2015",
            "22-04-15",
            "22-04",
            "22-04-2015-1",
            "a-b-c",
            "+1-04-2015",
            "22 04 2015",
        ] {
            date(order, text, None);
        }
    }

    #[test]
    fn the_other_orders_are_what_they_say() {
        date(Order::YearFirst, "2015-04-08", Some("2015-04-08"));
        date(Order::DayFirst, "08/04/2015", Some("2015-04-08"));
        date(Order::MonthFirst, "04/08/2015", Some("2015-04-08"));
        date(Order::MonthFirst, "22-04-2015", None);
    }

    #[derive(Deserialize)]
    struct Holder {
        at: Moment,
    }

    #[track_caller]
    fn check(mapping: &str, row: &[(&str, &str)], is: Result<&str, &str>) {
        let moment = toml::from_str::<Holder>(mapping).unwrap().at;
        let column =
            |name: &str| row.iter().find(|(column, _)| *column == name).map_or("", |(_, text)| *text);
        let read = moment.read(column, zone("-04:00").unwrap());
        let found = read.map(|at| at.to_string()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), is);
    }

    #[test]
    fn a_date_and_a_time_in_two_columns_are_one_moment_in_the_zone() {
        let at = r#"at = { date = { column = "D", order = "month-first-unless-over-12", separators = "-/" }, time = { column = "T", formats = ["%I.%M.%S %p"] } }"#;
        check(at, &[("D", "22-04-2015"), ("T", "3.53.50 PM")], Ok("2015-04-22T19:53:50Z"));
        check(at, &[("D", "04-08-2015"), ("T", "12.05.55 AM")], Ok("2015-04-08T04:05:55Z"));
        check(at, &[("D", "04-08-2015"), ("T", "12.03.37 PM")], Ok("2015-04-08T16:03:37Z"));
        check(at, &[("D", "04-08-2015"), ("T", "")], Err("column \"T\" is empty"));
        check(
            at,
            &[("D", "04-08-2015"), ("T", "25.00.00 PM")],
            Err("column \"T\": \"25.00.00 PM\" is in none of the formats %I.%M.%S %p"),
        );
        check(
            at,
            &[("D", "31-31-2015"), ("T", "1.00.00 PM")],
            Err(
                "column \"D\": \"31-31-2015\" is no date of three numbers, month first unless that is over 12",
            ),
        );
    }

    #[test]
    fn the_first_format_that_fits_is_taken_and_its_own_offset_goes_first() {
        let at = r#"at = { column = "At", formats = ["%Y-%m-%d %H:%M:%S %:z", "%Y/%m/%d %H:%M"] }"#;
        check(at, &[("At", "2015-04-22 15:53:50 +08:00")], Ok("2015-04-22T07:53:50Z"));
        check(at, &[("At", "2015/04/22 15:53")], Ok("2015-04-22T19:53:00Z"));
        check(
            r#"at = { date = { column = "D", formats = ["%d.%m.%Y"] } }"#,
            &[("D", "22.04.2015")],
            Ok("2015-04-22T04:00:00Z"),
        );
    }

    #[test]
    fn a_zone_is_a_fixed_offset() {
        assert_eq!(zone("+08:00").unwrap().seconds(), 8 * 3600);
        assert_eq!(zone("-04:30").unwrap().seconds(), -(4 * 3600 + 1800));
        for text in ["America/New_York", "", "4", "+25:00x"] {
            assert!(zone(text).is_none(), "{text}");
        }
    }
}

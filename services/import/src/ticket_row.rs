//! From a row's texts to what a ticket begins with, still in plain text.

use std::collections::BTreeMap;

use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::install;
use duban_aggregates::words::{Channel, Kind, Product, Segment, Severity, Tier};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::field_rule::NoValue;
use super::mapping::{MappingError, Places, TicketMapping, TicketOrder, check, named};
use super::moment::MomentError;
use super::table::{LineError, TableFormat, TableRows};

/// What a ticket begins with, as a row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TicketRow {
    /// The row's line in the input, from 1.
    pub(crate) line: u64,
    /// The row's key.
    pub(crate) key: String,
    pub(crate) taken_in_at: Timestamp,
    pub(crate) happened_at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) channel: Channel,
    pub(crate) category: String,
    pub(crate) severity: Severity,
    pub(crate) description: String,
    pub(crate) remedy: Option<String>,
    /// The source's status, as it wrote it.
    pub(crate) status: String,
    pub(crate) employee: String,
    pub(crate) department: String,
    /// What tells customers apart, where the source says it.
    pub(crate) customer: Option<String>,
    pub(crate) name: String,
    pub(crate) phone: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) tier: Tier,
    pub(crate) segment: Segment,
    pub(crate) number: Option<String>,
    pub(crate) product: Product,
    pub(crate) monthly_rent_fen: u64,
    pub(crate) province: String,
    pub(crate) city: String,
    pub(crate) district: String,
    pub(crate) rural: bool,
    pub(crate) install: Option<install::Order>,
}

/// Why a row is no ticket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// It cannot be read at all.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Not as many fields as columns.
    #[error("has {have} fields where the header has {want}")]
    Fields {
        /// Fields of the row.
        have: usize,
        /// Columns.
        want: usize,
    },
    /// No key.
    #[error("the row's key is empty, so it could not be found again")]
    NoKey,
    /// A key that an earlier row has.
    #[error("the row's key {key:?} stands on line {line} already")]
    KeyTwice {
        /// The key.
        key: String,
        /// The earlier line.
        line: u64,
    },
    /// A moment.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// A text that no table has.
    #[error("{field}: {source}")]
    NoValue {
        /// The field.
        field: &'static str,
        /// The text.
        source: NoValue,
    },
    /// A value that the field cannot have.
    #[error("{field}: {value:?}: {problem}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// Why not.
        problem: String,
    },
    /// A rule of tickets stands against it.
    #[error("{0}")]
    Refused(duban_aggregates::rejection::Rejection),
}

/// A row that was rejected.
#[derive(Debug)]
pub(crate) struct BadRow {
    /// Its line, from 1.
    pub(crate) line: u64,
    /// Why.
    pub(crate) error: RowError,
}

/// All rows of an input.
#[derive(Debug, Default)]
pub(crate) struct TicketRows {
    /// Rows that make tickets, in the order in which they do.
    pub(crate) rows: Vec<TicketRow>,
    /// The others, by line.
    pub(crate) bad: Vec<BadRow>,
}

/// Reads an input through a mapping.
pub(crate) fn read(
    bytes: &[u8],
    mapping: &TicketMapping,
    policy: &Policy,
) -> Result<TicketRows, MappingError> {
    let mut rows = Vec::new();
    let mut keys = BTreeMap::new();
    let header = |names| mapping.header(names);
    let bad = each(bytes, &mapping.format, &mapping.columns, header, |line, places, fields| {
        let row = ticket_row(line, &RowReader { mapping, policy, places, fields })?;
        if let Some(line) = keys.insert(row.key.clone(), line) {
            return Err(RowError::KeyTwice { key: row.key, line });
        }
        rows.push(row);
        Ok(())
    })?;
    put_in_order(&mut rows, mapping.order);
    Ok(TicketRows { rows, bad })
}

/// Goes over the rows of an input, whose columns are named by its first row or by the mapping. Answers the rows that are no good; a
/// header that cannot be read is one, and nothing can be said of what follows it.
pub(super) fn each(
    bytes: &[u8],
    format: &TableFormat,
    columns: &[String],
    header: impl FnOnce(Vec<String>) -> Result<Places, MappingError>,
    mut row: impl FnMut(u64, &Places, &[String]) -> Result<(), RowError>,
) -> Result<Vec<BadRow>, MappingError> {
    let mut rows = TableRows::new(bytes, format);
    let names = if columns.is_empty() {
        match rows.next() {
            None => return Ok(Vec::new()),
            Some((_, Ok(header))) => header,
            Some((line, Err(error))) => return Ok(vec![BadRow { line, error: error.into() }]),
        }
    } else {
        columns.to_vec()
    };
    let width = names.len();
    let places = header(names)?;
    let mut bad = Vec::new();
    for (line, fields) in rows {
        let read = fields.map_err(RowError::from).and_then(|fields| {
            if fields.len() != width {
                return Err(RowError::Fields { have: fields.len(), want: width });
            }
            row(line, &places, &fields)
        });
        if let Err(error) = read {
            bad.push(BadRow { line, error });
        }
    }
    Ok(bad)
}

/// What a column holds in a row.
pub(super) fn column<'r>(places: &Places, fields: &'r [String], name: &str) -> &'r str {
    // The header was checked to have every column that the mapping names.
    places.get(name).and_then(|place| fields.get(*place)).map_or("", String::as_str)
}

/// A row with what is needed to read it.
struct RowReader<'r> {
    mapping: &'r TicketMapping,
    policy: &'r Policy,
    places: &'r Places,
    fields: &'r [String],
}

impl<'r> RowReader<'r> {
    fn column(&self, name: &str) -> &'r str {
        column(self.places, self.fields, name)
    }

    fn text(&self, field: &'static str) -> Result<String, RowError> {
        let Some(rule) = self.mapping.field(field) else { return Ok(String::new()) };
        let value =
            rule.read(|name| self.column(name)).map_err(|source| RowError::NoValue { field, source })?;
        match check(field, &value, self.policy) {
            Ok(()) => Ok(value),
            Err(problem) => Err(RowError::Value { field, value, problem }),
        }
    }

    fn optional(&self, field: &'static str) -> Result<Option<String>, RowError> {
        self.text(field).map(|text| Some(text).filter(|text| !text.trim().is_empty()))
    }

    fn named<T: DeserializeOwned>(&self, field: &'static str) -> Result<T, RowError> {
        let value = self.text(field)?;
        named(&value).map_err(|problem| RowError::Value { field, value, problem })
    }

    fn number(&self, field: &'static str) -> Result<u64, RowError> {
        // `text` has checked that it is one.
        self.text(field).map(|text| text.parse().unwrap_or_default())
    }
}

fn ticket_row(line: u64, row: &RowReader<'_>) -> Result<TicketRow, RowError> {
    let TicketMapping { key, taken_in_at, happened_at, promised_on, zone, .. } = row.mapping;
    let key =
        key.read(|name| row.column(name)).map_err(|source| RowError::NoValue { field: "row.key", source })?;
    let key = key.trim().to_owned();
    if key.is_empty() {
        return Err(RowError::NoKey);
    }
    let taken_in_at = taken_in_at.read(|name| row.column(name), *zone)?;
    let happened_at = match happened_at {
        Some(moment) => moment.read(|name| row.column(name), *zone)?,
        None => taken_in_at,
    };
    let kind = row.named("kind")?;
    let install = if kind == Kind::Install {
        let promised_on = match promised_on {
            Some(day) if !row.column(day.column()).trim().is_empty() => {
                Some(day.read(row.column(day.column()))?)
            }
            _ => None,
        };
        Some(install::Order { fees_fen: row.number("fees_fen")?, promised_on })
    } else {
        None
    };
    Ok(TicketRow {
        line,
        key,
        taken_in_at,
        happened_at,
        kind,
        channel: row.named("channel")?,
        category: row.text("category")?,
        severity: row.named("severity")?,
        description: row.text("description")?,
        remedy: row.optional("remedy")?,
        status: row.text("status")?,
        employee: row.text("first_owner")?,
        department: row.text("first_owner_department")?,
        customer: row.optional("customer")?,
        name: row.text("name")?,
        phone: row.optional("phone")?,
        address: row.optional("address")?,
        tier: row.named("tier")?,
        segment: row.named("segment")?,
        number: row.optional("number")?,
        product: row.named("product")?,
        monthly_rent_fen: row.number("monthly_rent_fen")?,
        province: row.text("province")?,
        city: row.text("city")?,
        district: row.text("district")?,
        rural: row.text("rural")? == "true",
        install,
    })
}

fn put_in_order(rows: &mut [TicketRow], order: TicketOrder) {
    match order {
        TicketOrder::File => {}
        TicketOrder::Time => rows.sort_by_key(|row| (row.taken_in_at, row.line)),
        TicketOrder::Key => by_key(rows),
    }
}

/// Numbers by their value; a key that is no number after as many of them as are not later than it.
fn by_key(rows: &mut [TicketRow]) {
    let number = |row: &TicketRow| row.key.parse::<u128>().ok();
    rows.sort_by_key(|row| (number(row).is_none(), number(row), row.taken_in_at, row.line));
    let (numbers, others) = rows.split_at(rows.partition_point(|row| number(row).is_some()));
    let mut times: Vec<Timestamp> = numbers.iter().map(|row| row.taken_in_at).collect();
    times.sort_unstable();
    let rank = |row: &TicketRow| times.partition_point(|time| *time <= row.taken_in_at);
    // A number goes before what is put after as many numbers.
    let mut places: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
    places.extend(numbers.iter().enumerate().map(|(place, row)| (row.line, (place + 1, false))));
    places.extend(others.iter().map(|row| (row.line, (rank(row), true))));
    // Stable, so that several of them keep the order of their times.
    rows.sort_by_key(|row| places.get(&row.line).copied());
}

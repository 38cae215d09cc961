//! A mapping file: how the rows of one table become tickets, and what it has in common with one whose rows become steps. The format is described in `deploy/mappings/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use duban_aggregates::policy::Policy;
use duban_aggregates::words::{Channel, Kind, Product, Segment, Severity, Tier};
use jiff::tz::Offset;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;

use super::field_rule::{FieldRule, FieldRuleError, Lookups, PreparedRule, Words};
use super::moment::{self, Moment};
use super::table::TableFormat;

/// Whether a mapping must have a field.
#[derive(Clone, Copy)]
pub(super) enum Need {
    Required,
    Or(&'static str),
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowKind {
    /// A ticket each, which departments work on from then on.
    #[default]
    Tickets,
    /// Steps of foreign histories, which are kept as they are.
    Steps,
}

/// The one thing that says how the rest of a mapping is read.
#[derive(Deserialize)]
struct RowKindOnly {
    #[serde(default)]
    rows: RowKind,
}

/// What a mapping's rows are.
pub(crate) fn row_kind(path: &Path, text: &str) -> Result<RowKind, MappingError> {
    let only: RowKindOnly = file(path, text)?;
    Ok(only.rows)
}

/// A mapping as it is written.
pub(super) fn file<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, MappingError> {
    toml::from_str(text)
        .map_err(|source| MappingError::Invalid { path: path.to_owned(), source: Box::new(source) })
}

/// The text of a mapping.
pub(crate) fn text(path: &Path) -> Result<String, MappingError> {
    std::fs::read_to_string(path).map_err(|source| MappingError::Read { path: path.to_owned(), source })
}

/// Every field of `[ticket]`.
const FIELDS: [(&str, Need); 23] = [
    ("kind", Need::Required),
    ("channel", Need::Required),
    ("category", Need::Required),
    ("severity", Need::Or("minor")),
    ("description", Need::Required),
    ("remedy", Need::Or("")),
    ("status", Need::Or("")),
    ("first_owner", Need::Or("import")),
    ("first_owner_department", Need::Or("desk")),
    ("customer", Need::Or("")),
    ("name", Need::Or("（未提供）")),
    ("phone", Need::Or("")),
    ("address", Need::Or("")),
    ("tier", Need::Or("standard")),
    ("segment", Need::Or("public")),
    ("number", Need::Or("")),
    ("product", Need::Required),
    ("monthly_rent_fen", Need::Or("0")),
    ("province", Need::Required),
    ("city", Need::Required),
    ("district", Need::Or("")),
    ("rural", Need::Or("false")),
    ("fees_fen", Need::Or("0")),
];

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketMappingFile {
    name: String,
    /// Read before, by [`row_kind`].
    #[serde(default, rename = "rows")]
    _rows: RowKind,
    #[serde(default)]
    file: TableSection,
    row: Row,
    time: Times,
    ticket: BTreeMap<String, FieldRule>,
    promised_on: Option<moment::Day>,
    #[serde(default)]
    table: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    words: BTreeMap<String, Vec<Words>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TableSection {
    delimiter: char,
    quote: String,
    encoding: String,
    multiline: bool,
    pub(super) columns: Vec<String>,
}

impl Default for TableSection {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: "\"".to_owned(),
            encoding: "utf-8".to_owned(),
            multiline: false,
            columns: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    key: String,
    #[serde(default)]
    order: TicketOrder,
}

/// In which order rows become tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TicketOrder {
    /// As they stand in the file.
    #[default]
    File,
    /// By their keys as numbers; a key that is no number goes among them by its time.
    Key,
    /// By their times.
    Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    zone: String,
    taken_in_at: Moment,
    happened_at: Option<Moment>,
}

/// Where each column stands in a row.
pub(crate) type Places = BTreeMap<String, usize>;

/// Why a mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The file cannot be read.
    #[error("cannot read the mapping {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML of this form.
    #[error("the mapping {path} is not valid")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No name, which ids hang on.
    #[error("the mapping needs a name of 1 to 256 bytes: the ids of what it takes in hang on it")]
    Name,
    /// An encoding that is unknown, or in which a line end is not a line end.
    #[error(
        "encoding {0:?} is unknown or not made for lines: use one like \"utf-8\", \"gb18030\" or \"windows-1252\""
    )]
    Encoding(String),
    /// A quote of more than one character, or the delimiter.
    #[error("quote must be one character that is not the delimiter, or empty for none")]
    Quote,
    /// A zone by name.
    #[error("time.zone {0:?} is no offset: write one like \"+08:00\"")]
    Zone(String),
    /// A field that does not exist.
    #[error("{of}.{field} is unknown; there are: {known}")]
    UnknownField {
        /// `ticket` or `step`.
        of: &'static str,
        /// As written.
        field: String,
        /// All that exist.
        known: String,
    },
    /// A field that must be there.
    #[error("the mapping needs {of}.{field}")]
    MissingField {
        /// `ticket` or `step`.
        of: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A rule that makes no sense.
    #[error("{field}: {source}")]
    Rule {
        /// The field.
        field: String,
        /// Why.
        source: FieldRuleError,
    },
    /// A value that a field cannot have.
    #[error("{of}.{field} may become {value:?}, but {problem}")]
    Value {
        /// `ticket` or `step`.
        of: &'static str,
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// Why not.
        problem: String,
    },
    /// A column that the input does not have.
    #[error("the input has no column {column:?}; it has: {header}")]
    Column {
        /// As the mapping names it.
        column: String,
        /// As the input's first row has them.
        header: String,
    },
    /// Two columns of one name.
    #[error("the input has two columns {0:?}: name them all in file.columns, and take the first row out")]
    ColumnTwice(String),
}

/// A mapping, checked.
#[derive(Clone, Debug)]
pub(crate) struct TicketMapping {
    /// The source's name; ids hang on it.
    pub(crate) name: String,
    /// How the table is written.
    pub(crate) format: TableFormat,
    /// Names of columns where the table has no header.
    pub(crate) columns: Vec<String>,
    /// The order of tickets.
    pub(crate) order: TicketOrder,
    /// The source's zone.
    pub(crate) zone: Offset,
    pub(super) key: PreparedRule,
    pub(super) taken_in_at: Moment,
    pub(super) happened_at: Option<Moment>,
    pub(super) promised_on: Option<moment::Day>,
    fields: BTreeMap<&'static str, PreparedRule>,
}

impl TicketMapping {
    /// Reads and checks a mapping.
    #[cfg(test)]
    pub(crate) fn load(path: &Path, policy: &Policy) -> Result<Self, MappingError> {
        Self::parse(path, &text(path)?, policy)
    }

    /// Checks a mapping's text.
    pub(crate) fn parse(path: &Path, text: &str, policy: &Policy) -> Result<Self, MappingError> {
        let file: TicketMappingFile = file(path, text)?;
        check_name(&file.name)?;
        let zone = moment::zone(&file.time.zone).ok_or(MappingError::Zone(file.time.zone))?;
        let lists = Lookups { tables: file.table, words: file.words };
        let key = key(file.row.key, &lists)?;
        let fields =
            fields("ticket", &FIELDS, file.ticket, &lists, |field, value| check(field, value, policy))?;
        Ok(Self {
            name: file.name,
            format: file.file.format()?,
            columns: file.file.columns,
            order: file.row.order,
            zone,
            key,
            taken_in_at: file.time.taken_in_at,
            happened_at: file.time.happened_at,
            promised_on: file.promised_on,
            fields,
        })
    }

    /// The rule of a field.
    pub(super) fn field(&self, field: &'static str) -> Option<&PreparedRule> {
        self.fields.get(field)
    }

    /// Whether rows say whose tickets they are; where not, every row has a customer of its own.
    pub(crate) fn knows_customers(&self) -> bool {
        ["customer", "phone"]
            .iter()
            .filter_map(|field| self.fields.get(field))
            .any(|rule| rule.columns().next().is_some())
    }

    /// The place of each column in the input.
    pub(crate) fn header(&self, first: Vec<String>) -> Result<Places, MappingError> {
        let moments = [Some(&self.taken_in_at), self.happened_at.as_ref()].into_iter().flatten();
        let rules = self.fields.values().chain([&self.key]).flat_map(PreparedRule::columns);
        let wanted = rules
            .chain(moments.flat_map(Moment::columns))
            .chain(self.promised_on.iter().map(moment::Day::column));
        places(first, wanted)
    }
}

/// Ids hang on the name.
pub(super) fn check_name(name: &str) -> Result<(), MappingError> {
    let fits = !name.trim().is_empty() && name.len() <= duban_aggregates::NAME_BYTES_MAX;
    if fits { Ok(()) } else { Err(MappingError::Name) }
}

/// What tells a row from others.
pub(super) fn key(text: String, lists: &Lookups) -> Result<PreparedRule, MappingError> {
    let in_key = |source| MappingError::Rule { field: "row.key".to_owned(), source };
    FieldRule::Text(text).prepare(lists).map_err(in_key)
}

/// Makes every field's rule ready, and checks what it may become.
pub(super) fn fields(
    of: &'static str,
    known: &[(&'static str, Need)],
    mut rules: BTreeMap<String, FieldRule>,
    lists: &Lookups,
    check: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<BTreeMap<&'static str, PreparedRule>, MappingError> {
    let mut fields = BTreeMap::new();
    for &(field, need) in known {
        let prepare = match (rules.remove(field), need) {
            (Some(rule), _) => rule
                .prepare(lists)
                .map_err(|source| MappingError::Rule { field: format!("{of}.{field}"), source })?,
            (None, Need::Or(text)) => PreparedRule::constant(text),
            (None, Need::Required) => return Err(MappingError::MissingField { of, field }),
        };
        for value in prepare.outcomes().unwrap_or_default() {
            check(field, value).map_err(|problem| MappingError::Value {
                of,
                field,
                value: value.to_owned(),
                problem,
            })?;
        }
        fields.insert(field, prepare);
    }
    if let Some(field) = rules.into_keys().next() {
        let known = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(MappingError::UnknownField { of, field, known });
    }
    Ok(fields)
}

/// The place of each column in the input, all that are wanted among them.
pub(super) fn places<'w>(
    first: Vec<String>,
    wanted: impl Iterator<Item = &'w str>,
) -> Result<Places, MappingError> {
    let mut places = Places::new();
    let names: Vec<String> = first.into_iter().map(|name| name.trim().to_owned()).collect();
    for (place, name) in names.iter().enumerate() {
        // Columns without a name are common at the end, and nobody can ask for them.
        if !name.is_empty() && places.insert(name.clone(), place).is_some() {
            return Err(MappingError::ColumnTwice(name.clone()));
        }
    }
    for column in wanted {
        if !places.contains_key(column) {
            return Err(MappingError::Column { column: column.to_owned(), header: names.join(", ") });
        }
    }
    Ok(places)
}

impl TableSection {
    pub(super) fn format(&self) -> Result<TableFormat, MappingError> {
        let mut quotes = self.quote.chars();
        let quote = match (quotes.next(), quotes.next()) {
            (None, _) => None,
            (Some(quote), None) if quote != self.delimiter => Some(quote),
            _ => return Err(MappingError::Quote),
        };
        let encoding = encoding_rs::Encoding::for_label(self.encoding.as_bytes());
        // In UTF-16 half a character may look like a line's end.
        let encoding = encoding.filter(|encoding| encoding.is_ascii_compatible());
        let encoding = encoding.ok_or_else(|| MappingError::Encoding(self.encoding.clone()))?;
        Ok(TableFormat { delimiter: self.delimiter, quote, multiline: self.multiline, encoding })
    }
}

/// A value of an enumeration by its name in the rules, `hotline10000`.
pub(super) fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let names = StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(names).map_err(|error| error.to_string())
}

/// Whether a field may have a value.
pub(super) fn check(field: &str, value: &str, policy: &Policy) -> Result<(), String> {
    match field {
        "kind" => named::<Kind>(value).map(drop),
        "channel" => named::<Channel>(value).map(drop),
        "severity" => named::<Severity>(value).map(drop),
        "tier" => named::<Tier>(value).map(drop),
        "segment" => named::<Segment>(value).map(drop),
        "product" => named::<Product>(value).map(drop),
        "category" if policy.category(value).is_none() => {
            Err(format!("policy {} has no such category", policy.version))
        }
        "first_owner_department" if policy.unit(value).is_none() => {
            Err(format!("policy {} has no such unit", policy.version))
        }
        "rural" if !["true", "false"].contains(&value) => Err("must be `true` or `false`".to_owned()),
        "monthly_rent_fen" | "fees_fen" if value.parse::<u64>().is_err() => {
            Err("must be a whole number of fen".to_owned())
        }
        _ => Ok(()),
    }
}

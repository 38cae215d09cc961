//! A mapping whose rows are steps of foreign histories, and what such rows say.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use duban_aggregates::ids::{CommandId, HistoryId};
use duban_aggregates::imported::{Attribute, Step};
use duban_aggregates::words::Stage;
use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Deserialize;

use super::field_rule::{FieldRule, Lookups, PreparedRule, Words};
use super::mapping::{self, MappingError, Need, Places, RowKind, TableSection, named};
use super::moment::{self, Moment};
use super::table::TableFormat;
use super::ticket_row::{self, BadRow, RowError};
use super::write_tickets::derived;

/// Every field of `[step]`.
const FIELDS: [(&str, Need); 5] = [
    ("case", Need::Required),
    ("activity", Need::Required),
    ("resource", Need::Or("")),
    ("transition", Need::Or("complete")),
    ("stage", Need::Or(NO_STAGE)),
];

/// What the stage of a step is that completes none.
const NO_STAGE: &str = "none";

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepMappingFile {
    name: String,
    /// Read before, by [`mapping::rows`].
    #[serde(rename = "rows")]
    _rows: RowKind,
    #[serde(default)]
    file: TableSection,
    #[serde(default)]
    row: Key,
    time: Times,
    step: BTreeMap<String, FieldRule>,
    #[serde(default)]
    attributes: BTreeMap<String, FieldRule>,
    #[serde(default)]
    table: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    words: BTreeMap<String, Vec<Words>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    zone: String,
    occurred_at: Moment,
}

/// A mapping of steps, checked.
#[derive(Clone, Debug)]
pub(crate) struct StepMapping {
    /// The source's name; ids hang on it.
    pub(crate) name: String,
    format: TableFormat,
    columns: Vec<String>,
    zone: Offset,
    occurred_at: Moment,
    key: Option<PreparedRule>,
    fields: BTreeMap<&'static str, PreparedRule>,
    attributes: BTreeMap<String, PreparedRule>,
}

impl StepMapping {
    /// Checks a mapping's text.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, MappingError> {
        let file: StepMappingFile = mapping::file(path, text)?;
        mapping::check_name(&file.name)?;
        let zone = moment::zone(&file.time.zone).ok_or(MappingError::Zone(file.time.zone))?;
        let lists = Lookups { tables: file.table, words: file.words };
        let mut attributes = BTreeMap::new();
        for (name, rule) in file.attributes {
            let in_field = |source| MappingError::Rule { field: format!("attributes.{name}"), source };
            let prepare = rule.prepare(&lists).map_err(in_field)?;
            attributes.insert(name, prepare);
        }
        Ok(Self {
            name: file.name,
            format: file.file.format()?,
            columns: file.file.columns,
            zone,
            occurred_at: file.time.occurred_at,
            key: file.row.key.map(|key| mapping::key(key, &lists)).transpose()?,
            fields: mapping::fields("step", &FIELDS, file.step, &lists, check)?,
            attributes,
        })
    }

    fn header(&self, first: Vec<String>) -> Result<Places, MappingError> {
        let rules = self.fields.values().chain(self.attributes.values()).chain(&self.key);
        mapping::places(first, rules.flat_map(PreparedRule::columns).chain(self.occurred_at.columns()))
    }
}

/// Whether a field may have a value.
fn check(field: &str, value: &str) -> Result<(), String> {
    if field == "stage" { stage(value).map(drop) } else { Ok(()) }
}

fn stage(name: &str) -> Result<Option<Stage>, String> {
    if name == NO_STAGE { Ok(None) } else { named(name).map(Some) }
}

/// A step as a row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRow {
    /// The row's line in the input, from 1.
    pub(crate) line: u64,
    /// The id of the command that records it: the same in every run.
    pub(crate) command: CommandId,
    /// The step.
    pub(crate) step: Step,
}

/// All rows of an input.
#[derive(Debug, Default)]
pub(crate) struct StepRows {
    /// RowKind that are steps, as they stand in the file.
    pub(crate) rows: Vec<StepRow>,
    /// The others, by line.
    pub(crate) bad: Vec<BadRow>,
}

/// The id of a case's history: the same in every run.
pub(super) fn history_id(source: &str, case: &str) -> HistoryId {
    HistoryId(derived(b"history", source, case))
}

/// Reads an input through a mapping. RowKind that say the same of the same case are steps of their own, counted from the first, so that
/// the third of three is found again in the next run.
pub(crate) fn read(bytes: &[u8], mapping: &StepMapping) -> Result<StepRows, MappingError> {
    let mut rows = Vec::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let header = |names| mapping.header(names);
    let bad = ticket_row::each(bytes, &mapping.format, &mapping.columns, header, |line, places, fields| {
        let (step, key) = step(mapping, &|name| ticket_row::column(places, fields, name))?;
        let times = seen.entry([step.case.as_str(), &key].join("\0")).or_default();
        *times += 1;
        let key = format!("{}\0{key}\0{times}", step.case);
        let command = CommandId(derived(b"step", &mapping.name, &key));
        rows.push(StepRow { line, command, step });
        Ok(())
    })?;
    Ok(StepRows { rows, bad })
}

/// What a row says, and what tells it from other rows of its case.
fn step<'r>(mapping: &StepMapping, column: &dyn Fn(&str) -> &'r str) -> Result<(Step, String), RowError> {
    let read =
        |field, rule: &PreparedRule| rule.read(column).map_err(|source| RowError::NoValue { field, source });
    let field = |field: &'static str| match mapping.fields.get(field) {
        Some(rule) => read(field, rule).map(|text| text.trim().to_owned()),
        None => Ok(String::new()),
    };
    let occurred_at = mapping.occurred_at.read(column, mapping.zone)?;
    // Finer than the log keeps.
    let occurred_at = Timestamp::from_microsecond(occurred_at.as_microsecond()).unwrap_or(occurred_at);
    let (case, activity, resource) = (field("case")?, field("activity")?, field("resource")?);
    let named_stage = field("stage")?;
    let stage = stage(&named_stage).map_err(|problem| RowError::Value {
        field: "stage",
        value: named_stage,
        problem,
    })?;
    let key = match &mapping.key {
        Some(key) => read("row.key", key)?,
        None => format!("{activity}\0{}\0{resource}", occurred_at.as_microsecond()),
    };
    let mut attributes = Vec::new();
    for (name, rule) in &mapping.attributes {
        let value = read("attributes", rule)?;
        if !value.is_empty() {
            attributes.push(Attribute { name: name.clone(), value });
        }
    }
    let step = Step {
        history: history_id(&mapping.name, &case),
        source: mapping.name.clone(),
        case,
        activity,
        occurred_at,
        stage,
        resource: Some(resource).filter(|resource| !resource.is_empty()),
        transition: field("transition")?,
        attributes,
    };
    Ok((step, key))
}

//! The rows of any table become tickets, or steps of foreign histories, once.
//!
//! Ids come from the source's name and the row's key, so a run that was cut short goes on where it was, and a second run adds
//! nothing. A row that cannot be taken in costs itself only: it is reported with its line and why. What a mapping file says is in
//! `deploy/mappings/README.md`.

mod error;
mod field_rule;
mod mapping;
mod moment;
mod report;
mod step_row;
mod table;
#[cfg(test)]
mod tests;
mod ticket_row;
mod write_histories;
mod write_tickets;

use std::path::Path;

use duban_engine::data_directory::rules_in;

pub use self::error::ImportError;
pub use self::field_rule::FieldRuleError;
pub use self::mapping::MappingError;
pub use self::report::{ImportProgress, ImportReport, RejectedRow};

use self::mapping::{RowKind, TicketMapping};
use self::step_row::StepMapping;

/// What is imported from where into what.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// The data directory; made where there is none.
    pub data: &'a Path,
    /// The master key's file, where it is not kept in the data directory.
    pub master_key: Option<&'a Path>,
    /// How rows become tickets or steps.
    pub mapping: &'a Path,
    /// The table, CSV or TSV.
    pub input: &'a Path,
    /// Checks every row against the mapping and the rules, and writes nothing: not even a directory.
    pub dry_run: bool,
}

/// Takes all rows in whose tickets or steps are not there yet.
///
/// # Errors
/// [`ImportError`]. Rows that are rejected are in the report.
pub fn import(what: Import<'_>, progress: ImportProgress<'_>) -> Result<ImportReport, ImportError> {
    let Import { data, master_key, mapping: path, input, dry_run } = what;
    let rules = rules_in(data)?;
    let text = mapping::text(path)?;
    let bytes =
        std::fs::read(input).map_err(|source| ImportError::Input { path: input.to_owned(), source })?;
    match mapping::row_kind(path, &text)? {
        RowKind::Tickets => {
            let mapping = TicketMapping::parse(path, &text, &rules.policy)?;
            let table = ticket_row::read(&bytes, &mapping, &rules.policy)?;
            drop(bytes);
            if dry_run {
                write_tickets::dry_run(data, &mapping, table, &rules)
            } else {
                write_tickets::write_tickets(data, master_key, &mapping, table, &rules, progress)
            }
        }
        RowKind::Steps => {
            let mapping = StepMapping::parse(path, &text)?;
            let table = step_row::read(&bytes, &mapping)?;
            drop(bytes);
            if dry_run {
                write_histories::dry_run(data, table, &rules, progress)
            } else {
                write_histories::write_histories(data, master_key, &mapping, table, &rules, progress)
            }
        }
    }
}

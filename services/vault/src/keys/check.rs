//! Whether every key of a data directory opens.

use std::path::Path;

use duban_aggregates::ids::CustomerId;

use super::rotate::{self, ProgressFn};
use super::{KeyStore, KeysError, MasterKey};

/// How a key store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Customers whose keys the master key opens.
    pub keys: u64,
    /// Customers whose keys are erased.
    pub erased: u64,
    /// Customers whose keys do not open, at most a hundred.
    pub damaged: Vec<CustomerId>,
}

/// Opens every key of a data directory, beside whoever has it open, and drops it again.
///
/// # Errors
/// Any [`KeysError`] about files and the master key.
pub fn check(
    data: &Path,
    master_file: Option<&Path>,
    progress: ProgressFn<'_>,
) -> Result<CheckSummary, KeysError> {
    let dir = data.join("keys");
    let (keys, master) = rotate::current(&dir);
    let master = MasterKey::read(master_file.unwrap_or(&dir.join(master)))?;
    let (shared, ..) = KeyStore::load(dir.join(keys), master, false)?;
    let slots: Vec<_> = shared.known.lock().slots.keys().copied().collect();
    let mut checked = CheckSummary::default();
    let total = slots.len() as u64;
    for (done, customer) in (0..).zip(slots) {
        match shared.get(CustomerId(customer)) {
            Ok(_) => checked.keys += 1,
            Err(KeysError::Erased(_)) => checked.erased += 1,
            Err(KeysError::DamagedKey(customer)) if checked.damaged.len() < 100 => {
                checked.damaged.push(customer);
            }
            Err(KeysError::DamagedKey(_)) => {}
            Err(error) => return Err(error),
        }
        progress(done + 1, total);
    }
    checked.damaged.sort_unstable();
    Ok(checked)
}

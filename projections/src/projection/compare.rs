//! A read model as it lies on disk beside one that is folded anew, row by row. Neither the log nor what is on disk is changed.

use duban_log::{Direction, EventLog, Filter, Position, Reader};

use super::{Fold, FoldError, Home, OnProgress, made_with};
use crate::table::{self, Table, TableError, Unusable};

/// Rows, and events, that are read at a time.
const PAGE: usize = 1_024;

/// Differences that are told one by one; the rest are counted.
const TOLD_MAX: usize = 20;

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The projection.
    pub name: &'static str,
    /// The rows that were compared; or why there is nothing to compare with.
    pub found: Result<Rows, Unusable>,
}

/// Rows on disk, brought up to the log's end, against rows folded anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How far the log had been folded into what is on disk.
    pub reached: Option<Position>,
    /// Rows that a new fold gives.
    pub rows: u64,
    /// Rows that are missing, that nobody folds, or that hold something else.
    pub differences: u64,
    /// The first of them, in words.
    pub told: Vec<String>,
}

impl Rows {
    fn differ(&mut self, what: &str, key: &str) {
        self.differences += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("{key} {what}"));
        }
    }
}

/// Compares every row of a read model on disk with what a new fold of the log gives. What the log holds beyond it is folded onto it in
/// memory. Nobody else may have it open.
///
/// # Errors
/// [`FoldError`].
pub async fn compare<F: Fold>(
    make: impl Fn() -> F,
    home: &Home,
    reader: &Reader,
    log: &dyn EventLog,
    progress: OnProgress<'_>,
) -> Result<Compared, FoldError> {
    let fold = make();
    let opened = Table::open(&home.table::<F>(), &made_with(&fold), reader.head().position);
    let (live, reached) = match opened {
        Ok(opened) => opened,
        Err(unusable) => return Ok(Compared { name: F::NAME, found: Err(unusable) }),
    };
    let mut at = reached;
    loop {
        let page = log.read_all(at, Direction::Forward, &Filter::all(), PAGE).await?;
        let taken = fold.take(&live, log, &page.events).await;
        if let Some(error) = taken.error {
            return Err(error);
        }
        at = page.next.or(at);
        if page.end {
            break;
        }
    }
    let (total, done) = (reader.head().size, std::sync::atomic::AtomicU64::new(0));
    let read = |more| {
        let done = done.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more;
        progress(F::NAME, done, total);
    };
    let anew = Table::temporary()?;
    make().rebuild(&anew, reader, &read)?;
    let rows = hold::<F>(&live, &anew, Rows { reached, ..Rows::default() })?;
    Ok(Compared { name: F::NAME, found: Ok(rows) })
}

/// Goes over both in the order of their keys.
fn hold<F: Fold>(live: &Table, anew: &Table, mut rows: Rows) -> Result<Rows, TableError> {
    let (mut live, mut anew) = (Pages::of(live), Pages::of(anew));
    let (mut here, mut there) = (live.next()?, anew.next()?);
    loop {
        match (&here, &there) {
            (None, None) => return Ok(rows),
            (Some((key, value)), Some((other, wanted))) if key == other => {
                rows.rows += 1;
                if value != wanted {
                    rows.differ("holds something else", &F::key_name(key));
                }
                (here, there) = (live.next()?, anew.next()?);
            }
            (Some((key, _)), Some((other, _))) if key < other => {
                rows.differ("should not be there", &F::key_name(key));
                here = live.next()?;
            }
            (Some((key, _)), None) => {
                rows.differ("should not be there", &F::key_name(key));
                here = live.next()?;
            }
            (_, Some((other, _))) => {
                rows.rows += 1;
                rows.differ("is missing", &F::key_name(other));
                there = anew.next()?;
            }
        }
    }
}

/// A table's rows, page by page.
struct Pages<'t> {
    table: &'t Table,
    page: std::vec::IntoIter<table::Pair>,
    from: Option<table::Key>,
}

impl<'t> Pages<'t> {
    fn of(table: &'t Table) -> Self {
        Self { table, page: Vec::new().into_iter(), from: Some(table::first_row()) }
    }

    fn next(&mut self) -> Result<Option<table::Pair>, TableError> {
        loop {
            if let Some(pair) = self.page.next() {
                return Ok(Some(pair));
            }
            let Some(from) = self.from.take() else { return Ok(None) };
            let page = self.table.page(&from, &table::end_of(&[]), false, PAGE)?;
            if let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) {
                self.from = Some(table::after(last));
            }
            self.page = page.into_iter();
            if self.page.len() == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CustomerFold;
    use crate::table::Changes;

    fn table(rows: impl IntoIterator<Item = (u32, &'static str)>) -> Table {
        let table = Table::temporary().unwrap();
        let row = |(number, value): (u32, &str)| {
            ([&b"r"[..], &number.to_be_bytes()].concat(), Some(value.as_bytes().to_vec()))
        };
        table.change(rows.into_iter().map(row).collect::<Changes>());
        table
    }

    fn held(live: &Table, anew: &Table) -> Rows {
        hold::<CustomerFold>(live, anew, Rows::default()).unwrap()
    }

    #[test]
    fn every_row_is_compared_over_pages_and_each_difference_is_named() {
        let count = 2 * u32::try_from(PAGE).unwrap() + 7;
        let all = || (0..count).map(|number| (number, "as folded"));
        let anew = table(all());
        let same = held(&table(all()), &anew);
        assert_eq!((same.rows, same.differences, same.told), (u64::from(count), 0, Vec::new()));
        let live = table(
            all()
                .filter(|(number, _)| *number != 3)
                .map(|(number, text)| (number, if number == count - 2 { "otherwise" } else { text }))
                .chain([(count, "too many")]),
        );
        let told = held(&live, &anew);
        assert_eq!((told.rows, told.differences), (u64::from(count), 3));
        let parts = ["is missing", "holds something else", "should not be there"];
        assert!(told.told.iter().zip(parts).all(|(told, part)| told.ends_with(part)), "{:?}", told.told);
        assert_eq!(held(&table([]), &anew).differences, u64::from(count));
        assert_eq!(held(&live, &table([])).told.len(), TOLD_MAX);
    }
}

use std::fs;

use proptest::prelude::*;

use super::*;

const MAKE: &str = "test 1";

#[allow(clippy::unnecessary_wraps, reason = "the end of a log that holds something")]
fn at(position: u64) -> Option<Position> {
    Some(Position::new(position))
}

fn row(key: &str, value: &str) -> Changes {
    [(key.into(), Some(value.into()))].into()
}

fn gone(key: &str) -> Changes {
    [(key.into(), None)].into()
}

fn text(pairs: Vec<Pair>) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    pairs.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A table with three rows, closed.
fn closed(dir: &Path) -> PathBuf {
    let path = dir.join("rows");
    let table = Table::create(&path, MAKE).expect("created");
    for key in ["a", "b", "c"] {
        table.change(row(key, &format!("value of {key}")));
    }
    table.write(at(7)).expect("written");
    table.flush().expect("flushed");
    path
}

#[test]
fn what_is_fresh_hides_what_is_stored() {
    let table = Table::temporary().unwrap();
    table.change([row("a", "1"), row("b", "1"), row("c", "1")].into_iter().flatten().collect());
    table.write(at(1)).unwrap();
    table.change([row("b", "2"), gone("c"), row("d", "2")].into_iter().flatten().collect());
    let expected = [("a", "1"), ("b", "2"), ("d", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(text(table.page(b"a", b"z", false, 9).unwrap()), expected);
    let mut reversed = expected.clone();
    reversed.reverse();
    assert_eq!(text(table.page(b"a", b"z", true, 9).unwrap()), reversed);
    assert_eq!(text(table.page(b"a", b"z", false, 2).unwrap()), expected[..2]);
    assert_eq!(table.get(b"c").unwrap(), None);
    assert_eq!(table.unwritten(), 3);
    let before = table.digest().unwrap();
    table.write(at(2)).unwrap();
    assert_eq!((table.unwritten(), table.rows(), table.written()), (0, 3, at(2)));
    assert_eq!(table.digest().unwrap(), before, "writing changes nothing that is read");
}

#[test]
fn a_table_that_was_written_is_opened_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    let (table, reached) = Table::open(&path, MAKE, at(9)).unwrap();
    assert_eq!((reached, table.rows()), (at(7), 3));
    assert_eq!(table.get(b"b").unwrap().as_deref(), Some(&b"value of b"[..]));
}

#[test]
fn a_table_that_cannot_be_trusted_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Table::open(&dir.path().join("none"), MAKE, at(9)).unwrap_err(), Unusable::Missing);
    let path = closed(dir.path());
    let refused = |make: &str, end| Table::open(&path, make, end).unwrap_err();
    assert_eq!(refused("test 2", at(9)), Unusable::OtherMake(MAKE.to_owned()));
    assert_eq!(refused(MAKE, at(6)), Unusable::BeyondLog(Position::new(7)));
    assert_eq!(refused(MAKE, None), Unusable::BeyondLog(Position::new(7)));
}

#[test]
fn rows_that_were_not_written_through_the_table_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    for change in [|db: &sled::Db| db.insert("b", "value of B"), |db: &sled::Db| db.remove("c")] {
        {
            let db = config(&path).open().unwrap();
            change(&db).unwrap();
            db.flush().unwrap();
        }
        let refused = Table::open(&path, MAKE, at(9)).unwrap_err();
        assert!(matches!(refused, Unusable::Damaged(_)), "{refused}");
    }
}

/// Whatever byte is flipped: the table is refused, or it holds exactly what was written.
#[test]
fn a_flipped_byte_is_refused_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    let whole = Table::open(&path, MAKE, at(9)).unwrap().0.digest().unwrap();
    let file = path.join("db");
    let bytes = fs::read(&file).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut refused = 0;
    for flipped in (0..=used).step_by(used / 60 + 1) {
        let copy = dir.path().join("copy");
        delete(&copy).unwrap();
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&path).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let mut damaged = bytes.clone();
        damaged[flipped] ^= 0x40;
        fs::write(copy.join("db"), damaged).unwrap();
        match Table::open(&copy, MAKE, at(9)) {
            Ok((table, reached)) => {
                assert_eq!((table.digest().unwrap(), reached), (whole, at(7)), "byte {flipped}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "no flipped byte mattered");
}

#[test]
fn a_table_built_beside_takes_the_place_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    let beside = path.with_extension("building");
    let built = Table::create(&beside, "test 2").unwrap();
    built.fill(row("x", "new")).unwrap();
    built.write(at(8)).unwrap();
    drop(built);
    swap(&beside, &path).unwrap();
    let (table, reached) = Table::open(&path, "test 2", at(9)).unwrap();
    assert_eq!((reached, table.rows()), (at(8), 1));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["rows"]);
}

#[test]
fn the_end_of_a_prefix_is_the_first_key_beyond_it() {
    for (prefix, end) in [(&b"a"[..], &b"b"[..]), (b"a\xff", b"b"), (b"ab", b"ac")] {
        assert_eq!(end_of(prefix), end);
    }
}

proptest! {
    /// Against a plain map, whatever is written when.
    #[test]
    fn a_table_reads_as_a_map_does(steps in prop::collection::vec((0u8..20, prop::option::of(0u8..4), any::<bool>()), 1..80)) {
        let table = Table::temporary().unwrap();
        let mut map = BTreeMap::new();
        for (key, value, write) in steps {
            let key = vec![FIRST_ROW + key];
            let value = value.map(|value| vec![value]);
            table.change([(key.clone(), value.clone())].into());
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
            if write {
                table.write(None).unwrap();
            }
            let rows = |backwards| table.page(&[3], &[15], backwards, 5).unwrap();
            let wanted = || map.range(vec![3]..vec![15]).map(|(k, v)| (k.clone(), v.clone()));
            prop_assert_eq!(rows(false), wanted().take(5).collect::<Vec<_>>());
            prop_assert_eq!(rows(true), wanted().rev().take(5).collect::<Vec<_>>());
        }
    }
}

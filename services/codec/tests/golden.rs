//! One golden file pair for every stored type: `<type>.json` is the envelope as people read it, `<type>.hex` are the
//! stored bytes. From the first tag on they never change. `UPDATE_GOLDEN=1 cargo test -p duban-codec` writes them anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use duban_aggregates::{customer, edition, emergency, imported, notice, office, problem, ticket};
use duban_codec::sample::{self, Gen};
use duban_codec::{Parts, Stored, from_event, from_json, to_event, to_json_pretty, types};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// FNV-1a: a new type does not change the samples of the others.
fn seed(kind: &str) -> u64 {
    kind.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn example(kind: &str) -> Parts {
    sample::parts(kind, &mut Gen::plain(seed(kind))).unwrap_or_else(|| panic!("{kind} has no sample"))
}

fn hex(parts: &Parts) -> String {
    let mut text = String::new();
    for (name, bytes) in [("metadata", &parts.metadata), ("payload", &parts.payload)] {
        text += &format!("{name} {} bytes\n", bytes.len());
        for line in bytes.chunks(32) {
            text.extend(line.iter().map(|byte| format!("{byte:02x}")));
            text.push('\n');
        }
    }
    text
}

fn compare(path: &Path, made: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        let written = fs::create_dir_all(directory()).and_then(|()| fs::write(path, made));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let kept = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(kept == made, "{} differs from what is written today:\n{made}", path.display());
}

#[test]
fn every_stored_type_is_written_as_its_golden_files_say() {
    for kind in types::ALL {
        let parts = example(kind);
        let json = to_json_pretty(&to_event(&parts.as_stored()).unwrap()).unwrap() + "\n";
        compare(&directory().join(format!("{kind}.json")), &json);
        compare(&directory().join(format!("{kind}.hex")), &hex(&parts));
    }
}

#[test]
fn golden_files_are_read_as_the_events_they_were_made_of() {
    fn same<E: Stored + PartialEq>(kind: &str, parts: &Parts) {
        let Some(event) = E::sample(kind, &mut Gen::plain(seed(kind))) else { return };
        assert!(E::decode(kind, &parts.payload).is_ok_and(|read| read == event), "{kind} is read as another");
    }
    for kind in types::ALL {
        let json = fs::read_to_string(directory().join(format!("{kind}.json"))).unwrap();
        let parts = from_event(from_json(&json).unwrap()).unwrap();
        assert_eq!(parts, example(kind));
        same::<ticket::Event>(kind, &parts);
        same::<problem::Event>(kind, &parts);
        same::<notice::Event>(kind, &parts);
        same::<customer::Event>(kind, &parts);
        same::<office::Event>(kind, &parts);
        same::<edition::Event>(kind, &parts);
        same::<emergency::Event>(kind, &parts);
        same::<imported::Event>(kind, &parts);
    }
}

#[test]
fn no_golden_file_is_left_of_a_type_that_is_gone() {
    let expected: BTreeSet<String> =
        types::ALL.iter().flat_map(|kind| [format!("{kind}.json"), format!("{kind}.hex")]).collect();
    let found: BTreeSet<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected);
}

//! The keys of a backup and its list, on a disk that loses power at every step.

use duban_log::disk::sim::{Dice, SimDisk};

use super::*;

fn file(name: &str, bytes: &[u8]) -> KeyFile {
    KeyFile { name: name.to_owned(), bytes: bytes.to_vec().into() }
}

fn empty_copy() -> Copy {
    Copy { head: Head { position: None, size: 0, root: [7; 32] }, pieces: Vec::new() }
}

/// What [`backup`] does about keys, on one disk.
fn back_up(disk: &SimDisk, files: &[KeyFile], at: i64) -> io::Result<()> {
    match list(disk) {
        Some(before) if next_counts(disk, &before)? => key_files::commit(disk, &names(&before))?,
        Some(_) | None => key_files::discard_staged(disk)?,
    }
    key_files::stage(disk, files)?;
    let manifest = Manifest::of(&empty_copy(), files, Timestamp::from_second(at).unwrap());
    commit(disk, &manifest)?;
    key_files::commit(disk, &names(&manifest))
}

fn list(disk: &SimDisk) -> Option<Manifest> {
    let text = key_files::read_whole(disk, MANIFEST).unwrap()?;
    Some(serde_json::from_slice(&text).expect("a list is there whole or not at all"))
}

/// Every file is there as the list says; answers the list's moment.
#[track_caller]
fn whole(disk: &SimDisk, context: &str) -> i64 {
    let manifest = list(disk).unwrap_or_else(|| panic!("{context}: no list"));
    for file in &manifest.keys {
        if let Err(error) = restore::whole(disk, file, Path::new("keys")) {
            panic!("{context}: {error}");
        }
    }
    manifest.made_at.as_second()
}

#[test]
fn a_power_loss_at_any_step_leaves_the_keys_of_the_last_list_and_what_was_erased_lies_nowhere_after_the_next()
{
    let (live, erased) = ([0x5A; 900], [0xA5; 300]);
    let first = [live.as_slice(), &erased].concat();
    let before = [file("customers", &first), file("signing.pub", b"public"), file("master", b"secret")];
    // The erased key is overwritten, others have come, and secrets are not asked for any more.
    let second = [live.as_slice(), &[0; 300], &[0x77; 128]].concat();
    let after = [file("customers", &second), file("signing.pub", b"public")];
    let begun = SimDisk::new();
    back_up(&begun, &before, 1).unwrap();
    assert_eq!(whole(&begun, "the first"), 1);
    let begin = begun.after_power_loss(&mut Dice::new(0));
    back_up(&begin, &after, 2).unwrap();
    let steps = begin.operations();
    let (mut old, mut new) = (0, 0);
    for step in 0..=steps {
        for toss in 0..8 {
            let context = format!("step {step}, toss {toss}");
            let disk = begun.after_power_loss(&mut Dice::new(0));
            disk.cut_power_after(step);
            assert_eq!(back_up(&disk, &after, 2).is_ok(), step == steps, "{context}");
            let left = disk.after_power_loss(&mut Dice::new(100 * step + toss));
            match whole(&left, &context) {
                1 => old += 1,
                2 => new += 1,
                other => panic!("{context}: {other}"),
            }
            back_up(&left, &after, 3).unwrap();
            assert_eq!(whole(&left, &context), 3);
            let mut names = left.list().unwrap();
            names.sort();
            assert_eq!(names, [MANIFEST, "customers", "signing.pub"], "{context}: nothing else is left");
            let customers = key_files::read_whole(&left, "customers").unwrap().unwrap();
            assert!(customers == second, "{context}");
        }
    }
    assert!(old > 20 && new > 20, "{old} as before, {new} as after");
}

#[test]
fn a_list_of_another_form_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Manifest::read(dir.path()).unwrap().is_none());
    let whole = serde_json::to_string(&Manifest::of(&empty_copy(), &[], Timestamp::UNIX_EPOCH)).unwrap();
    for text in [
        whole.replace("backup v1", "backup v2"),
        whole.replace("0707", "07"),
        whole.replace("\"keys\":[]", "\"keys\":[],\"more\":1"),
        String::new(),
    ] {
        fs::write(dir.path().join(MANIFEST), &text).unwrap();
        let refused = Manifest::read(dir.path()).unwrap_err();
        assert!(matches!(refused, ManifestError::Form { .. }), "{text}: {refused}");
    }
    fs::write(dir.path().join(MANIFEST), whole).unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap().unwrap().head.size, 0);
}

//! Rotations on a disk that loses power and fails at every step, and every byte of what they leave.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use duban_aggregates::sealed::Sealed;
use duban_log::disk::sim::{Dice, SimDisk};

use super::*;
use crate::keys::{CheckSummary, check};
use crate::seal::{Sealer, Unreadable};

const LIVE: u128 = 40;
const ERASED: u128 = 41;

fn customer(n: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(n))
}

/// A store of some customers, one of them erased, and a text of each.
struct Store {
    dir: tempfile::TempDir,
    texts: BTreeMap<u128, Sealed>,
    phone: [u8; 16],
}

impl Store {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Arc::new(KeyStore::open(dir.path(), None).unwrap()));
        let mut texts = BTreeMap::new();
        for n in 1..=ERASED {
            texts.insert(n, sealer.customer(customer(n)).await.unwrap().seal(&text(n)).unwrap());
        }
        sealer.keys().erase(customer(ERASED)).await.unwrap();
        let phone = sealer.keys().phone_hash("13900001234");
        Self { dir, texts, phone }
    }

    fn keys(&self) -> std::path::PathBuf {
        self.dir.path().join("keys")
    }

    fn on_a_disk(&self) -> SimDisk {
        let sim = SimDisk::new();
        for entry in fs::read_dir(self.keys()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            write_whole(&sim, &name, &fs::read(entry.path()).unwrap()).unwrap();
        }
        sim.sync_dir().unwrap();
        sim
    }

    /// Every text opens but the erased one's, and phones are found.
    #[track_caller]
    fn holds_all(&self, data: &Path, master: Option<&Path>, context: &str) {
        // A reader first, which finishes nothing; then a writer, which does.
        for open in [KeyStore::open_read_only, KeyStore::open] {
            let store = open(data, master).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert_eq!(store.phone_hash("13900001234"), self.phone, "{context}");
            let sealer = Sealer::new(Arc::new(store));
            for (n, sealed) in &self.texts {
                match sealer.open(sealed) {
                    Ok(opened) => assert_eq!((*n < ERASED, opened), (true, text(*n)), "{context}"),
                    Err(error) => {
                        assert!(
                            *n == ERASED && matches!(error, Unreadable::Erased),
                            "{context}: {n}: {error:?}"
                        );
                    }
                }
            }
        }
    }
}

fn text(n: u128) -> String {
    format!("客户{n}反映夜间断网")
}

/// What lies on a simulated disk, as a data directory.
fn poured(sim: &SimDisk) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("keys")).unwrap();
    for name in sim.list().unwrap() {
        let file = sim.open(&name, Access::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        read_exactly(&*file, &mut bytes, 0).unwrap();
        fs::write(data.path().join("keys").join(name), bytes).unwrap();
    }
    data
}

fn wrapped_keys(data: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(data.join("keys").join(FILE_NAME)).unwrap();
    bytes[RECORD_LEN..]
        .chunks(RECORD_LEN)
        .take(LIVE as usize)
        .map(|record| record[40..100].to_vec())
        .collect()
}

fn silent(_: u64, _: u64) {}

#[tokio::test]
async fn a_new_master_key_opens_every_key_and_the_old_one_none() {
    let store = Store::new().await;
    let (data, elsewhere) = (store.dir.path(), tempfile::tempdir().unwrap());
    let old = elsewhere.path().join("old");
    fs::copy(store.keys().join(MASTER), &old).unwrap();
    let before = wrapped_keys(data);

    let rotated = rotate(data, None, None, &silent).unwrap();
    assert_eq!(rotated, RotationSummary { keys: 40, erased: 1 });
    store.holds_all(data, None, "in its place");
    assert!(matches!(KeyStore::open(data, Some(&old)), Err(KeysError::WrongMaster { .. })));

    let new = elsewhere.path().join("new");
    rotate(data, None, Some(&new), &silent).unwrap();
    assert!(!store.keys().join(MASTER).exists(), "the master key is kept elsewhere now");
    assert!(matches!(KeyStore::open(data, None), Err(KeysError::MasterMissing { .. })));
    store.holds_all(data, Some(&new), "moved elsewhere");

    let newer = elsewhere.path().join("newer");
    assert!(matches!(rotate(data, Some(&new), None, &silent), Err(KeysError::NewMasterUnnamed { .. })));
    assert!(matches!(rotate(data, Some(&new), Some(&new), &silent), Err(KeysError::SameMaster { .. })));
    assert!(matches!(rotate(data, Some(&old), Some(&newer), &silent), Err(KeysError::WrongMaster { .. })));
    store.holds_all(data, Some(&new), "after refusals");
    rotate(data, Some(&new), Some(&newer), &silent).unwrap();
    store.holds_all(data, Some(&newer), "from elsewhere to elsewhere");
    let checked = check(data, Some(&newer), &silent).unwrap();
    assert_eq!(checked, CheckSummary { keys: 40, erased: 1, damaged: Vec::new() });

    // What was wrapped before lies in no file any more, nor is there any file that is not meant to be.
    let mut names: Vec<_> = fs::read_dir(store.keys())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [FILE_NAME]);
    let now = fs::read(store.keys().join(FILE_NAME)).unwrap();
    for wrapped in before {
        assert!(!now.windows(wrapped.len()).any(|window| window == wrapped));
    }
}

/// What becomes of the master key beside the keys, in each of the three ways.
fn ways() -> [(&'static str, OwnMaster, MasterKey, Zeroizing<String>); 3] {
    let fresh = || MasterKey::fresh().unwrap();
    let ((a, a_text), (b, b_text), (c, c_text)) = (fresh(), fresh(), fresh());
    [
        ("in its place", OwnMaster::Replaced(a_text.clone()), a, a_text),
        ("moved elsewhere", OwnMaster::Removed, b, b_text),
        ("from elsewhere to elsewhere", OwnMaster::Elsewhere, c, c_text),
    ]
}

#[tokio::test]
async fn a_power_loss_or_a_failing_disk_at_any_step_leaves_a_store_of_the_old_master_key_or_of_the_new_one() {
    let store = Store::new().await;
    let old_text = fs::read_to_string(store.keys().join(MASTER)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (old_file, new_file) = (elsewhere.path().join("old"), elsewhere.path().join("new"));
    fs::write(&old_file, &old_text).unwrap();
    let old = MasterKey::read(&old_file).unwrap();
    let (mut as_before, mut as_after) = (0, 0);
    for (way, own, new, new_text) in ways() {
        fs::write(&new_file, new_text.as_str()).unwrap();
        let beside = store.on_a_disk();
        if matches!(own, OwnMaster::Elsewhere) {
            beside.remove(MASTER).unwrap();
            beside.sync_dir().unwrap();
        }
        let begin = beside.operations();
        let keys = Path::new("keys");
        let whole = beside.after_power_loss(&mut Dice::new(0));
        rotate_on(&whole, keys, (&old, &new), &own, &silent).unwrap();
        let steps = whole.operations();
        assert!(steps > 8 && begin > 0, "{steps} steps");
        for step in 0..=steps {
            for toss in 0..6 {
                let context = format!("{way}, step {step}, toss {toss}");
                let mut dice = Dice::new(1_000 * step + toss);
                let sim = beside.after_power_loss(&mut Dice::new(0));
                let fails = toss == 0;
                if fails {
                    sim.fail_after(step);
                } else {
                    sim.cut_power_after(step);
                }
                let outcome = rotate_on(&sim, keys, (&old, &new), &own, &silent);
                assert_eq!(outcome.is_ok(), step == steps, "{context}: {outcome:?}");
                // A failing disk keeps what it took; one without power keeps what it had synced, and more or less of the rest.
                let left = if fails { poured(&sim) } else { poured(&sim.after_power_loss(&mut dice)) };
                let opens = |file: Option<&Path>| match KeyStore::open_read_only(left.path(), file) {
                    Ok(_) => true,
                    Err(KeysError::WrongMaster { .. } | KeysError::Io { .. }) => false,
                    Err(error) => panic!("{context}: {error:?}"),
                };
                let with_old = opens(Some(&old_file));
                assert_ne!(with_old, opens(Some(&new_file)), "{context}: one of them and not both");
                *(if with_old { &mut as_before } else { &mut as_after }) += 1;
                // Where the master key lies beside the keys, no one need know how far it came.
                let master = match own {
                    OwnMaster::Replaced(_) => None,
                    OwnMaster::Removed if with_old => None,
                    _ if with_old => Some(old_file.as_path()),
                    _ => Some(new_file.as_path()),
                };
                store.holds_all(left.path(), master, &context);
                let names = fs::read_dir(left.path().join("keys")).unwrap();
                let left_over = names.filter(|name| {
                    let name = name.as_ref().unwrap().file_name();
                    [ROTATING, ROTATED, NEXT_MASTER].iter().any(|scratch| name == *scratch)
                });
                assert_eq!(left_over.count(), 0, "{context}: opening has finished it");
                if !with_old {
                    assert!(matches!(
                        KeyStore::open(left.path(), Some(&old_file)),
                        Err(KeysError::WrongMaster { .. })
                    ));
                }
            }
        }
    }
    assert!(as_before > 50 && as_after > 50, "{as_before} as before, {as_after} as after");
}

#[tokio::test]
async fn a_rotation_that_is_cut_anywhere_while_it_is_written_is_thrown_away() {
    let store = Store::new().await;
    let (new, _) = MasterKey::fresh().unwrap();
    let old = MasterKey::read(&store.keys().join(MASTER)).unwrap();
    let sim = store.on_a_disk();
    wrap_anew(&sim, Path::new("keys"), (&old, &new), &silent).unwrap();
    let whole = poured(&sim);
    let bytes = fs::read(whole.path().join("keys").join(ROTATING)).unwrap();
    for kept in (0..=bytes.len()).step_by(61) {
        fs::write(store.keys().join(ROTATING), &bytes[..kept]).unwrap();
        store.holds_all(store.dir.path(), None, &format!("{kept} bytes kept"));
        assert!(!store.keys().join(ROTATING).exists());
    }
}

#[tokio::test]
async fn a_damaged_key_is_counted_and_stops_a_rotation_before_anything_changes() {
    use std::os::unix::fs::FileExt;
    let store = Store::new().await;
    let data = store.dir.path();
    // A whole record, wrapped under nothing that is known.
    let damaged =
        Record { customer: *customer(3).0.as_bytes(), batch: 2, state: State::Live, wrapped: [7; 60] };
    let key_file = fs::OpenOptions::new().write(true).open(store.keys().join(FILE_NAME)).unwrap();
    key_file.write_all_at(&damaged.encode(), file::offset(2)).unwrap();
    let checked = check(data, None, &silent).unwrap();
    assert_eq!((checked.keys, checked.damaged), (39, vec![customer(3)]));
    let before = fs::read(store.keys().join(FILE_NAME)).unwrap();
    assert!(matches!(rotate(data, None, None, &silent), Err(KeysError::DamagedKey(it)) if it == customer(3)));
    assert_eq!(fs::read(store.keys().join(FILE_NAME)).unwrap(), before);
    KeyStore::open(data, None).unwrap().get(customer(4)).unwrap();
}

use std::os::unix::fs::{FileExt, PermissionsExt};

use super::file::{RECORD_LEN, offset};
use super::*;

fn customer(n: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(n))
}

fn open(dir: &tempfile::TempDir) -> KeyStore {
    KeyStore::open(dir.path(), None).unwrap()
}

fn key_file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("keys").join(FILE_NAME)
}

fn write_at(dir: &tempfile::TempDir, bytes: &[u8], at: u64) {
    fs::OpenOptions::new().write(true).open(key_file(dir)).unwrap().write_all_at(bytes, at).unwrap();
}

/// A store of `n` customers, each batch of its own, closed again.
fn filled(n: u128) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for i in 1..=n {
        store.create_all(&[customer(i)]).unwrap();
    }
    dir
}

#[test]
fn keys_are_there_after_a_restart_and_the_file_is_as_long_as_its_records() {
    let dir = filled(3);
    assert_eq!(fs::metadata(key_file(&dir)).unwrap().len(), offset(3));
    let store = open(&dir);
    for i in 1..=3 {
        store.get(customer(i)).unwrap();
    }
    assert!(matches!(store.get(customer(4)), Err(KeysError::Unknown(_))));
}

#[test]
fn the_master_key_is_made_for_its_owner_alone() {
    let dir = filled(1);
    let mode = fs::metadata(dir.path().join("keys/master")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_lost_or_other_master_key_is_named_and_never_replaced() {
    let dir = filled(1);
    let (master, aside) = (dir.path().join("keys/master"), dir.path().join("aside"));
    fs::rename(&master, &aside).unwrap();
    assert!(matches!(KeyStore::open(dir.path(), None), Err(KeysError::MasterMissing { .. })));
    assert!(!master.exists());
    MasterKey::generate(&master).unwrap();
    assert!(matches!(KeyStore::open(dir.path(), None), Err(KeysError::WrongMaster { .. })));
    fs::write(&master, "not a key").unwrap();
    assert!(matches!(KeyStore::open(dir.path(), None), Err(KeysError::MasterMalformed { .. })));
    KeyStore::open(dir.path(), Some(&aside)).unwrap().get(customer(1)).unwrap();
}

#[test]
fn a_torn_tail_loses_only_the_unsynced_record() {
    for kept in (0..RECORD_LEN as u64).step_by(9) {
        let dir = filled(2);
        let file = fs::OpenOptions::new().write(true).open(key_file(&dir)).unwrap();
        file.set_len(offset(1) + kept).unwrap();
        let store = open(&dir);
        store.get(customer(1)).unwrap();
        assert!(matches!(store.get(customer(2)), Err(KeysError::Unknown(_))), "{kept} bytes kept");
        store.create_all(&[customer(2)]).unwrap();
        drop(store);
        open(&dir).get(customer(2)).unwrap();
    }
}

#[test]
fn a_batch_of_which_only_the_end_reached_the_disk_is_never_damage() {
    let dir = filled(1);
    let store = open(&dir);
    // One batch: the queue fills while the writer is held up by nothing, so the records are written by hand instead.
    let Place::Local(local) = &store.place else { panic!("its keys are in a file") };
    let wrapped = local.shared.master.wrap(Purpose::Customer([9; 16]), &[7; KEY_LEN]).unwrap();
    let record = Record { customer: [9; 16], batch: 1, state: State::Live, wrapped };
    drop(store);
    write_at(&dir, &record.encode(), offset(3));
    let store = open(&dir);
    store.get(customer(1)).unwrap();
    store.get(CustomerId(Uuid::from_bytes([9; 16]))).unwrap();
    store.create_all(&[customer(2)]).unwrap();
    drop(store);
    open(&dir).get(customer(2)).unwrap();
}

#[test]
fn a_flipped_bit_in_a_used_record_refuses_to_open_and_names_the_place() {
    let dir = filled(3);
    let whole = fs::read(key_file(&dir)).unwrap();
    for bit in 0..800 {
        let at = bit / 8;
        let place = offset(1) + at;
        let byte = whole[usize::try_from(place).unwrap()] ^ (1 << (bit % 8));
        fs::write(key_file(&dir), &whole).unwrap();
        write_at(&dir, &[byte], place);
        match KeyStore::open(dir.path(), None) {
            Err(KeysError::Damaged { offset: named, .. }) => assert_eq!(named, offset(1)),
            // The three bytes after the state are padding.
            Ok(_) => assert!((33..36).contains(&at), "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let dir = filled(1);
    write_at(&dir, b"sqlite3!", 0);
    assert!(matches!(KeyStore::open(dir.path(), None), Err(KeysError::NotAKeyFile { .. })));
}

#[tokio::test]
async fn erasing_overwrites_the_wrapped_key_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.get_or_create(customer(1)).await.unwrap();
    let before = fs::read(key_file(&dir)).unwrap();
    let wrapped = &before[128 + 40..128 + 100];
    assert!(store.erase(customer(1)).await.unwrap());
    assert!(!store.erase(customer(1)).await.unwrap());
    let after = fs::read(key_file(&dir)).unwrap();
    assert!(!after.windows(8).any(|window| window == &wrapped[..8]));
    assert!(after[128 + 36..128 + 100].iter().all(|byte| *byte == 0));
    drop(store);
    let store = open(&dir);
    assert!(matches!(store.get(customer(1)), Err(KeysError::Erased(_))));
    assert!(matches!(store.get_or_create(customer(1)).await, Err(KeysError::Erased(_))));
}

#[tokio::test]
async fn an_erasure_cut_short_is_finished_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(&dir);
        store.get_or_create(customer(1)).await.unwrap();
        store.get_or_create(customer(2)).await.unwrap();
    }
    write_at(&dir, &[0xF0], offset(0) + 32);
    let store = open(&dir);
    assert!(matches!(store.get(customer(1)), Err(KeysError::Erased(_))));
    store.get(customer(2)).unwrap();
    assert!(fs::read(key_file(&dir)).unwrap()[128 + 36..128 + 100].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_customer_erased_before_the_first_key_never_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!open(&dir).erase(customer(1)).await.unwrap());
    assert!(matches!(open(&dir).get_or_create(customer(1)).await, Err(KeysError::Erased(_))));
}

#[tokio::test]
async fn many_customers_at_once_each_get_one_key_and_the_same_customer_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir));
    let tasks: Vec<_> = (0..600)
        .map(|i| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.get_or_create(customer(i % 200)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(fs::metadata(key_file(&dir)).unwrap().len(), offset(200));
}

#[tokio::test]
async fn a_reader_beside_a_live_store_sees_keys_and_erasures_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.get_or_create(customer(1)).await.unwrap();
    let reader = KeyStore::open_read_only(dir.path(), None).unwrap();
    assert_eq!(reader.phone_hash("1"), store.phone_hash("1"));
    assert!(matches!(reader.get_or_create(customer(2)).await, Err(KeysError::ReadOnly)));
    store.erase(customer(1)).await.unwrap();
    assert!(matches!(reader.get(customer(1)), Err(KeysError::Erased(_))));
}

#[test]
fn a_read_only_opening_makes_no_store() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(KeyStore::open_read_only(dir.path(), None), Err(KeysError::Io { .. })));
    assert!(!dir.path().join("keys").exists());
}

#[test]
fn unwrapped_keys_in_memory_are_bounded() {
    let mut cache = Cache::new(10);
    for i in 0..1000 {
        let key = UnboundKey::new(&AES_256_GCM, &[0; KEY_LEN]).unwrap();
        cache.insert(Uuid::from_u128(i), Arc::new(CustomerKey(LessSafeKey::new(key))));
        // Asked for every time, the first one stays.
        assert!(cache.get(&Uuid::from_u128(0)).is_some());
        assert!(cache.len() <= 10);
    }
}

#[test]
fn a_number_hashes_the_same_however_it_is_written() {
    let dir = filled(0);
    let store = open(&dir);
    let mobile = store.phone_hash("13900001234");
    for written in [
        "139 0000 1234",
        "139-0000-1234",
        "+86 139 0000 1234",
        "008613900001234",
        "8613900001234",
        "１３９００００１２３４",
    ] {
        assert_eq!(store.phone_hash(written), mobile, "{written}");
    }
    let landline = store.phone_hash("010-87654321");
    assert_eq!(store.phone_hash("+86 (10) 8765 4321"), landline);
    assert_eq!(store.phone_hash("86543210"), store.phone_hash("8654 3210"));
    assert_ne!(mobile, landline);
    assert_ne!(store.phone_hash("unknown"), store.phone_hash("none"));
    assert_ne!(store.phone_hash("1"), store.fingerprint(b"1"));
}

#[test]
fn hashes_differ_between_stores_and_stay_over_a_restart() {
    let (one, two) = (filled(0), filled(0));
    assert_ne!(open(&one).phone_hash("13900001234"), open(&two).phone_hash("13900001234"));
    assert_eq!(open(&one).fingerprint(b"x"), open(&one).fingerprint(b"x"));
}

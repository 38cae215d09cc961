//! What is known of a log elsewhere, and what it signed itself, is held against it before anything of it is changed or shown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use duban_log::contract::{event, fill, stream};
use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
use duban_log::{
    Contradiction, Error, EventLog, Expected, Head, NewEvent, Options, Reader, SegmentedLog, SignedHeads,
    Witness,
};

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn witness(by: &str, head: Head) -> Witness {
    Witness { by: by.to_owned(), size: head.size, root: head.root }
}

async fn written(events: u64) -> (SimDisk, Head) {
    let disk = SimDisk::new();
    let log = SegmentedLog::open_on(&shared(&disk), Options::default()).unwrap();
    fill(&log, events).await;
    let head = log.head();
    log.close().await.unwrap();
    (disk, head)
}

#[tokio::test]
async fn a_log_that_lost_its_end_or_is_another_is_refused_with_what_each_knows_and_left_as_it_is() {
    let (disk, head) = written(600).await;
    let (shorter, short) = written(500).await;
    let (other, other_head) = written(601).await;
    let view = witness("the read model of tickets", head);
    let open = |disk: &SimDisk, witnesses: &[Witness]| {
        let options = Options { witnesses: witnesses.to_vec(), ..Options::default() };
        SegmentedLog::open_on(&shared(disk), options).map(|log| log.head())
    };
    assert_eq!(open(&disk, &[view.clone(), witness("a key store", short)]).unwrap(), head);
    for (disk, here, root) in
        [(&shorter, short, None), (&SimDisk::new(), Head::of(&Default::default()), None)]
    {
        let before = disk.operations();
        let Err(Error::Contradicted { head, contradictions, .. }) = open(disk, std::slice::from_ref(&view))
        else {
            panic!()
        };
        assert_eq!(head, here);
        assert_eq!(contradictions, [Contradiction { witness: view.clone(), here: root }]);
        assert_eq!(disk.operations(), before, "nothing is changed");
    }
    let forged = Witness { root: other_head.root, ..view.clone() };
    let Err(error) = open(&other, &[forged, view.clone()]) else { panic!() };
    let text = error.to_string();
    assert!(text.contains("601 events") && text.contains("another root of its first 600 events"), "{text}");
    assert!(!text.contains("; "), "the other one is right: {text}");
    let reader = Reader::open_on(shared(&shorter)).unwrap();
    assert_eq!(reader.contradictions(&[witness("itself", short)]).unwrap(), []);
    assert_eq!(reader.contradictions(std::slice::from_ref(&view)).unwrap()[0].here, None);
}

/// Heads as an engine could sign them: size and root, and a mark that stands for a good signature.
fn heads() -> SignedHeads {
    SignedHeads {
        stream: stream("office"),
        read: Arc::new(|event| {
            if &*event.kind != "day.closed.v1" {
                return Ok(None);
            }
            let (size, rest) = event.payload.split_first_chunk::<8>().ok_or("it is cut short")?;
            let (root, signed) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
            if signed != b"signed" {
                return Err("it is not what its key signed".to_owned());
            }
            let by = format!("the signed head in event {}", event.revision);
            Ok(Some(Witness { by, size: u64::from_le_bytes(*size), root: *root }))
        }),
    }
}

async fn close_day(log: &SegmentedLog, revision: u64, head: Head, mark: &[u8]) {
    let payload = [&head.size.to_le_bytes()[..], &head.root, mark].concat();
    let closed = NewEvent { kind: "day.closed.v1".into(), payload: Bytes::from(payload), ..event(revision) };
    log.append(&stream("office"), Expected::after(revision.checked_sub(1)), vec![closed]).await.unwrap();
}

#[tokio::test]
async fn a_log_is_held_against_the_newest_head_that_was_signed_into_it() {
    let options = || Options { heads: Some(heads()), ..Options::default() };
    let (disk, first) = written(300).await;
    let log = SegmentedLog::open_on(&shared(&disk), options()).unwrap();
    close_day(&log, 0, first, b"signed").await;
    for revision in 1..150 {
        log.append(&stream("office"), Expected::Revision(revision - 1), vec![event(revision)]).await.unwrap();
    }
    log.close().await.unwrap();
    // Found however far back it is.
    drop(SegmentedLog::open_on(&shared(&disk), options()).unwrap());

    let log = SegmentedLog::open_on(&shared(&disk), Options::default()).unwrap();
    let wrong = Head { root: [7; 32], ..log.head() };
    close_day(&log, 150, wrong, b"signed").await;
    drop(log);
    let Err(Error::Contradicted { contradictions, .. }) = SegmentedLog::open_on(&shared(&disk), options())
    else {
        panic!()
    };
    assert_eq!(contradictions[0].witness.root, [7; 32]);
    assert!(contradictions[0].here.is_some());

    let log = SegmentedLog::open_on(&shared(&disk), Options::default()).unwrap();
    let position = log.head().size;
    close_day(&log, 151, first, b"forged").await;
    drop(log);
    let Err(Error::Damaged(damage)) = SegmentedLog::open_on(&shared(&disk), options()) else { panic!() };
    assert_eq!(damage.position.get(), position);
    assert!(damage.reason.contains("not what its key signed") && damage.offset > 4096, "{damage}");
}

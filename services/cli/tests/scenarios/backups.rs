//! Backups under load in the short form: the long one is the program `backups`. And what a backup refuses.

use std::path::Path;

use duban_proto::event::v1::{Stage, TicketKind};
use duban_tests::backups::{Plan, back_up};
use duban_tests::inside::Inside;
use duban_tests::outside::{Did, run};
use duban_tests::script::Case;

use crate::program;

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_under_load_loses_nothing_up_to_its_head() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        program: program().to_owned(),
        directory: directory.path().to_owned(),
        rounds: 4,
        clients: 6,
        tickets: 600,
        seed: 11,
    };
    let outcome = back_up(&plan, |_| {}).await;
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!((outcome.backups, outcome.lost, outcome.differing), (4, 0, 0), "{outcome:?}");
    assert!(outcome.restores >= 6 && outcome.compared > 4 * 600, "{outcome:?}");
    assert!(outcome.kept_bytes > outcome.written_bytes, "only what is new is written: {outcome:?}");
    assert!(outcome.acknowledged >= 40 && outcome.retold > 3, "{outcome:?}");
}

async fn duban(arguments: &[&str]) -> Did {
    run(program(), arguments).await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain ASCII")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_verified_before_it_is_opened_and_says_what_is_wrong_and_where() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    for name in ["backup-1", "backup-2"] {
        Case::new(name, TicketKind::Fault).bring_to(&wire, Stage::Feedback).await;
    }
    inside.size().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |name: &str| elsewhere.path().join(name);
    let (data, to, back) = (inside.directory().join("data"), at("backup"), at("back"));
    let backing_up = ["backup", "--data", text(&data), "--to", text(&to)];
    let restoring = ["restore", "--from", text(&to), "--data", text(&back)];

    for wrong in [
        &["backup", "--data", text(&at("nowhere")), "--to", text(&to)][..],
        &["backup", "--data", text(&data), "--to", text(&data.join("inside"))],
        &["backup", "--data", text(&data), "--to", text(inside.directory())],
        &restoring,
    ] {
        assert_eq!(duban(wrong).await.status, Some(2), "{wrong:?}");
    }
    assert!(!data.join("inside").exists() && !back.exists());

    let did = duban(&backing_up).await;
    assert!(did.ok() && did.json["secrets"] == false, "{did:?}");
    assert_eq!(did.json["head"], duban(&["verify", "--data", text(&to)]).await.json["head"]);
    let again = duban(&backing_up).await;
    assert_eq!((again.ok(), again.count("written_bytes")), (true, 0), "{again:?}");
    for secret in ["master", "signing.pem"] {
        assert!(
            data.join("keys").join(secret).exists() && !to.join("keys").join(secret).exists(),
            "{secret}"
        );
    }

    // One byte in the log, one in the keys, one in the list: each is found before anything is opened, and the log's is placed.
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let (log, keys) = (to.join("log").join("00000000.seg"), to.join("keys").join("customers"));
    flip(&log, 5_000);
    let refused = duban(&restoring).await;
    assert_eq!((refused.status, &refused.json["ok"]), (Some(1), &false.into()), "{refused:?}");
    let damage = &refused.json["damage"];
    assert_eq!(damage["segment"], "00000000.seg", "{refused:?}");
    assert!(damage["offset"].as_u64().is_some_and(|offset| (4_096..=5_000).contains(&offset)), "{refused:?}");
    flip(&log, 5_000);
    flip(&keys, 130);
    let refused = duban(&restoring).await;
    assert_eq!((refused.status, refused.json["damage"].is_null()), (Some(1), true), "{refused:?}");
    assert!(refused.json["reason"].as_str().is_some_and(|why| why.contains("customers")), "{refused:?}");
    flip(&keys, 130);
    let list = std::fs::read_to_string(to.join("backup.json")).unwrap();
    let size = format!("\"size\": {}", did.json["head"]["size"]);
    std::fs::write(to.join("backup.json"), list.replace(&size, "\"size\": 1")).unwrap();
    assert_eq!(duban(&restoring).await.status, Some(1));
    std::fs::write(to.join("backup.json"), list).unwrap();
    assert!(!back.exists(), "nothing that was refused can be opened");

    let restored = duban(&restoring).await;
    assert!(restored.ok() && restored.json["head"] == did.json["head"], "{restored:?}");
    assert_eq!(restored.json["missing"].as_array().map(Vec::len), Some(2), "{restored:?}");
    assert_eq!(duban(&restoring).await.status, Some(2), "it is not empty any more");

    // With its secrets put back it is what the first directory is, in every history.
    for secret in ["master", "signing.pem"] {
        std::fs::copy(data.join("keys").join(secret), back.join("keys").join(secret)).unwrap();
    }
    let ticket = Case::new("backup-1", TicketKind::Fault).ticket;
    let history = |data: &Path| {
        let data = text(data).to_owned();
        let ticket = ticket.clone();
        async move { duban(&["history", &ticket, "--data", &data, "--revision", "3"]).await.out }
    };
    let (here, there) = (history(&data).await, history(&back).await);
    assert!(here.contains("样例客户") && here == there);
    let checked = duban(&["keys", "check", "--data", text(&back)]).await;
    assert_eq!((checked.ok(), checked.count("keys")), (true, 2), "{checked:?}");

    // A rotation beside a server is refused; the restored directory has none. Its backup opens with the new master key alone.
    let held = duban(&["keys", "rotate", "--data", text(&data)]).await;
    assert_eq!(held.status, Some(2), "{held:?}");
    let rotated = duban(&["keys", "rotate", "--data", text(&back)]).await;
    assert_eq!((rotated.ok(), rotated.count("keys")), (true, 2), "{rotated:?}");
    assert!(history(&back).await == there);
    let did = duban(&["backup", "--with-secrets", "--data", text(&back), "--to", text(&to)]).await;
    assert!(did.ok() && did.json["secrets"] == true, "{did:?}");
    assert!(history(&to).await == there, "a backup with its secrets reads like any directory");
    std::fs::copy(data.join("keys").join("master"), to.join("keys").join("master")).unwrap();
    assert_eq!(duban(&["keys", "check", "--data", text(&to)]).await.status, Some(2));
    inside.stop().await;
}

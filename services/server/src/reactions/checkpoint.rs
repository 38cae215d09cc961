//! How far the reactions have come, in a store that may be lost at any time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use duban_log::Position;

const TREE: &str = "checkpoints";
const KEY: &str = "reactions";

/// A checkpoint; none where the store cannot be used, which costs time and nothing else.
pub(super) struct Checkpoint {
    tree: Option<sled::Tree>,
}

impl Checkpoint {
    /// Opens the store in a directory. A damaged one is deleted and begun again.
    pub(super) async fn open(dir: &Path) -> Self {
        let dir = dir.to_owned();
        let opened = tokio::task::spawn_blocking(move || open_or_begin_again(&dir)).await;
        Self { tree: opened.unwrap_or_default() }
    }

    pub(super) fn get(&self) -> Option<Position> {
        let tree = self.tree.as_ref()?;
        let stored = guarded(|| tree.get(KEY)).ok().flatten()?;
        let raw: [u8; 8] = stored.as_ref().try_into().ok()?;
        Some(Position::new(u64::from_be_bytes(raw)))
    }

    pub(super) fn set(&self, position: Position) {
        let Some(tree) = &self.tree else { return };
        if let Err(reason) = guarded(|| tree.insert(KEY, &position.get().to_be_bytes())) {
            tracing::warn!(
                reason,
                "the reactions' checkpoint cannot be written; after a restart more is reacted to again, to no effect"
            );
        }
    }
}

fn open_or_begin_again(dir: &PathBuf) -> Option<sled::Tree> {
    let open = || guarded(|| sled::Config::new().path(dir).open().and_then(|store| store.open_tree(TREE)));
    let reason = match open() {
        Ok(tree) => return Some(tree),
        Err(reason) => reason,
    };
    tracing::warn!(
        store = %dir.display(),
        reason,
        "the store of the reactions' checkpoint is damaged: it is deleted, and reactions begin at the beginning of the log, which repeats nothing"
    );
    if let Err(error) = std::fs::remove_dir_all(dir) {
        tracing::warn!(store = %dir.display(), %error, "it cannot be deleted: reactions run without a checkpoint");
        return None;
    }
    open().inspect_err(|reason| tracing::warn!(reason, "reactions run without a checkpoint")).ok()
}

/// sled panics on some damaged files.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the store panicked".to_owned()),
    }
}

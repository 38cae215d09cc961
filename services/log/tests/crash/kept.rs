//! Disks that keep their promises: power losses that tear and reorder what was not synced, killed processes, syncs that fail and are
//! forgotten. Nothing acknowledged or seen may be lost, nothing refused may appear, and the log must open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duban_log::disk::sim::{Dice, SimDisk};
use duban_log::{Error, EventLog, Options, Reader, SegmentedLog, verify_on};

use crate::clients::{Clients, Wrong, check, dyn_disk, load, runtime, small};

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) power_losses: u64,
    pub(crate) kills: u64,
    pub(crate) forgotten_syncs: u64,
    /// Crashes in the midst of opening.
    pub(crate) while_opening: u64,
    /// Crashes with appends under way.
    pub(crate) under_way: u64,
    pub(crate) events: u64,
}

impl Tally {
    pub(crate) fn crashes(&self) -> u64 {
        self.power_losses + self.kills
    }
}

/// One disk through four crashes, each of which meets what the repair of the one before left.
pub(crate) fn scenario(
    seed: u64,
    tally: &mut Tally,
    options: &dyn Fn(Options) -> Options,
) -> Result<(), Wrong> {
    let mut dice = Dice::new(seed);
    let mut disk = SimDisk::new();
    let mut clients = Clients::new();
    for round in 0..4 {
        let context = |wrong: Wrong| format!("seed {seed}, round {round}: {wrong}");
        crash(&mut disk, &mut clients, &mut dice, tally, options).map_err(context)?;
    }
    let log = open(&disk, &Arc::default(), options).map_err(|e| format!("seed {seed}, at last: {e}"))?;
    tally.events += runtime()
        .block_on(check(&log, &mut clients))
        .map_err(|wrong| format!("seed {seed}, at last: {wrong}"))?;
    let head = log.head();
    drop(log);
    let report = verify_on(&dyn_disk(&disk), 2, &|_, _| ()).map_err(|e| e.to_string())?;
    if !report.ok || report.head != head {
        return Err(format!("seed {seed}, verified: {report:?}"));
    }
    Ok(())
}

fn open(
    disk: &SimDisk,
    fatal: &Arc<AtomicU64>,
    options: &dyn Fn(Options) -> Options,
) -> Result<SegmentedLog, Error> {
    SegmentedLog::open_on(&dyn_disk(disk), options(small(fatal)))
}

fn crash(
    disk: &mut SimDisk,
    clients: &mut Clients,
    dice: &mut Dice,
    tally: &mut Tally,
    options: &dyn Fn(Options) -> Options,
) -> Result<(), Wrong> {
    let fatal = Arc::new(AtomicU64::new(0));
    // Mostly in the midst of work, often in the midst of opening.
    let far = [12, 60, 400][usize::try_from(dice.below(3)).unwrap()];
    let forgets = dice.below(3) == 0;
    if forgets {
        disk.forget_sync_after(dice.below(far), dice);
    }
    if !forgets || dice.below(4) == 0 {
        disk.cut_power_after(dice.below(far));
    }
    if dice.below(8) == 0 {
        disk.mute();
    }
    match open(disk, &fatal, options) {
        Ok(log) => {
            let log = Arc::new(log);
            *clients = runtime().block_on(async {
                // What is seen now is published, and must be there after the crash.
                check(&log, clients).await?;
                let clients = load(Arc::clone(&log), disk.clone(), clients.clone(), dice, 40).await?;
                log.close().await.map_err(|e| e.to_string())?;
                Ok::<_, Wrong>(clients)
            })?;
            tally.under_way += u64::from(clients.values().any(|client| !client.pending.is_empty()));
        }
        Err(Error::Io { .. } | Error::Full) => tally.while_opening += 1,
        Err(other) => return Err(format!("it does not open: {other}")),
    }
    tally.forgotten_syncs += u64::from(fatal.load(Ordering::SeqCst) > 0 && forgets);
    if dice.below(3) == 0 {
        tally.kills += 1;
        *disk = disk.after_kill();
    } else {
        tally.power_losses += 1;
        *disk = disk.after_power_loss(dice);
    }
    // A reader looks before anybody has repaired anything.
    let reader = Reader::open_on(dyn_disk(disk)).map_err(|e| format!("a reader does not open: {e}"))?;
    let acknowledged: usize = clients.values().map(|client| client.acknowledged.len()).sum();
    if reader.head().size < acknowledged as u64 {
        return Err(format!("of {acknowledged} acknowledged events {} are left", reader.head().size));
    }
    Ok(())
}

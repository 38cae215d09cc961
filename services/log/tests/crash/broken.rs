//! Disks that break their promises: a write that was synced is lost, or is elsewhere; a sector becomes zeros; a bit flips. What is harmed
//! must be refused and named, never cut and never served.
//!
//! One case a single disk cannot tell: the last groups that were synced are gone, or only a part of the very last one is left, which looks as
//! if it had never been synced. It is counted apart; whoever knows better, as a witness does, has the log refused.

use std::ops::Range;
use std::sync::Arc;

use duban_log::contract::{all, event, is};
use duban_log::disk::sim::{Broken, Dice, SimDisk};
use duban_log::disk::{Access, Disk};
use duban_log::tamper::{Files, Target};
use duban_log::{
    Contradiction, Direction, Error, EventLog, Filter, Head, Options, Recorded, SegmentedLog, Witness,
    verify_on,
};

use crate::clients::{Clients, Wrong, dyn_disk, load, name, runtime, small};

/// What became of logs whose disk broke a promise.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Refused by open, with the place.
    pub(crate) refused: u64,
    /// Opened, and named by reading what was harmed.
    pub(crate) named_by_reading: u64,
    /// Opened and whole: what was harmed was nothing that the log needs, or was made again.
    pub(crate) harmless: u64,
    /// The last group is gone without a trace.
    pub(crate) untellable: u64,
    /// Verified as not as it was written.
    pub(crate) verified: u64,
}

impl Tally {
    pub(crate) fn faults(&self) -> u64 {
        self.refused + self.named_by_reading + self.harmless + self.untellable
    }
}

pub(crate) fn scenario(
    seed: u64,
    tally: &mut Tally,
    options: &dyn Fn(Options) -> Options,
) -> Result<(), Wrong> {
    let mut dice = Dice::new(seed ^ 0xB40_CE17);
    broken(&mut dice, tally, options).map_err(|wrong| format!("seed {seed}, broken promise: {wrong}"))
}

fn broken(dice: &mut Dice, tally: &mut Tally, options: &dyn Fn(Options) -> Options) -> Result<(), Wrong> {
    let disk = SimDisk::new();
    let way = dice.below(5);
    match way {
        0 => disk.break_write_after(dice.below(120), Broken::Lost, dice),
        1 => disk.break_write_after(dice.below(120), Broken::Misdirected, dice),
        _ => {}
    }
    let log = SegmentedLog::open_on(&dyn_disk(&disk), options(small(&Arc::default())))
        .map_err(|e| e.to_string())?;
    let log = Arc::new(log);
    let appends = 1 + dice.below(40);
    let (clients, head) = runtime().block_on(async {
        let clients = load(Arc::clone(&log), disk.clone(), Clients::new(), dice, appends).await?;
        log.close().await.map_err(|e| e.to_string())?;
        Ok::<_, Wrong>((clients, log.head()))
    })?;
    drop(log);
    // As it was written: what the drive did otherwise is seen when the power comes back.
    let groups = Files::copy(&disk).and_then(Target::new).map_err(|e| e.to_string())?.groups();
    let disk = disk.after_power_loss(&mut Dice::new(0));
    let harmed = match way {
        0 | 1 => disk.broken(),
        _ => Some(harm(&disk, way, &groups, dice)?),
    };
    let written = Written { clients, head, groups };
    judge(&disk, &written, harmed.as_ref(), tally, options).map_err(|wrong| format!("{harmed:?}: {wrong}"))
}

type Place = (String, Range<u64>);

/// What was written and synced.
struct Written {
    clients: Clients,
    head: Head,
    groups: Vec<(String, Range<u64>, u64)>,
}

impl Written {
    /// Whether nobody can tell that the log was longer than so many events: the last group was harmed, or all ends of groups behind.
    fn untellable(&self, size: u64, harmed: Option<&Place>) -> bool {
        let gone: Vec<_> = self.groups.iter().filter(|(_, _, after)| *after > size).collect();
        gone.len() == 1
            || harmed.is_some_and(|(file, bytes)| {
                gone.iter().all(|(of, group, _)| {
                    of == file && bytes.start < group.end && bytes.end > group.end - COMMIT_BYTES
                })
            })
    }
}

/// Bytes of the record with which a group ends.
const COMMIT_BYTES: u64 = 72;

/// Harms a disk that was synced.
fn harm(
    disk: &SimDisk,
    way: u64,
    groups: &[(String, Range<u64>, u64)],
    dice: &mut Dice,
) -> Result<Place, Wrong> {
    let any = |e: std::io::Error| e.to_string();
    if way == 2 {
        // Zeros that begin where a group does, half of them in the last segment: there only the groups behind them can tell.
        let last = groups.last().map(|(file, ..)| file);
        let in_last = dice.below(2) == 0;
        let borders: Vec<_> = groups.iter().filter(|(file, ..)| !in_last || Some(file) == last).collect();
        let (file, group, _) = borders[usize::try_from(dice.below(borders.len() as u64)).unwrap()];
        let range = group.start..group.start + [8, 512, 4096][usize::try_from(dice.below(3)).unwrap()];
        disk.zero(file, range.clone()).map_err(any)?;
        return Ok((file.clone(), range));
    }
    let names = disk.list().map_err(any)?;
    let name = &names[usize::try_from(dice.below(names.len() as u64)).unwrap()];
    let file = disk.open(name, Access::Read).map_err(any)?;
    // Mostly where something is.
    let mut bytes = vec![0; usize::try_from(file.len().map_err(any)?).unwrap()];
    file.read_at(&mut bytes, 0).map_err(any)?;
    let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    let end = if dice.below(8) == 0 || used == 0 { bytes.len() } else { used };
    let at = dice.below((end as u64).max(1));
    if bytes.is_empty() {
        return Ok((name.clone(), 0..0));
    }
    if way == 3 {
        let start = at / 512 * 512;
        let range = start..(start + 512).min(bytes.len() as u64);
        disk.zero(name, range.clone()).map_err(any)?;
        Ok((name.clone(), range))
    } else {
        disk.flip(name, at, 1 << dice.below(8)).map_err(any)?;
        Ok((name.clone(), at..at + 1))
    }
}

/// What is read, by every way there is.
async fn read(log: &SegmentedLog, clients: &Clients) -> Result<(Vec<Recorded>, Vec<Vec<Recorded>>), Error> {
    let whole = all(log, Direction::Forward, &Filter::all(), 100).await?;
    let mut streams = Vec::new();
    for n in clients.keys() {
        streams.push(log.read_stream(&name(*n), 0, Direction::Forward, usize::MAX).await?);
    }
    // Reads what proofs need.
    log.root_at(log.head().size).await?;
    Ok((whole, streams))
}

fn judge(
    disk: &SimDisk,
    written: &Written,
    harmed: Option<&Place>,
    tally: &mut Tally,
    options: &dyn Fn(Options) -> Options,
) -> Result<(), Wrong> {
    let (clients, head) = (&written.clients, written.head);
    let report = verify_on(&dyn_disk(disk), 2, &|_, _| ()).map_err(|e| format!("verify: {e}"))?;
    tally.verified += u64::from(!report.ok);
    let named =
        |damage: &duban_log::Damage| damage.segment.ends_with(".seg") || damage.segment.ends_with(".idx");
    if let Some(damage) = &report.damage
        && !named(damage)
    {
        return Err(format!("verify names no place: {damage:?}"));
    }
    let witnessed = disk.after_power_loss(&mut Dice::new(0));
    let log = match SegmentedLog::open_on(&dyn_disk(disk), options(small(&Arc::default()))) {
        Ok(log) => log,
        Err(Error::Damaged(damage)) if named(&damage) => {
            if report.ok {
                return Err(format!("open refuses what verify calls whole: {damage}"));
            }
            tally.refused += 1;
            return Ok(());
        }
        Err(other) => return Err(format!("it is refused without a place: {other}")),
    };
    let (whole, streams) = match runtime().block_on(read(&log, clients)) {
        Ok(read) => read,
        Err(Error::Damaged(damage)) if named(&damage) => {
            if report.ok {
                return Err(format!("reading refuses what verify calls whole: {damage}"));
            }
            tally.named_by_reading += 1;
            return Ok(());
        }
        Err(other) => return Err(format!("reading names no place: {other}")),
    };
    for ((n, client), found) in clients.iter().zip(&streams) {
        let same = (0..).zip(found).zip(&client.acknowledged).all(|((revision, recorded), number)| {
            is(recorded, &event(*number)) && recorded.revision == revision
        });
        if !same || found.len() > client.acknowledged.len() {
            return Err(format!("client {n} is served what it did not write"));
        }
    }
    let size = log.head().size;
    if whole.len() as u64 != size || streams.iter().map(Vec::len).sum::<usize>() as u64 != size {
        return Err(format!("{} of {size} events are read", whole.len()));
    }
    if log.head() == head {
        tally.harmless += 1;
        return Ok(());
    }
    if !written.untellable(size, harmed) {
        return Err(format!("{size} of {} events are left, and nobody says so", head.size));
    }
    tally.untellable += 1;
    refused_by_witness(&witnessed, head, options)
}

/// Whoever knows the log's head has it refused, and it is told what both know.
fn refused_by_witness(disk: &SimDisk, head: Head, options: &dyn Fn(Options) -> Options) -> Result<(), Wrong> {
    let witness = Witness { by: "a read model".to_owned(), size: head.size, root: head.root };
    let options = Options { witnesses: vec![witness.clone()], ..options(small(&Arc::default())) };
    match SegmentedLog::open_on(&dyn_disk(disk), options) {
        Err(Error::Contradicted { head: here, contradictions, .. })
            if here.size < head.size && contradictions == [Contradiction { witness, here: None }] =>
        {
            Ok(())
        }
        Ok(_) => Err("it opens although a witness knows more".to_owned()),
        Err(other) => Err(format!("with a witness: {other}")),
    }
}

//! `duban backup` and `duban restore`: log and keys in another directory, and the way back.

use std::path::PathBuf;

use duban_engine::backup::{
    self, BackedUp, BackupError, ManifestHead, RestoreError, Restored, backup, restore,
};
use duban_engine::time::{Clock, SystemClock};
use serde::Serialize;

use crate::args::{Data, Output};
use crate::failure::{Done, Failure, chain};
use crate::output::{self, Progress, count};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban backup --data ./data --to /mnt/backup/duban\n  duban verify --data /mnt/backup/duban\n  duban backup --data ./data --to ./offline --with-secrets\n\nBeside a running server, or without one: what was acknowledged before it began is in it. The next backup to the same directory adds what is\nnew; sealed segments that are there as they were written, by size and SHA-256, are not copied again, and damaged ones are healed.\nA damaged log is not backed up: its place is named, and the backup before stays. One that is cut short is simply run again.\nKeys of customers are in it, wrapped by the master key; erased ones are overwritten there too. The master key and the key that signs heads\nare not, unless --with-secrets asks for them: whoever has both can read everything and sign as you. Read models are not in it: they are\nbuilt from the log. backup.json says what the backup holds.\nExit status: 0 backed up, 1 the log is damaged or something failed on the way, 2 wrong use.\nJSON: {\"ok\", \"to\", \"head\": {\"size\", \"root\"}, \"made_at\", \"segments\", \"kept_segments\", \"kept_bytes\", \"written_bytes\", \"secrets\"}, or of a\ndamaged log {\"ok\": false, \"damage\": {\"segment\", \"offset\", \"position\", \"reason\"}}."
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: Data,
    /// The directory of the backup: new, empty, or that of an earlier one
    #[arg(long, value_name = "DEST")]
    to: PathBuf,
    /// Copies the master key and the key that signs heads too, where they lie in the data directory
    #[arg(long)]
    with_secrets: bool,
}

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban restore --from /mnt/backup/duban --data ./data\n\nThe data directory must be new or empty. Everything is copied beside it, every checksum is compared, and the whole log is verified, its tree\nagainst the head that the backup says; only then does the directory get its name. A backup that is not as it was written is refused,\nand the place named. Put the master key and the key that signs heads back where `missing` says, or name them to the server; read\nmodels are built when it starts.\nExit status: 0 restored and verified, 1 the backup is damaged or something failed on the way, 2 wrong use.\nJSON: {\"ok\", \"data\", \"head\": {\"size\", \"root\"}, \"made_at\", \"missing\": [\"…\"]}, or of a damaged backup {\"ok\": false, \"reason\", \"damage\":\n{\"segment\", \"offset\", \"position\", \"reason\"}}; `damage` is absent where no place in the log can be named."
)]
pub(crate) struct RestoreArgs {
    /// The directory of the backup
    #[arg(long, value_name = "DEST")]
    from: PathBuf,
    #[command(flatten)]
    data: Data,
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    to: &'a PathBuf,
    head: &'a ManifestHead,
    made_at: String,
    segments: usize,
    kept_segments: u64,
    kept_bytes: u64,
    written_bytes: u64,
    secrets: bool,
}

#[derive(Serialize)]
struct RestoreAnswer<'a> {
    ok: bool,
    data: &'a PathBuf,
    head: &'a ManifestHead,
    made_at: String,
    missing: &'a [PathBuf],
}

#[derive(Serialize)]
struct Damaged {
    ok: bool,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Place>,
}

#[derive(Serialize)]
struct Place {
    segment: String,
    offset: u64,
    position: u64,
    reason: String,
}

impl From<&duban_log::Damage> for Place {
    fn from(damage: &duban_log::Damage) -> Self {
        Self {
            segment: damage.segment.clone(),
            offset: damage.offset,
            position: damage.position.get(),
            reason: damage.reason.clone(),
        }
    }
}

/// Backs up.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let progress = Progress::new("backup", "bytes", 0);
    let now = SystemClock::default().now();
    let told = |done, total| progress.set(done, total);
    let backed_up = backup(&args.data.data, &args.to, args.with_secrets, now, &told);
    drop(progress);
    let BackedUp { manifest, kept_segments, kept_bytes, written_bytes, with_secrets } = match backed_up {
        Ok(backed_up) => backed_up,
        Err(error) => return not_backed_up(error, output),
    };
    match output {
        Output::Json => output::json(&Answer {
            ok: true,
            to: &args.to,
            head: &manifest.head,
            made_at: manifest.made_at.to_string(),
            segments: manifest.log.len(),
            kept_segments,
            kept_bytes,
            written_bytes,
            secrets: with_secrets,
        })?,
        Output::Text => {
            output::text(&format!(
                "{} events in {} segments, {} of them there already; {} bytes written, {} kept",
                count(manifest.head.size),
                manifest.log.len(),
                count(kept_segments),
                count(written_bytes),
                count(kept_bytes)
            ))?;
            output::text(&format!("head {} {}", manifest.head.size, manifest.head.root))?;
            output::text(if with_secrets {
                "secrets are in it: keep it as you keep the master key"
            } else {
                "the master key is not in it: keep a copy of that elsewhere"
            })?;
        }
    }
    Ok(Done::Ok)
}

fn not_backed_up(error: BackupError, output: Output) -> Result<Done, Failure> {
    use duban_log::backup::BackupError as OfLog;
    match error {
        BackupError::Log(OfLog::Log(duban_log::Error::Damaged(damage))) => told_damage(
            "the log is damaged, and nothing of it was backed up".to_owned(),
            Some(&damage),
            output,
        ),
        BackupError::Log(OfLog::Log(other)) => Err(other.into()),
        error @ (BackupError::NoLog(_)
        | BackupError::NotABackup(_)
        | BackupError::Inside(_)
        | BackupError::Manifest(_)
        | BackupError::Log(OfLog::Ahead { .. } | OfLog::Another { .. })) => Err(Failure::misuse(error)),
        error @ (BackupError::Keys(_) | BackupError::Io { .. }) => Err(Failure::broken(error)),
    }
}

fn told_damage(reason: String, damage: Option<&duban_log::Damage>, output: Output) -> Result<Done, Failure> {
    let damage = damage.map(Place::from);
    match output {
        Output::Json => output::json(&Damaged { ok: false, reason, damage })?,
        Output::Text => {
            output::text(&reason)?;
            if let Some(Place { segment, offset, position, reason }) = damage {
                output::text(&format!("damaged: {segment} at byte {offset}, position {position}: {reason}"))?;
            }
        }
    }
    Ok(Done::Failed)
}

/// Restores.
pub(crate) fn run_restore(args: &RestoreArgs, output: Output) -> Result<Done, Failure> {
    let progress = Progress::new("restore", "bytes", 0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let restored = restore(&args.from, &args.data.data, threads, &|done, total| progress.set(done, total));
    drop(progress);
    let Restored { manifest, missing } = match restored {
        Ok(restored) => restored,
        Err(error) if error.is_damage() => return told_damage(chain(&error), error.damage(), output),
        Err(error @ (RestoreError::Log(_) | RestoreError::Io { .. } | RestoreError::Keys { .. })) => {
            return Err(Failure::broken(error));
        }
        Err(error) => return Err(Failure::misuse(error)),
    };
    let backup::Manifest { head, made_at, .. } = &manifest;
    match output {
        Output::Json => output::json(&RestoreAnswer {
            ok: true,
            data: &args.data.data,
            head,
            made_at: made_at.to_string(),
            missing: &missing,
        })?,
        Output::Text => {
            output::text(&format!(
                "{} events of {made_at} restored and verified in {}",
                count(head.size),
                args.data.data.display()
            ))?;
            output::text(&format!("head {} {}", head.size, head.root))?;
            for path in &missing {
                output::text(&format!("put back, or name to the server: {}", path.display()))?;
            }
        }
    }
    Ok(Done::Ok)
}

//! The audit of a whole log: everything again, and every signed head against what the log holds.
//!
//! A log agrees with itself after somebody who had time has written it anew: only a head that was kept elsewhere, or signed with a key
//! that this somebody does not have, tells. Between two heads nothing tells where they wrote; so what is found is named by
//! where it shows and by the events between which the first that is not as it was must lie.

use std::ops::ControlFlow;
use std::sync::Arc;

use duban_aggregates::office::{self, SignedHead, hex};
use duban_codec::types;
use duban_log::disk::Disk;
use duban_log::tree::{Frontier, Hash};
use duban_log::{Error, RecordPlace, Report, StreamTree, View, scan_sound};
use duban_vault::public_key::PublicKey;
use serde::Serialize;

use super::kept_heads::KeptHead;
use super::signed_head::signed_by;

/// The first thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditDamage {
    /// File name of the segment in which it shows.
    pub segment: String,
    /// Byte in that file where it shows.
    pub offset: u64,
    /// Position of the event that is, or should be, there.
    pub position: u64,
    /// What is wrong.
    pub reason: String,
    /// The first event that is not as it was lies here or behind: all before are what a signed or kept head says.
    pub since: u64,
    /// It lies before here.
    pub until: u64,
}

/// What an audit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditPhase {
    /// What the log says of itself, in bytes.
    Log,
    /// What heads say of it, in events.
    Heads,
}

/// How far an audit is: in which part, done, and in all.
pub type AuditProgress<'a> = &'a (dyn Fn(AuditPhase, u64, u64) + Sync);

/// Events between two reports of progress.
const EVENTS_PER_REPORT: u64 = 16_384;

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What the log says of itself.
    pub report: Report,
    /// The first thing that is not as it was.
    pub damage: Option<AuditDamage>,
    /// What is wrong with heads that were given, rather than with the log.
    pub problems: Vec<String>,
    /// Heads of days in the log that were checked.
    pub days: u64,
    /// The last of them.
    pub last: Option<SignedHead>,
    /// Events that are what a head that was kept elsewhere says, or one that is signed with a key that was given.
    pub proven: u64,
}

impl Audit {
    /// Whether everything is as it was.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.report.ok && self.damage.is_none() && self.problems.is_empty()
    }
}

/// What somebody says that a beginning of the log is.
pub(super) struct HeadClaim {
    pub(super) name: String,
    pub(super) size: u64,
    root: Hash,
    streams: Option<(u64, Hash)>,
    /// It was kept elsewhere, or is signed with a key that was given.
    pub(super) trusted: bool,
    /// Where it does not hold, the first event that is not as it was lies before here: what nobody outside answers for may itself
    /// have been written anew.
    until: u64,
}

/// Looks at the whole log again, and holds the heads that were kept, and those in the log itself, against it. Without keys no
/// signature is looked at.
///
/// # Errors
/// [`Error::Io`]. Damage is no error but what was asked for.
pub fn audit_directory(
    disk: &Arc<dyn Disk>,
    threads: usize,
    kept: &[KeptHead],
    keys: &[PublicKey],
    progress: AuditProgress<'_>,
) -> Result<Audit, Error> {
    let report = duban_log::verify_on(disk, threads, &|done, total| progress(AuditPhase::Log, done, total))?;
    let sound = report.damage.as_ref().map_or(report.head.size, |damage| damage.position.get());
    let mut days = DayHeads { keys, ..DayHeads::default() };
    let read = scan_sound(&**disk, sound, |view, place| {
        days.check_view(view, place);
        Ok::<_, Error>(ControlFlow::Continue(()))
    })?;
    let HeadClaims { claims, problems, bad_day, last, count } = head_claims(days, kept, keys);
    let (proven, rewritten) = compare(&**disk, &claims, sound, progress)?;
    let broken = read.or_else(|| report.damage.clone()).map(|damage| AuditDamage {
        since: proven,
        until: damage.position.get() + 1,
        position: damage.position.get(),
        segment: damage.segment,
        offset: damage.offset,
        reason: damage.reason,
    });
    let missing =
        claims.iter().rfind(|claim| claim.trusted && claim.size > report.head.size).and_then(|claim| {
            let end = report.end.as_ref()?;
            let (size, name) = (report.head.size, &claim.name);
            Some(AuditDamage {
                segment: end.segment.clone(),
                offset: end.offset,
                position: end.position.get(),
                reason: format!("{}: {name} is of {} events, and here are {size}", end.reason, claim.size),
                since: proven,
                until: end.position.get() + 1,
            })
        });
    let bad_day = bad_day.map(|found| AuditDamage { since: proven.min(found.position), ..found });
    let found = [rewritten, bad_day, broken, missing].into_iter().flatten().min_by_key(|found| found.until);
    Ok(Audit { report, damage: found, problems, days: count, last, proven })
}

/// Everything that is said of beginnings of the log.
pub(super) struct HeadClaims {
    /// By the heads in the log and those that were kept, the smallest first.
    pub(super) claims: Vec<HeadClaim>,
    /// What is wrong with heads that were given.
    pub(super) problems: Vec<String>,
    /// A day's head that does not stand by itself.
    pub(super) bad_day: Option<AuditDamage>,
    pub(super) last: Option<SignedHead>,
    pub(super) count: u64,
}

pub(super) fn head_claims(days: DayHeads<'_>, kept: &[KeptHead], keys: &[PublicKey]) -> HeadClaims {
    let DayHeads { mut claims, found: bad_day, last, count, .. } = days;
    let mut problems = Vec::new();
    for kept in kept {
        let trusted = match &kept.signed {
            Some(signed) if !keys.is_empty() => match signed_by(keys, signed) {
                Ok(()) => true,
                Err(reason) => {
                    problems.push(format!("the head in {} {reason}", kept.name));
                    false
                }
            },
            _ => true,
        };
        if trusted {
            let streams = kept.signed.map(|signed| (signed.head.streams, signed.head.streams_root));
            let name = format!("the head in {}", kept.name);
            claims.push(HeadClaim {
                name,
                size: kept.size,
                root: kept.root,
                streams,
                trusted,
                until: kept.size,
            });
        }
    }
    claims.sort_by_key(|claim| claim.size);
    problems.extend(contradictions(&claims));
    HeadClaims { claims, problems, bad_day, last, count }
}

/// Heads that say different things of the same beginning cannot both be of one log, whatever is on this disk.
fn contradictions(claims: &[HeadClaim]) -> Vec<String> {
    let pairs = claims.windows(2).filter(|pair| pair[0].size == pair[1].size && pair[0].root != pair[1].root);
    let contradict = |pair: &[HeadClaim]| {
        format!(
            "{} and {} contradict each other: both are of {} events",
            pair[0].name, pair[1].name, pair[0].size
        )
    };
    pairs.filter(|pair| pair[0].trusted && pair[1].trusted).map(contradict).collect()
}

/// The days' heads in the log, as they are met.
#[derive(Default)]
pub(super) struct DayHeads<'k> {
    keys: &'k [PublicKey],
    claims: Vec<HeadClaim>,
    last: Option<SignedHead>,
    count: u64,
    found: Option<AuditDamage>,
}

impl<'k> DayHeads<'k> {
    pub(super) fn signed_with(keys: &'k [PublicKey]) -> Self {
        Self { keys, ..Self::default() }
    }

    fn check_view(&mut self, view: &View<'_>, place: RecordPlace) {
        self.check_event(view.stream, view.kind, view.payload, view.position.get(), place);
    }

    /// Looks at an event before which so many others lie.
    pub(super) fn check_event(
        &mut self,
        stream: &str,
        kind: &str,
        payload: &[u8],
        position: u64,
        place: RecordPlace,
    ) {
        if stream != office::STREAM || kind != types::OFFICE_DAY_CLOSED {
            return;
        }
        let reason = match duban_codec::decode_office(kind, payload) {
            Ok(office::Event::DayClosed(signed)) => self.take(&signed, position).err(),
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        if let (None, Some(reason)) = (&self.found, reason) {
            let reason = format!("the head of a day {reason}");
            let (segment, offset) = (place.file(), place.offset);
            self.found =
                Some(AuditDamage { segment, offset, position, reason, since: 0, until: position + 1 });
        }
    }

    fn take(&mut self, signed: &SignedHead, position: u64) -> Result<(), String> {
        let head = &signed.head;
        if !self.keys.is_empty() {
            signed_by(self.keys, signed)?;
        }
        if head.size > position {
            return Err(format!("covers {} events, more than lie before it", head.size));
        }
        if let Some(SignedHead { head: last, .. }) = self.last
            && (last.day >= head.day || last.size >= head.size)
        {
            return Err(format!("({}) does not follow the one before it ({})", head.day, last.day));
        }
        self.count += 1;
        self.last = Some(*signed);
        let name = format!("the head of {} in the log", head.day);
        let trusted = !self.keys.is_empty();
        let (size, root) = (head.size, head.root);
        let streams = Some((head.streams, head.streams_root));
        let until = if trusted { size } else { position + 1 };
        self.claims.push(HeadClaim { name, size, root, streams, trusted, until });
        Ok(())
    }
}

/// Goes over the events below `sound` once, and holds every claim that ends there against them. Answers how many events are
/// proven, and the first claim that does not hold.
fn compare(
    disk: &dyn Disk,
    claims: &[HeadClaim],
    sound: u64,
    progress: AuditProgress<'_>,
) -> Result<(u64, Option<AuditDamage>), Error> {
    let claims: Vec<_> = claims.iter().filter(|claim| claim.size <= sound).collect();
    let Some(last) = claims.last() else { return Ok((0, None)) };
    let with_streams = claims.iter().any(|claim| claim.streams.is_some());
    let mut against = ClaimCheck::new(&claims);
    let (mut frontier, mut streams) = (Frontier::default(), StreamTree::default());
    against.hold(&frontier, &streams);
    scan_sound(disk, last.size, |view, place| {
        if view.position.get() == against.proven {
            against.start = Some(place);
        }
        if view.position.get().is_multiple_of(EVENTS_PER_REPORT) {
            progress(AuditPhase::Heads, view.position.get(), last.size);
        }
        let leaf = view.leaf_hash();
        frontier.push(leaf);
        if with_streams {
            streams.push(view.stream, view.revision, leaf);
        }
        against.hold(&frontier, &streams);
        let done = against.found.is_some() || against.claims.is_empty();
        Ok::<_, Error>(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok((against.proven, against.found))
}

pub(super) struct ClaimCheck<'c> {
    /// Those that were not reached yet.
    claims: &'c [&'c HeadClaim],
    pub(super) proven: u64,
    /// Where the first event lies that is not proven.
    pub(super) start: Option<RecordPlace>,
    pub(super) found: Option<AuditDamage>,
}

impl<'c> ClaimCheck<'c> {
    pub(super) fn new(claims: &'c [&'c HeadClaim]) -> Self {
        Self { claims, proven: 0, start: None, found: None }
    }

    pub(super) fn hold(&mut self, frontier: &Frontier, streams: &StreamTree) {
        let mut proven = self.proven;
        while let Some((claim, rest)) = self.claims.split_first()
            && claim.size == frontier.size()
            && self.found.is_none()
        {
            self.claims = rest;
            let root = frontier.root();
            let wrong = if root != claim.root {
                Some(format!("their root is {} and not {}", hex(&root), hex(&claim.root)))
            } else {
                claim.streams.and_then(|(count, root)| {
                    let (here, is) = (streams.len(), streams.root());
                    let same = (here, is) == (count, root);
                    (!same).then(|| format!("their {here} streams end otherwise than those {count}"))
                })
            };
            match wrong {
                None if claim.trusted => proven = claim.size,
                None => {}
                Some(wrong) => {
                    let place = self.start.unwrap_or(RecordPlace { segment: 0, offset: 0 });
                    let (since, until) = (self.proven, claim.until);
                    self.found = Some(AuditDamage {
                        segment: place.file(),
                        offset: place.offset,
                        position: since,
                        reason: format!(
                            "the first {} events are not those of {}: {wrong}",
                            claim.size, claim.name
                        ),
                        since,
                        until,
                    });
                }
            }
        }
        self.proven = proven;
    }
}

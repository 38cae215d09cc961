//! The audit of a log on a cluster: every event read again, and every signed head held against them, with nothing taken from what the
//! engine says of the log but its end.

use std::collections::HashMap;

use duban_log::tree::{Frontier, Hash};
use duban_log::{Direction, Error, EventLog, Filter, RecordPlace, Report, StreamName, StreamTree, leaf_hash};
use duban_vault::public_key::PublicKey;

use super::audit::{Audit, AuditDamage, ClaimCheck, DayHeads, HeadClaims, head_claims};
use super::kept_heads::KeptHead;

/// Where events lie on a cluster.
const PLACE: &str = "$all";

/// Events read at a time.
const READ_EVENTS: usize = 1_024;

struct Leaf {
    stream: StreamName,
    revision: u64,
    hash: Hash,
    position: u64,
}

/// As [`super::audit::audit_directory`], of a log that is no directory; its parts are told in events.
///
/// # Errors
/// [`Error::Io`], [`Error::Unavailable`]. What is not as it was is no error but what was asked for.
pub async fn audit_cluster(
    log: &dyn EventLog,
    kept: &[KeptHead],
    keys: &[PublicKey],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Audit, Error> {
    let head = log.head();
    let mut days = DayHeads::signed_with(keys);
    let mut leaves: Vec<Leaf> = Vec::new();
    let (mut frontier, mut bytes, mut broken) = (Frontier::default(), 0, None);
    let mut last_of: HashMap<StreamName, u64> = HashMap::new();
    let mut after = None;
    'reading: loop {
        let page = log.read_all(after, Direction::Forward, &Filter::all(), READ_EVENTS).await?;
        after = page.next.or(after);
        for event in page.events {
            if Some(event.position) > head.position {
                break 'reading;
            }
            let (number, position) = (leaves.len() as u64, event.position.get());
            let expected = last_of.get(&event.stream).map_or(0, |last| last + 1);
            if event.revision != expected && broken.is_none() {
                let reason =
                    format!("{} has revision {} where {expected} must be", event.stream, event.revision);
                broken = Some(found(number, position, reason));
            }
            last_of.insert(event.stream.clone(), event.revision);
            let place = RecordPlace { segment: 0, offset: position };
            days.check_event(event.stream.as_str(), &event.kind, &event.payload, number, place);
            let hash = leaf_hash(&event);
            frontier.push(hash);
            bytes += (event.payload.len() + event.metadata.len()) as u64;
            leaves.push(Leaf { stream: event.stream, revision: event.revision, hash, position });
        }
        progress(leaves.len() as u64, head.size);
        if page.end {
            break;
        }
    }
    let size = frontier.size();
    if broken.is_none() && (size, frontier.root()) != (head.size, head.root) {
        let reason = format!("{size} events were read, and they are not the {} of the log's tree", head.size);
        broken = Some(found(size, leaves.last().map_or(0, |leaf| leaf.position), reason));
    }
    let HeadClaims { claims, mut problems, bad_day, last, count } = head_claims(days, kept, keys);
    for claim in claims.iter().filter(|claim| claim.trusted && claim.size > size) {
        problems.push(format!("{} is of {} events, and here are {size}", claim.name, claim.size));
    }
    let reached: Vec<_> = claims.iter().filter(|claim| claim.size <= size).collect();
    let mut against = ClaimCheck::new(&reached);
    let (mut frontier, mut streams) = (Frontier::default(), StreamTree::default());
    against.hold(&frontier, &streams);
    for (number, leaf) in (0u64..).zip(&leaves) {
        if number == against.proven {
            against.start = Some(RecordPlace { segment: 0, offset: leaf.position });
        }
        frontier.push(leaf.hash);
        streams.push(leaf.stream.as_str(), leaf.revision, leaf.hash);
        against.hold(&frontier, &streams);
    }
    let proven = against.proven;
    let all = [against.found, bad_day, broken].into_iter().flatten();
    let first = all.min_by_key(|found| found.until).map(|found| AuditDamage {
        segment: PLACE.to_owned(),
        since: if found.since == 0 { proven.min(found.position) } else { found.since },
        ..found
    });
    let report = Report { ok: true, events: size, groups: 0, bytes, head, damage: None, end: None };
    Ok(Audit { report, damage: first, problems, days: count, last, proven })
}

fn found(number: u64, position: u64, reason: String) -> AuditDamage {
    AuditDamage {
        segment: PLACE.to_owned(),
        offset: position,
        position: number,
        reason,
        since: 0,
        until: number + 1,
    }
}

//! The table's keys: a row a history, below it the histories that deviate, and how many are where.

use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(super) use crate::table::Key;

/// Histories, each with its row.
const ROWS: u8 = b'h';
/// Those that deviate, by id.
pub(super) const DEVIATING: u8 = b'd';
/// Those that deviate, by pattern and id.
const IN_PATTERN: u8 = b'i';
/// How many histories an origin has, and how many of them are in each pattern.
pub(super) const COUNTS: u8 = b'n';

pub(super) fn row(id: Uuid) -> Key {
    [&[ROWS], &id.as_bytes()[..]].concat()
}

pub(super) fn deviating(id: Uuid) -> Key {
    [&[DEVIATING], &id.as_bytes()[..]].concat()
}

/// All that are in a pattern. Another with the same digest shows by its row.
pub(super) fn in_pattern(pattern: &str) -> Key {
    [&[IN_PATTERN], &Sha256::digest(pattern)[..8]].concat()
}

/// The id at the end of an index's key.
pub(super) fn id_of(key: &[u8]) -> Option<Uuid> {
    key.last_chunk::<16>().map(|id| Uuid::from_bytes(*id))
}

/// How many histories an origin has, or how many of them are in a pattern.
pub(super) fn count(origin: &str, pattern: Option<&str>) -> Key {
    let mut key = vec![COUNTS];
    // An origin may hold any character, so its length says where it ends. It is a few hundred bytes at the most.
    key.extend(u32::try_from(origin.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend(origin.as_bytes());
    if let Some(pattern) = pattern {
        key.push(1);
        key.extend(pattern.as_bytes());
    }
    key
}

/// The origin and, where it is one's, the pattern of a count.
pub(super) fn counted(key: &[u8]) -> Option<(String, Option<String>)> {
    let (length, rest) = key.get(1..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (origin, rest) = rest.split_at_checked(length)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let pattern = match rest {
        [] => None,
        [1, pattern @ ..] => Some(text(pattern)?),
        _ => return None,
    };
    Some((text(origin)?, pattern))
}

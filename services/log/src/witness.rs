//! What is known of a log outside of it: heads that were signed, that a read model, a key store or an auditor kept. A log that lost its end
//! is whole as far as it goes, and one that was written anew agrees with itself; only somebody who knows better can tell.

use std::fmt;
use std::sync::Arc;

use crate::error::short;
use crate::tree::Hash;
use crate::{Recorded, StreamName};

/// That a log had so many events at least, and the root of the tree over the first so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Who knows it, for messages: `the signed head of 2026-11-27`.
    pub by: String,
    /// Number of events.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// What a witness knows and the log does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Who knows what.
    pub witness: Witness,
    /// The root that the log has for as many events; none where it has fewer.
    pub here: Option<Hash>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { witness: Witness { by, size, root }, here } = self;
        let what = if here.is_some() { "another root of its first" } else { "of" };
        write!(f, "{by} knows {what} {size} events (root {}…)", short(root))
    }
}

/// How the heads that were signed into the log itself are found in it.
#[derive(Clone)]
pub struct SignedHeads {
    /// The stream in which they are.
    pub stream: StreamName,
    /// What an event of that stream says of the log; none where it is no head. An error says what is wrong with it.
    pub read: ReadHead,
}

/// Reads a head out of an event.
pub type ReadHead = Arc<dyn Fn(&Recorded) -> Result<Option<Witness>, String> + Send + Sync>;

impl fmt::Debug for SignedHeads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedHeads").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// For a message: everything that contradicts.
pub(crate) fn together(contradictions: &[Contradiction]) -> String {
    contradictions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

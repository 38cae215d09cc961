//! The tree over streams: by it a stream that somebody was given proves itself whole, not only unaltered.
//!
//! Its leaves are sorted by the stream's name, and each says how the stream ends: last revision, last event's leaf. Since an event's
//! leaf holds its revision, whoever has events 0 to that revision, and the path of this leaf, has all of them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::tree::{self, Frontier, Hash};

/// What a leaf begins with, so that it is never taken for an event's.
const DOMAIN: &[u8] = b"duban stream v1\0";

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamTip {
    /// Its last event's revision.
    pub revision: u64,
    /// Its last event's leaf in the tree over all events.
    pub leaf: Hash,
}

impl StreamTip {
    /// This tip's leaf in the tree over streams: of `duban stream v1`, a zero, the name's length in one byte, the name, the revision in
    /// eight bytes, least first, and the last event's leaf.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a stream's name is at most 128 bytes long")]
    pub fn leaf_hash(&self, stream: &str) -> Hash {
        Sha256::new()
            .chain_update([0])
            .chain_update(DOMAIN)
            .chain_update([stream.len() as u8])
            .chain_update(stream)
            .chain_update(self.revision.to_le_bytes())
            .chain_update(self.leaf)
            .finalize()
            .into()
    }
}

/// How a stream ends, and the proof that the tree over streams says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamProof {
    /// How it ends.
    pub tip: StreamTip,
    /// Its place among all streams, by name.
    pub index: u64,
    /// RFC 6962 audit path; see [`tree::verify_inclusion`].
    pub path: Vec<Hash>,
}

/// How every stream ends, at some size of the log. It takes about 150 bytes a stream; its root is computed anew each time, two hashes a
/// stream, since a new stream moves all behind it.
#[derive(Debug, Clone, Default)]
pub struct StreamTree(BTreeMap<Box<str>, StreamTip>);

impl StreamTree {
    /// Takes in the next event of the log.
    pub fn push(&mut self, stream: &str, revision: u64, leaf: Hash) {
        let tip = StreamTip { revision, leaf };
        match self.0.get_mut(stream) {
            Some(known) => *known = tip,
            None => drop(self.0.insert(stream.into(), tip)),
        }
    }

    /// Number of streams.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there is no stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut frontier = Frontier::default();
        for (stream, tip) in &self.0 {
            frontier.push(tip.leaf_hash(stream));
        }
        frontier.root()
    }

    /// How a stream ends, with its proof; none where there is no such stream.
    #[must_use]
    pub fn prove(&self, stream: &str) -> Option<StreamProof> {
        let tip = *self.0.get(stream)?;
        let leaves: Vec<_> = self.0.iter().map(|(stream, tip)| tip.leaf_hash(stream)).collect();
        let index = self.0.keys().take_while(|name| &***name < stream).count() as u64;
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let read = |a, b| Ok::<_, std::convert::Infallible>(leaves[at(a)..at(b)].to_vec());
        let hash = |a, b| tree::subtree(a, b, &|_| None, &read);
        match tree::inclusion(index, self.len(), &hash) {
            Ok(path) => Some(StreamProof { tip, index, path }),
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_of_small_trees_proves_how_it_ends_and_nothing_else() {
        let mut streams = StreamTree::default();
        assert_eq!(streams.root(), tree::empty_root());
        for n in 0..20_u8 {
            // Not in the order of names.
            let name = format!("s-{}", n.wrapping_mul(7) % 20);
            streams.push(&name, 0, [n; 32]);
            streams.push(&name, 1, [n + 100; 32]);
            let (size, root) = (streams.len(), streams.root());
            assert_eq!(size, u64::from(n) + 1);
            for name in streams.0.keys().cloned().collect::<Vec<_>>() {
                let StreamProof { tip, index, path } = streams.prove(&name).unwrap();
                assert_eq!(tip.revision, 1);
                let holds = |tip: &StreamTip, name: &str| {
                    tree::verify_inclusion(&tip.leaf_hash(name), index, size, &path, &root)
                };
                assert!(holds(&tip, &name));
                assert!(!holds(&StreamTip { revision: 0, ..tip }, &name));
                assert!(!holds(&StreamTip { leaf: [0xFF; 32], ..tip }, &name));
                assert!(!holds(&tip, "s-99"));
            }
            assert_eq!(streams.prove("s-99"), None);
        }
    }
}

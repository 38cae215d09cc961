//! The RFC 6962 Merkle tree over all events, with SHA-256: what makes tampering evident.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Every complete subtree of this many leaves is remembered, so that proofs read at most this many events at each edge.
pub(crate) const TILE: u64 = 1 << TILE_LEVEL;
const TILE_LEVEL: u32 = 8;

/// Root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Hash of a leaf.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [0; 65];
    node[0] = 1;
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    Sha256::digest(node).into()
}

/// The right edge of a growing tree: one hash for every one in the binary form of its size, largest subtree first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree, from its parts; none when they do not fit.
    #[must_use]
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == peaks.len()).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf's hash; answers the hash of the 256-leaf subtree that it completes, if it does.
    pub fn push(&mut self, leaf: Hash) -> Option<Hash> {
        let (mut node, mut tile) = (leaf, None);
        for level in 0..self.size.trailing_ones() {
            if level == TILE_LEVEL {
                tile = Some(node);
            }
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        if self.size.trailing_ones() == TILE_LEVEL {
            tile = Some(node);
        }
        self.peaks.push(node);
        self.size += 1;
        tile
    }

    /// The part of it above complete tiles: a tree of which each is a leaf.
    pub(crate) fn in_tiles(&self) -> Self {
        let size = self.size / TILE;
        Self { size, peaks: self.peaks[..size.count_ones() as usize].to_vec() }
    }

    /// The same after the tiles that were completed next.
    pub(crate) fn with_tiles(&self, tiles: &[Hash]) -> Self {
        let mut grown = self.in_tiles();
        for tile in tiles {
            grown.push(*tile);
        }
        grown
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(mut root) = peaks.next().copied() else { return empty_root() };
        for left in peaks {
            root = node_hash(left, &root);
        }
        root
    }
}

/// The largest power of two below `size`, which is where RFC 6962 splits a tree of two leaves or more.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// Hash of the leaves `start..end`, a subtree of the RFC's recursion, from remembered tiles and from leaves that `leaves` reads.
pub(crate) fn subtree<E>(
    start: u64,
    end: u64,
    tile: &impl Fn(u64) -> Option<Hash>,
    leaves: &impl Fn(u64, u64) -> Result<Vec<Hash>, E>,
) -> Result<Hash, E> {
    let size = end - start;
    if size == TILE
        && start.is_multiple_of(TILE)
        && let Some(hash) = tile(start / TILE)
    {
        return Ok(hash);
    }
    if size <= TILE {
        let mut frontier = Frontier::default();
        for leaf in leaves(start, end)? {
            frontier.push(leaf);
        }
        return Ok(frontier.root());
    }
    let middle = start + split(size);
    Ok(node_hash(&subtree(start, middle, tile, leaves)?, &subtree(middle, end, tile, leaves)?))
}

/// The audit path of a leaf; `hash` gives the hash of a range of leaves.
pub(crate) fn inclusion<E>(
    leaf: u64,
    size: u64,
    hash: &impl Fn(u64, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if leaf < middle {
            path.push(hash(middle, end)?);
            end = middle;
        } else {
            path.push(hash(start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` leaves of the tree are the whole of an earlier tree; `hash` gives the hash of a range of leaves.
pub(crate) fn consistency<E>(
    old: u64,
    size: u64,
    hash: &impl Fn(u64, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if old == 0 || old == size {
        return Ok(Vec::new());
    }
    // `known`: whether the subtree in hand is the whole old tree, whose root the verifier has.
    let (mut start, mut end, mut known, mut proof) = (0, size, true, Vec::new());
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(hash(middle, end)?);
            end = middle;
        } else {
            proof.push(hash(start, middle)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        proof.push(hash(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The nodes by which leaves and a root prove each other: the roots of the largest subtrees without any of these leaves, from left to
/// right. Leaves that lie close together share most of them. `leaves` ascend; `hash` gives the hash of a range of leaves.
pub(crate) fn shared<E>(
    leaves: &[u64],
    size: u64,
    hash: &impl Fn(u64, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    fn collect<E>(
        leaves: &[u64],
        start: u64,
        end: u64,
        hash: &impl Fn(u64, u64) -> Result<Hash, E>,
        nodes: &mut Vec<Hash>,
    ) -> Result<(), E> {
        if leaves.is_empty() {
            nodes.push(hash(start, end)?);
        } else if end - start > 1 {
            let middle = start + split(end - start);
            let (left, right) = leaves.split_at(leaves.partition_point(|&leaf| leaf < middle));
            collect(left, start, middle, hash, nodes)?;
            collect(right, middle, end, hash, nodes)?;
        }
        Ok(())
    }
    let mut nodes = Vec::new();
    if size > 0 {
        collect(leaves, 0, size, hash, &mut nodes)?;
    }
    Ok(nodes)
}

/// Root of the tree of this size that holds these leaves, numbers ascending, beside the nodes of [`crate::Reader::shared_proof`]; none
/// when they do not fit together.
#[must_use]
pub fn shared_root(leaves: &[(u64, Hash)], size: u64, nodes: &[Hash]) -> Option<Hash> {
    fn root(leaves: &[(u64, Hash)], start: u64, end: u64, nodes: &mut &[Hash]) -> Option<Hash> {
        if leaves.is_empty() {
            let (first, rest) = nodes.split_first()?;
            *nodes = rest;
            return Some(*first);
        }
        if end - start == 1 {
            return Some(leaves[0].1);
        }
        let middle = start + split(end - start);
        let (left, right) = leaves.split_at(leaves.partition_point(|&(leaf, _)| leaf < middle));
        let left = root(left, start, middle, nodes)?;
        Some(node_hash(&left, &root(right, middle, end, nodes)?))
    }
    let ascending = leaves.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if leaves.is_empty() || !ascending || leaves.last()?.0 >= size {
        return None;
    }
    let mut rest = nodes;
    root(leaves, 0, size, &mut rest).filter(|_| rest.is_empty())
}

/// Whether `path` proves that a leaf with this hash is the leaf number `leaf` of the tree of this size and root.
#[must_use]
pub fn verify_inclusion(leaf_hash: &Hash, leaf: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if leaf >= size {
        return false;
    }
    let (mut index, mut last, mut hash) = (leaf, size - 1, *leaf_hash);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            hash = node_hash(sibling, &hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` proves that the tree of size `old` and root `old_root` is the beginning of the tree of size `size` and root `root`.
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return proof.is_empty() && old_root == root;
    }
    if old == 0 {
        // Every tree begins with the empty one: there is nothing to prove.
        return proof.is_empty() && *old_root == empty_root();
    }
    // A complete old tree is itself the first node of the path, and is not repeated in the proof.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let Some((first, rest)) = proof.split_first() else { return false };
        (first, rest)
    };
    let (mut index, mut last) = (old - 1, size - 1);
    while index & 1 == 1 {
        index >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut hash) = (*first, *first);
    for node in rest {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            old_hash = node_hash(node, &old_hash);
            hash = node_hash(node, &hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, node);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_choices_of_leaves_of_small_trees_make_the_root_with_the_nodes_beside_them_and_nothing_else_does() {
        for size in 1..=9_u64 {
            let all: Vec<_> = (0..size).map(|n| leaf_hash(&n.to_le_bytes())).collect();
            let at = |n: u64| usize::try_from(n).unwrap();
            let read = |a, b| Ok::<_, std::convert::Infallible>(all[at(a)..at(b)].to_vec());
            let hash = |a, b| subtree(a, b, &|_| None, &read);
            let root = hash(0, size).unwrap();
            for choice in 1..1_u64 << size {
                let chosen: Vec<_> = (0..size).filter(|n| choice >> n & 1 == 1).collect();
                let nodes = shared(&chosen, size, &hash).unwrap();
                let leaves: Vec<_> = chosen.iter().map(|&n| (n, all[at(n)])).collect();
                assert_eq!(shared_root(&leaves, size, &nodes), Some(root));
                for n in 0..leaves.len() {
                    let (mut other, mut moved) = (leaves.clone(), leaves.clone());
                    other[n].1[0] ^= 1;
                    assert_ne!(shared_root(&other, size, &nodes), Some(root));
                    moved[n].0 = size;
                    assert_eq!(shared_root(&moved, size, &nodes), None);
                    let without = [&leaves[..n], &leaves[n + 1..]].concat();
                    assert_ne!(shared_root(&without, size, &nodes), Some(root));
                }
                assert_eq!(shared_root(&leaves, size, &[&nodes[..], &[root]].concat()), None);
            }
        }
    }
}

//! The tree against the vectors of the Certificate Transparency reference implementation, and its proofs against all small trees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use duban_log::contract::event;
use duban_log::tree::{self, Frontier, Hash};
use duban_log::{EventLog, Expected, MemoryLog, contract};

const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const F: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

fn hash(hex: &str) -> Hash {
    let mut hash = [0; 32];
    for (n, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    }
    hash
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), hash(ROOTS[0]));
    for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        frontier.push(tree::leaf_hash(leaf));
        assert_eq!(frontier.root(), hash(root));
    }
}

#[test]
fn the_proofs_of_certificate_transparency_verify() {
    let inclusion = |leaf: u64, size: u64, path: &[&str]| {
        let path: Vec<_> = path.iter().map(|h| hash(h)).collect();
        let leaf_hash = tree::leaf_hash(LEAVES[usize::try_from(leaf).unwrap()]);
        let root = hash(ROOTS[usize::try_from(size).unwrap()]);
        assert!(tree::verify_inclusion(&leaf_hash, leaf, size, &path, &root), "{leaf} of {size}");
    };
    inclusion(0, 1, &[]);
    inclusion(0, 8, &[A, B, C]);
    inclusion(5, 8, &[D, E, ROOTS[4]]);
    inclusion(2, 3, &[ROOTS[2]]);
    inclusion(1, 5, &[ROOTS[1], B, D]);
    let consistency = |old: u64, size: u64, proof: &[&str]| {
        let proof: Vec<_> = proof.iter().map(|h| hash(h)).collect();
        let root = |n: u64| hash(ROOTS[usize::try_from(n).unwrap()]);
        assert!(tree::verify_consistency(old, &root(old), size, &root(size), &proof), "{old} of {size}");
    };
    consistency(1, 1, &[]);
    consistency(1, 8, &[A, B, C]);
    consistency(6, 8, &[F, E, ROOTS[4]]);
    consistency(2, 5, &[B, D]);
}

#[tokio::test]
async fn every_proof_of_every_small_tree_verifies_and_no_other_does() {
    let log = MemoryLog::new();
    let office = contract::stream("office");
    let mut leaves = Vec::new();
    for n in 0..40_u64 {
        log.append(&office, Expected::after(n.checked_sub(1)), vec![event(n)]).await.unwrap();
        let read = log.read_stream(&office, n, duban_log::Direction::Forward, 1).await.unwrap();
        leaves.push(duban_log::leaf_hash(&read[0]));
    }
    for size in 1..=40_u64 {
        let root = log.root_at(size).await.unwrap();
        for (leaf, hash) in (0..size).zip(&leaves) {
            let path = log.inclusion_proof(leaf, size).await.unwrap();
            assert!(tree::verify_inclusion(hash, leaf, size, &path, &root));
            assert!(!tree::verify_inclusion(hash, leaf + 1, size, &path, &root), "{leaf} of {size}");
            for n in 0..path.len() {
                let mut forged = path.clone();
                forged[n][7] ^= 1;
                assert!(!tree::verify_inclusion(hash, leaf, size, &forged, &root));
                forged.remove(n);
                assert!(!tree::verify_inclusion(hash, leaf, size, &forged, &root));
            }
        }
        for old in 0..=size {
            let old_root = log.root_at(old).await.unwrap();
            let proof = log.consistency_proof(old, size).await.unwrap();
            assert!(tree::verify_consistency(old, &old_root, size, &root, &proof), "{old} of {size}");
            for n in 0..proof.len() {
                let mut forged = proof.clone();
                forged[n][7] ^= 1;
                assert!(!tree::verify_consistency(old, &old_root, size, &root, &forged));
            }
        }
    }
}

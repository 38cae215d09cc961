//! One lock a key, in bounded memory.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, UnitWeighter};
use tokio::sync::Mutex;

/// A lock that somebody holds is never forgotten: two locks for one key would let two in at once.
#[derive(Clone, Debug)]
struct KeepHeld;

impl<K, T> Lifecycle<K, Arc<Mutex<T>>> for KeepHeld {
    type RequestState = ();

    fn is_pinned(&self, _: &K, lock: &Arc<Mutex<T>>) -> bool {
        Arc::strong_count(lock) > 1
    }
}

/// Locks by key, each over a value that may be forgotten while nobody holds it.
pub struct KeyedLocks<K, T> {
    locks: Cache<K, Arc<Mutex<T>>, UnitWeighter, RandomState, KeepHeld>,
}

impl<K: Clone + Eq + Hash, T: Default> KeyedLocks<K, T> {
    /// Locks of which so many are remembered, and those that are held beside them.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        let weight = u64::try_from(keys_max).unwrap_or(u64::MAX);
        let locks = Cache::with(keys_max, weight, UnitWeighter, RandomState::new(), KeepHeld);
        Self { locks }
    }

    /// The lock of a key.
    #[must_use]
    pub fn of(&self, key: &K) -> Arc<Mutex<T>> {
        match self.locks.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::default())) {
            Ok(lock) => lock,
            Err(never) => match never {},
        }
    }
}

impl<K, T> std::fmt::Debug for KeyedLocks<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedLocks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_the_same_for_everybody_however_many_keys_come_between() {
        let locks: KeyedLocks<u32, u32> = KeyedLocks::new(8);
        let held = locks.of(&0);
        let mut value = held.try_lock().unwrap();
        *value = 7;
        for key in 1..10_000 {
            assert!(locks.of(&key).try_lock().is_ok());
        }
        assert!(locks.of(&0).try_lock().is_err());
        drop(value);
        assert_eq!(*locks.of(&0).try_lock().unwrap(), 7);
        drop(held);
        let remembered = (0..10_000).filter(|key| locks.locks.peek(key).is_some()).count();
        assert!(remembered <= 8, "{remembered}");
    }
}

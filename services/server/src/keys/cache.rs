//! Unwrapped keys in bounded memory.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::CustomerKey;

/// Two generations: when the young one is full it becomes the old one, and what nobody asked for since is dropped. A
/// scan over many customers thus costs the busy ones at most one unwrapping each.
pub(super) struct Cache {
    young: HashMap<Uuid, Arc<CustomerKey>>,
    old: HashMap<Uuid, Arc<CustomerKey>>,
    generation_max: usize,
}

impl Cache {
    pub(super) fn new(keys_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (keys_max / 2).max(1) }
    }

    pub(super) fn get(&mut self, customer: Uuid) -> Option<Arc<CustomerKey>> {
        if let Some(key) = self.young.get(&customer) {
            return Some(Arc::clone(key));
        }
        let key = self.old.remove(&customer)?;
        self.put(customer, Arc::clone(&key));
        Some(key)
    }

    pub(super) fn put(&mut self, customer: Uuid, key: Arc<CustomerKey>) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(customer, key);
    }

    pub(super) fn remove(&mut self, customer: Uuid) {
        self.young.remove(&customer);
        self.old.remove(&customer);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

//! Bars for read models that are built anew.

use std::collections::HashMap;

use duban_engine::views;
use parking_lot::Mutex;

use crate::output::Progress;

/// A bar each, gone when it is full.
#[derive(Default)]
pub(crate) struct Bars {
    by_name: Mutex<HashMap<&'static str, Progress>>,
}

impl Bars {
    /// So many events of so many were read.
    pub(crate) fn show(&self, name: &'static str, done: u64, total: u64) {
        self.show_unit(name, "events", done, total);
    }

    /// The same of something else than events.
    pub(crate) fn show_unit(&self, name: &'static str, unit: &'static str, done: u64, total: u64) {
        let mut bars = self.by_name.lock();
        bars.entry(name).or_insert_with(|| Progress::new(name, unit, total)).set(done, total);
        if done >= total {
            bars.remove(name);
        }
    }
}

impl views::Progress for Bars {
    fn built(&self, projection: &'static str, done: u64, total: u64) {
        self.show(projection, done, total);
    }
}

//! What is found wrong: so many of them listed, the rest counted.

/// Differences that are listed; the rest are counted.
const LISTED: usize = 100;

/// What is found wrong.
#[derive(Debug, Default)]
pub struct Differences {
    listed: Vec<String>,
    more: u64,
}

impl Differences {
    pub(super) fn add(&mut self, difference: String) {
        if self.listed.len() < LISTED {
            self.listed.push(difference);
        } else {
            self.more += 1;
        }
    }

    /// So many more that nobody lists.
    pub(super) fn add_unlisted(&mut self, more: u64) {
        self.more += more;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.listed.len() as u64 + self.more
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Each that is listed, a line, and how many more there are.
    #[must_use]
    pub fn lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
    }

    pub(super) fn join(&mut self, other: Self) {
        self.more += other.more;
        for difference in other.listed {
            self.add(difference);
        }
    }
}

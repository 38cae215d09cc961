//! Tokens by role and unit, as a test holds them: also those that no department would use.

use std::collections::BTreeMap;
use std::path::Path;

use duban::departments::Tokens;

/// Who sends a command: a role in a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// The role, as tokens name it.
    pub role: String,
    /// The unit or department.
    pub unit: String,
}

impl Who {
    /// A role in a unit.
    #[must_use]
    pub fn new(role: &str, unit: &str) -> Self {
        Self { role: role.to_owned(), unit: unit.to_owned() }
    }

    /// A member of a responsible unit.
    #[must_use]
    pub fn unit(unit: &str) -> Self {
        Self::new("unit", unit)
    }
}

/// Tokens by who may use them.
#[derive(Clone, Debug, Default)]
pub struct Badges(BTreeMap<Who, String>);

impl Badges {
    /// Adds one.
    pub fn add(&mut self, who: Who, token: String) {
        self.0.insert(who, token);
    }

    /// The token of somebody.
    #[must_use]
    pub fn get(&self, who: &Who) -> &str {
        self.0.get(who).map_or_else(|| panic!("there is no token for {who:?}"), String::as_str)
    }

    /// Everybody who has one.
    pub fn holders(&self) -> impl Iterator<Item = &Who> {
        self.0.keys()
    }

    /// What the departments' own client takes.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        let mut tokens = Tokens::default();
        for (who, token) in &self.0 {
            tokens.add(&who.role, &who.unit, token).expect("a token is plain ASCII");
        }
        tokens
    }

    /// Reads a file of `ROLE UNIT TOKEN` lines.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the server wrote its token file");
        let mut badges = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [role, unit, token] = words[..] else { panic!("not `ROLE UNIT TOKEN`: {line}") };
            badges.add(Who::new(role, unit), token.to_owned());
        }
        badges
    }
}

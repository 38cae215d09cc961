//! Tokens, by who holds them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use http::{HeaderName, HeaderValue, header};

use crate::ClientError;

/// Who a token belongs to: a role in a unit or department.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHolder {
    /// The role, as tokens name it.
    pub role: String,
    /// The unit or department.
    pub unit: String,
}

impl TokenHolder {
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

/// A token as it stands in a request's header.
#[derive(Clone, Debug)]
pub struct Bearer(HeaderValue);

impl Bearer {
    /// A token as its holder sends it.
    ///
    /// # Errors
    /// The token holds what a header cannot.
    pub fn new(token: &str) -> Result<Self, header::InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Name and value of the header.
    #[must_use]
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        (header::AUTHORIZATION, self.0.clone())
    }
}

/// Tokens by role and unit.
#[derive(Clone, Debug, Default)]
pub struct Tokens(BTreeMap<TokenHolder, (String, Bearer)>);

impl Tokens {
    /// Adds a token.
    ///
    /// # Errors
    /// The token holds what a header cannot.
    pub fn add(&mut self, holder: TokenHolder, token: &str) -> Result<(), header::InvalidHeaderValue> {
        let bearer = Bearer::new(token)?;
        self.0.insert(holder, (token.to_owned(), bearer));
        Ok(())
    }

    /// Reads a file with one `ROLE UNIT TOKEN` a line, as `duban serve --dev --tokens FILE` writes it.
    ///
    /// # Errors
    /// [`ClientError::TokenFile`] and [`ClientError::TokenLine`].
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClientError::TokenFile { path: path.display().to_string(), source })?;
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = || ClientError::TokenLine { line: index + 1 };
            let words: Vec<_> = line.split_whitespace().collect();
            let [role, unit, token] = words[..] else { return Err(malformed()) };
            tokens.add(TokenHolder::new(role, unit), token).map_err(|_| malformed())?;
        }
        Ok(tokens)
    }

    /// Writes such a file, readable by its owner only.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        for (TokenHolder { role, unit }, token) in self.iter() {
            writeln!(file, "{role} {unit} {token}")?;
        }
        Ok(())
    }

    /// The token of somebody, as text.
    #[must_use]
    pub fn text(&self, holder: &TokenHolder) -> Option<&str> {
        self.0.get(holder).map(|(text, _)| text.as_str())
    }

    /// Every token, with who holds it.
    pub fn iter(&self) -> impl Iterator<Item = (&TokenHolder, &str)> {
        self.0.iter().map(|(holder, (text, _))| (holder, text.as_str()))
    }

    /// The first unit, by name, for which there is a token of this role.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn first_unit(&self, role: &str) -> Result<String, ClientError> {
        let found = self.0.keys().find(|holder| holder.role == role).map(|holder| holder.unit.clone());
        found.ok_or_else(|| ClientError::NoToken { role: role.to_owned(), unit: "any unit".to_owned() })
    }

    pub(crate) fn bearer(&self, role: &str, unit: &str) -> Result<Bearer, ClientError> {
        let found = self.0.get(&TokenHolder::new(role, unit)).map(|(_, bearer)| bearer.clone());
        found.ok_or_else(|| ClientError::NoToken { role: role.to_owned(), unit: unit.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_has_three_words_a_line_and_a_line_that_has_not_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "desk desk abc\n\nunit line-crew def\nunit access-network ghi\n").unwrap();
        let tokens = Tokens::read(&path).unwrap();
        assert_eq!(tokens.text(&TokenHolder::new("desk", "desk")), Some("abc"));
        assert_eq!(tokens.first_unit("unit").unwrap(), "access-network");
        assert!(matches!(tokens.bearer("unit", "billing"), Err(ClientError::NoToken { .. })));
        assert!(matches!(tokens.first_unit("auditor"), Err(ClientError::NoToken { .. })));
        for wrong in ["desk desk abc\ndesk desk\n", "\ndesk desk abc d"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(Tokens::read(&path), Err(ClientError::TokenLine { line: 2 })), "{wrong}");
        }
        assert!(matches!(Tokens::read(dir.path()), Err(ClientError::TokenFile { .. })));
    }

    #[test]
    fn a_token_is_not_printed_with_its_header() {
        assert!(!format!("{:?}", Bearer::new("secret").unwrap()).contains("secret"));
    }
}

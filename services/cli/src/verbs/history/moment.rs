//! Moments as people type them.

use std::str::FromStr;

use duban_history::as_of::AsOf;
use duban_history::render::SHANGHAI;
use jiff::Timestamp;
use jiff::civil::DateTime;

/// RFC 3339, or local in Shanghai.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().map_err(|_| {
        "is no moment: write one like 2026-03-03T18:00:00+08:00, 2026-03-03T18:00 or 2026-03-03".to_owned()
    })?;
    SHANGHAI.to_timestamp(local).map_err(|error| error.to_string())
}

/// An end of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    Revision(u64),
    Known(Timestamp),
    True(Timestamp),
}

impl When {
    pub(super) fn as_of(self) -> AsOf {
        let nothing = AsOf::default();
        match self {
            Self::Now => nothing,
            Self::Revision(revision) => AsOf { revision: Some(revision), ..nothing },
            Self::Known(at) => AsOf { known_at: Some(at), ..nothing },
            Self::True(at) => AsOf { at: Some(at), ..nothing },
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(at) = text.strip_prefix("at:") {
            return moment(at).map(Self::True);
        }
        if let Some(at) = text.strip_prefix("known:") {
            return moment(at).map(Self::Known);
        }
        match text.parse() {
            Ok(revision) => Ok(Self::Revision(revision)),
            Err(_) => moment(text).map(Self::Known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_or_local_in_shanghai() {
        for text in ["2026-03-03T18:00:00+08:00", "2026-03-03T18:00", "2026-03-03T10:00:00Z"] {
            assert_eq!(moment(text).unwrap().to_string(), "2026-03-03T10:00:00Z", "{text}");
        }
        assert_eq!(moment("2026-03-03").unwrap().to_string(), "2026-03-02T16:00:00Z");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn ends_of_a_difference_are_revisions_moments_or_now() {
        let at = moment("2026-03-03T18:00").unwrap();
        for (text, when) in [
            ("now", When::Now),
            ("12", When::Revision(12)),
            ("2026-03-03T18:00", When::Known(at)),
            ("known:2026-03-03T18:00", When::Known(at)),
            ("at:2026-03-03T18:00", When::True(at)),
        ] {
            assert_eq!(text.parse::<When>(), Ok(when), "{text}");
        }
        assert_eq!(When::True(at).as_of(), AsOf { at: Some(at), ..AsOf::default() });
        for wrong in ["", "-1", "at:12", "later"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
    }
}

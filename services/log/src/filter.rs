use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Recorded;

/// Which events a read or a subscription wants. The default wants all; each part that is not empty narrows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The stream's name starts with one of these.
    pub stream_prefixes: Vec<Arc<str>>,
    /// The stored type name is one of these.
    pub kinds: BTreeSet<Arc<str>>,
    /// For every key named here, the event has one of the values named for that key.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
}

impl Filter {
    /// The filter that every event passes.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Narrows to streams with this prefix, or one named before.
    #[must_use]
    pub fn stream_prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.stream_prefixes.push(prefix.into());
        self
    }

    /// Narrows to this stored type name, or one named before.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Arc<str>>) -> Self {
        self.kinds.insert(kind.into());
        self
    }

    /// Narrows to events with this tag, or one named before with the same key.
    #[must_use]
    pub fn tag(mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Whether every event passes.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.stream_prefixes.is_empty() && self.kinds.is_empty() && self.tags.is_empty()
    }

    /// Whether an event passes.
    #[must_use]
    pub fn matches(&self, event: &Recorded) -> bool {
        self.matches_parts(event.stream.as_str(), &event.kind, || {
            event.tags.iter().map(|(k, v)| (&**k, &**v))
        })
    }

    /// Whether an event with these parts passes; tags are asked for only when they matter.
    pub(crate) fn matches_parts<'a, I>(&self, stream: &str, kind: &str, tags: impl Fn() -> I) -> bool
    where
        I: Iterator<Item = (&'a str, &'a str)>,
    {
        (self.stream_prefixes.is_empty() || self.stream_prefixes.iter().any(|p| stream.starts_with(&**p)))
            && (self.kinds.is_empty() || self.kinds.contains(kind))
            && self.tags.iter().all(|(key, _)| {
                tags().any(|(k, v)| k == &**key && self.tags.iter().any(|(wk, wv)| k == &**wk && v == &**wv))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &Filter, stream: &str, kind: &str, tags: &[(&str, &str)], passes: bool) {
        assert_eq!(
            filter.matches_parts(stream, kind, || tags.iter().copied()),
            passes,
            "{filter:?} {stream} {kind} {tags:?}"
        );
    }

    #[test]
    fn values_of_one_key_widen_and_keys_narrow() {
        let tags: &[(&str, &str)] = &[("unit", "south"), ("area", "a1")];
        check(&Filter::all(), "office", "x", &[], true);
        check(&Filter::all().tag("unit", "south"), "office", "x", tags, true);
        check(&Filter::all().tag("unit", "north").tag("unit", "south"), "office", "x", tags, true);
        check(&Filter::all().tag("unit", "south").tag("area", "a2"), "office", "x", tags, false);
        check(&Filter::all().tag("kind", "south"), "office", "x", tags, false);
        check(&Filter::all().stream_prefix("fault-").stream_prefix("off"), "office", "x", tags, true);
        check(&Filter::all().stream_prefix("fault-"), "office", "x", tags, false);
        check(&Filter::all().kind("y"), "office", "x", tags, false);
        check(&Filter::all().kind("y").kind("x").stream_prefix("office"), "office", "x", tags, true);
    }
}

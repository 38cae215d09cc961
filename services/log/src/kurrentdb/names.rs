//! Which of the servers' streams are the log's.

use std::sync::Arc;

use super::Options;
use crate::{Error, StreamName};

/// The log's streams as the servers name them.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) namespace: Arc<str>,
    /// With the namespace.
    pub(super) prefixes: Arc<[String]>,
}

impl Names {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let namespace = Arc::clone(&options.namespace);
        let prefixes: Arc<[String]> =
            options.stream_prefixes.iter().map(|prefix| format!("{namespace}{prefix}")).collect();
        if prefixes.is_empty() || prefixes.iter().any(|p| p.is_empty() || p.starts_with('$')) {
            let reason = "must say with what the log's streams begin, and not with $, as the servers' own do";
            return Err(Error::invalid("stream prefixes", reason));
        }
        Ok(Self { namespace, prefixes })
    }

    /// Whether a stream of the servers belongs to the log.
    pub(super) fn ours(&self, full: &str) -> bool {
        self.prefixes.iter().any(|prefix| full.starts_with(&**prefix))
    }

    /// What the servers call a stream of the log.
    pub(super) fn full(&self, stream: &StreamName) -> String {
        format!("{}{stream}", self.namespace)
    }

    /// What the servers call a stream that the log may write.
    pub(super) fn writable(&self, stream: &StreamName) -> Result<String, Error> {
        let full = self.full(stream);
        if self.ours(&full) {
            return Ok(full);
        }
        Err(Error::invalid("stream name", format!("{stream} begins with none of the log's prefixes")))
    }
}

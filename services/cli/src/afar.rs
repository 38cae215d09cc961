//! A log on a cluster, for verbs that work on a log directly.

use duban_engine::cluster::{self, SharedLog};

use crate::failure::Failure;

/// Whether something names a cluster, and no directory.
pub(crate) fn is_afar(name: &str) -> bool {
    ["esdb:", "esdb+discover:", "kurrentdb:", "kurrentdb+discover:"]
        .iter()
        .any(|scheme| name.starts_with(scheme))
}

/// Opens the log of a cluster, reading it through.
pub(crate) async fn connect(url: &str) -> Result<SharedLog, Failure> {
    cluster::connect(url).await.map_err(|error| match error {
        error @ duban_log::Error::Invalid { .. } => Failure::misuse(error),
        error => error.into(),
    })
}

/// Threads for the client's tasks beside the one that a verb runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::broken)
}

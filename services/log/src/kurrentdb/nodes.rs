//! The supervisor of the client crate: makes clients, throws them away when they fail, and asks again.
//!
//! eventstore 4.0.0 does not fail over: after a connection that could not be made it answers "closed" for ever, and a node that
//! is silent it waits for. So every call has a time limit, a client that failed is dropped with everything that it started (it runs on a
//! runtime of its own, since its tasks hold each other and never end by themselves), and the next one looks at the cluster anew.

use std::future::Future;
use std::sync::Arc;

use eventstore::{Client, ClientSettings};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Options;
use super::guard::guarded;
use crate::Error;

/// A client with the runtime that its tasks live on.
pub(super) struct Link {
    pub(super) client: Client,
    runtime: Option<Runtime>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may run inside a runtime, where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The servers answered, and asking again would not change it.
    Answer(eventstore::Error),
    /// Nobody answered usefully in time.
    Unavailable(String),
}

impl Failure {
    /// The failure of something that no answer is expected to refuse.
    pub(super) fn during(self, doing: &str) -> Error {
        let reason = match self {
            Self::Answer(error) => error.to_string(),
            Self::Unavailable(reason) => reason,
        };
        Error::Unavailable { doing: doing.to_owned(), reason }
    }
}

/// What a call brought, and how many attempts it took: after more than one, an earlier one may have been carried out too.
#[derive(Debug)]
pub(super) struct Answered<T> {
    pub(super) value: Result<T, Failure>,
    pub(super) attempts: u32,
}

/// What to do about an error.
enum Cure {
    /// It is the answer.
    Final,
    /// Ask again over the same client.
    Again,
    /// Ask again over a new client.
    Anew,
}

fn cure(error: &eventstore::Error) -> Cure {
    use eventstore::Error as E;
    match error {
        // The client turns to the leader that it was told.
        E::NotLeaderException(_) => Cure::Again,
        // A write that timed out on the server, which is well.
        E::Grpc { code, .. } if matches!(*code as i32, ABORTED | RESOURCE_EXHAUSTED) => Cure::Again,
        E::Grpc { code, .. } if *code as i32 == CANCELLED => Cure::Anew,
        E::ServerError(_)
        | E::ConnectionClosed
        | E::GrpcConnectionError(_)
        | E::DeadlineExceeded
        // Not leader, from a node that does not know who is.
        | E::ResourceNotFound
        | E::InternalClientError
        | E::IllegalStateError(_)
        | E::InitializationError(_) => Cure::Anew,
        _ => Cure::Final,
    }
}

const CANCELLED: i32 = 1;
const RESOURCE_EXHAUSTED: i32 = 8;
const ABORTED: i32 = 10;

/// Attempts over one client that keeps being told of another leader.
pub(super) const REDIRECTS_MAX: u32 = 3;

pub(super) struct Nodes {
    settings: ClientSettings,
    pub(super) options: Options,
    link: Mutex<Option<Arc<Link>>>,
    /// Counts the clients that were thrown away: whoever holds an older one turns to the new one.
    dropped: watch::Sender<u64>,
}

impl Nodes {
    pub(super) fn new(uri: &str, options: Options) -> Result<Self, Error> {
        let settings = settings(uri)?;
        Ok(Self { settings, options, link: Mutex::new(None), dropped: watch::Sender::new(0) })
    }

    /// Hears when the client is thrown away.
    pub(super) fn dropped(&self) -> watch::Receiver<u64> {
        self.dropped.subscribe()
    }

    pub(super) fn link(&self) -> Result<Arc<Link>, String> {
        let mut link = self.link.lock();
        if let Some(link) = &*link {
            return Ok(Arc::clone(link));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kurrentdb")
            .enable_all()
            // Its tasks log what the supervisor deals with.
            .on_thread_start(|| {
                std::mem::forget(tracing::dispatcher::set_default(&tracing::Dispatch::none()));
            })
            .build()
            .map_err(|e| e.to_string())?;
        let client = Client::with_runtime_handle(runtime.handle().clone(), self.settings.clone())
            .map_err(|e| e.to_string())?;
        let new = Arc::new(Link { client, runtime: Some(runtime) });
        *link = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Throws a client away, unless another one has taken its place already.
    pub(super) fn discard(&self, failed: &Arc<Link>) {
        let mut link = self.link.lock();
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, failed)) {
            *link = None;
            drop(link);
            self.dropped.send_modify(|n| *n += 1);
        }
    }

    /// Asks until there is an answer, or the time is over.
    pub(super) async fn call<T, F, Fut>(&self, doing: &str, mut ask: F) -> Answered<T>
    where
        F: FnMut(Client) -> Fut + Send,
        Fut: Future<Output = eventstore::Result<T>> + Send,
        T: Send,
    {
        let until = Instant::now() + self.options.deadline;
        let (mut attempts, mut redirects, mut pauses) = (0, 0, self.options.pauses());
        loop {
            attempts += 1;
            let reason = match self.link() {
                Err(reason) => reason,
                Ok(link) => {
                    let limit = self.options.attempt_max.min(until.saturating_duration_since(Instant::now()));
                    let (cure, reason) = match timeout(limit, guarded(ask(link.client.clone()))).await {
                        Ok(Ok(Ok(value))) => return Answered { value: Ok(value), attempts },
                        Ok(Ok(Err(error))) => match cure(&error) {
                            Cure::Final => return Answered { value: Err(Failure::Answer(error)), attempts },
                            cure => (cure, error.to_string()),
                        },
                        Ok(Err(gone)) => (Cure::Anew, gone.to_string()),
                        Err(_) => (Cure::Anew, format!("no answer within {} ms", limit.as_millis())),
                    };
                    redirects += 1;
                    if matches!(cure, Cure::Anew) || redirects >= REDIRECTS_MAX {
                        redirects = 0;
                        self.discard(&link);
                    }
                    reason
                }
            };
            tracing::info!(doing, attempts, reason, "the log's servers are asked again");
            match pauses.next() {
                Some(pause) if Instant::now() + pause < until => tokio::time::sleep(pause).await,
                _ => return Answered { value: Err(Failure::Unavailable(reason)), attempts },
            }
        }
    }
}

/// The crate's settings from a connection string, with what this engine needs put in.
fn settings(uri: &str) -> Result<ClientSettings, Error> {
    let uri = match uri.strip_prefix("kurrentdb") {
        Some(rest) => format!("esdb{rest}"),
        None => uri.to_owned(),
    };
    let parse = |uri: &str| {
        uri.parse::<ClientSettings>()
            // The message names what is wrong, never the password.
            .map_err(|e| Error::invalid("address of the log", format!("is not understood: {}", e.message())))
    };
    let given = parse(&uri)?;
    let lower = uri.to_ascii_lowercase();
    // Whoever reads elsewhere than on the leader does not see what was just written. The last mention counts.
    let mut added = vec!["nodePreference=leader"];
    if !given.is_secure_mode_enabled() && given.tls_ca_file().is_none() {
        // Else the crate reads the platform's certificates for each client, and panics where there are none.
        added.push("tlsCAFile=/dev/null");
    }
    for (key, setting) in [
        ("discoveryinterval=", "discoveryInterval=50"),
        ("gossiptimeout=", "gossipTimeout=1000"),
        ("maxdiscoverattempts=", "maxDiscoverAttempts=3"),
    ] {
        if !lower.contains(key) {
            added.push(setting);
        }
    }
    let joint = if uri.contains('?') { '&' } else { '?' };
    parse(&format!("{uri}{joint}{}", added.join("&")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_is_read_as_the_crate_does_and_always_prefers_the_leader() {
        for uri in [
            "esdb://one:2113,two:2113?tls=false&nodePreference=follower",
            "kurrentdb://one:2113,two:2113?tls=false",
            "esdb+discover://user:secret@cluster.example:2113?tls=false",
        ] {
            let settings = settings(uri).unwrap();
            assert_eq!(settings.node_preference(), eventstore::NodePreference::Leader, "{uri}");
            assert_eq!(settings.tls_ca_file().map(String::as_str), Some("/dev/null"));
        }
        let secure = settings("esdb://one:2113?discoveryInterval=7").unwrap();
        assert_eq!((secure.tls_ca_file(), secure.discovery_interval()), (None, Duration::from_millis(7)));
        for uri in ["http://user:secret@one:2113", "esdb://user:secret@one:2113?tls=perhaps", ""] {
            let error = settings(uri).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

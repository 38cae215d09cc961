//! Why a server does not start, or ended by itself.

use std::net::SocketAddr;

use duban_engine::EngineError;
use duban_engine::storage::StorageError;
use duban_engine::tasks::FatalFailure;

use crate::identity::IdentityError;
use crate::tls::TlsError;

/// Why the server does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The log or the keys cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What happens behind the edge does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log cannot be reached or closed.
    #[error("the log cannot be used")]
    Log(#[from] duban_log::Error),
    /// Callers cannot be proved.
    #[error("callers cannot be proved")]
    Identity(#[from] IdentityError),
    /// TLS cannot be had.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be taken over.
    #[error("cannot take over signals")]
    Signals(#[source] std::io::Error),
    /// Serving cannot begin.
    #[error("serving failed")]
    Serve(#[source] tonic::transport::Error),
    /// The table of methods contradicts itself.
    #[error("the table of methods contradicts itself")]
    Access(#[from] crate::access::TableError),
    /// The descriptors of the services cannot be served.
    #[error("reflection cannot be served")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task without which there is no server failed.
    #[error(transparent)]
    Task(#[from] FatalFailure),
    /// Tokens are made in development only.
    #[error("this server makes no tokens: your identity provider does")]
    NoTokens,
}

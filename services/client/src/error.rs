//! What may go wrong between a caller and a server.

use std::path::PathBuf;

use tonic::Status;

use crate::Refusal;

/// What may go wrong between a caller and a server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{url} is no server address: use one like http://127.0.0.1:7110")]
    Address {
        /// As given.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The file of certificates cannot be read.
    #[error("the CA file {path} cannot be read")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection would not be protected, though somebody said by whose certificates.
    #[error("a CA file was named, but {url} is not protected: use an address that begins with https://")]
    NotProtected {
        /// As given.
        url: String,
    },
    /// The certificates are none, or the system has none.
    #[error("no TLS connection to {url} can be made with these certificates")]
    Certificates {
        /// As given.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// Nobody answers there.
    #[error("no server answers at {url}: start one with `duban serve`, or name another with --server")]
    Connect {
        /// As given.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The token file cannot be read.
    #[error("the token file {path} cannot be read")]
    TokenFile {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of the token file is no token.
    #[error("line {line} of the token file is not `ROLE UNIT TOKEN`")]
    TokenLine {
        /// Its number, from 1.
        line: usize,
    },
    /// No token for this identity.
    #[error("there is no token for {role} of {unit}: add one to the token file")]
    NoToken {
        /// The role.
        role: String,
        /// The unit.
        unit: String,
    },
    /// The server refused, or was lost and did not come back in time.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl ClientError {
    /// What the server said, where it was asked.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(Refusal::from(&status)))
    }
}

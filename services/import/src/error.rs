//! Why an import did not come to its end.

use std::path::PathBuf;

use duban_codec::CodecError;
use duban_engine::data_directory::DataDirectoryError;
use duban_projections::Undecodable;
use duban_vault::keys::KeysError;

use super::mapping::MappingError;

/// Why an import did not come to its end. Rows that cannot be taken in are no error.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The table cannot be read.
    #[error("cannot read the input {path}")]
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The mapping cannot be used.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DataDirectoryError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// The keys failed.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A history that is there cannot be read.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// An intake that is there cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// No thread to work on.
    #[error("cannot start a thread")]
    Runtime(#[source] std::io::Error),
}

impl ImportError {
    /// Whether it was asked for in a way that cannot work, rather than something being broken.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        match self {
            Self::Input { .. } | Self::Mapping(_) => true,
            Self::Directory(error) => error.is_misuse(),
            Self::Log(error) => matches!(error, duban_log::Error::Locked { .. }),
            Self::Keys(_) | Self::Undecodable(_) | Self::Codec(_) | Self::Runtime(_) => false,
        }
    }
}

//! The public key that checks the days' heads: Ed25519, out of a file in PEM.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use duban_aggregates::office::SignedHead;
use pem::{EncodeConfig, LineEnding, Pem};

const KEY_LEN: usize = 32;
/// What stands before the key's own bytes in a SubjectPublicKeyInfo for Ed25519 (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const LABEL: &str = "PUBLIC KEY";

/// Why there is no key to check with.
#[derive(Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// The file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path} holds no Ed25519 public key in PEM, as `duban serve` keeps it in {file} and `openssl pkey -pubout` prints it",
        file = crate::signing::PUBLIC_FILE
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

/// A public key: what checks heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn read(path: &Path) -> Result<Self, PublicKeyError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PublicKeyError::Read { path: path.to_owned(), source })?;
        let der = pem_decode(LABEL, &text);
        let key = der.as_deref().and_then(|der| der.strip_prefix(&SPKI)).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| PublicKeyError::NoKey { path: path.to_owned() })
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_encode(LABEL, &[&SPKI[..], &self.0].concat())
    }

    /// The key's own bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// How heads name it: the first 16 bytes of its SHA-256.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&digest(&SHA256, &self.0).as_ref()[..16]);
        id
    }

    /// Whether this key signed a head as it stands.
    #[must_use]
    pub fn signed(&self, head: &SignedHead) -> bool {
        let statement = head.head.statement(&head.key);
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        head.key == self.id() && key.verify(statement.as_bytes(), &head.signature).is_ok()
    }

    pub(crate) fn of(pair: &Ed25519KeyPair) -> Self {
        let mut key = [0; KEY_LEN];
        key.copy_from_slice(pair.public_key().as_ref());
        Self(key)
    }
}

pub(crate) fn pem_encode(label: &str, der: &[u8]) -> String {
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), unix)
}

/// The first block of this label, whatever stands around it.
pub(crate) fn pem_decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let mut blocks = pem::parse_many(text).ok()?.into_iter();
    blocks.find(|block| block.tag() == label).map(Pem::into_contents)
}

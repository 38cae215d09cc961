//! The key that signs a day's head: Ed25519, from a file that an operator keeps, else made in the data directory.
//!
//! Whoever keeps heads and the public key elsewhere need not trust this machine any more (design.md section 3).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use duban_aggregates::office::{DayHead, SignedHead};
use zeroize::Zeroizing;

use crate::public_key::{PublicKey, pem_decode, pem_encode};

/// The private key that is made where none is named, below a data directory.
pub const KEY_FILE: &str = "keys/signing.pem";
/// The public key of whichever key signs, below a data directory.
pub const PUBLIC_FILE: &str = "keys/signing.pub";

const SIGNATURE_LEN: usize = 64;
const PRIVATE: &str = "PRIVATE KEY";

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file cannot be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The private key's file holds something else.
    #[error(
        "{path} holds no Ed25519 private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` prints it"
    )]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// Heads were signed here with a key that is gone.
    #[error(
        "{path} is gone, with which the days' heads were signed: put it back, or name it as keys.signing; to begin with another key, move {public} away"
    )]
    Gone {
        /// The private key's file.
        path: PathBuf,
        /// Its public key's.
        public: PathBuf,
    },
    /// The library gave no key or no signature.
    #[error("the cryptographic library failed")]
    Crypto,
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SigningError {
    let path = path.to_owned();
    move |source| SigningError::Io { doing, path, source }
}

/// A private key: what signs heads.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key of a data directory: from `configured` where an operator keeps it elsewhere, else from [`KEY_FILE`], which is
    /// made, readable by its owner only and synced, where no head was ever signed. Its public key is kept in
    /// [`PUBLIC_FILE`], for auditors to take away.
    ///
    /// # Errors
    /// [`SigningError`] names the file.
    pub fn load_or_make(data: &Path, configured: Option<&Path>) -> Result<Self, SigningError> {
        let (own, public) = (data.join(KEY_FILE), data.join(PUBLIC_FILE));
        let key = match configured {
            Some(path) => Self::read(path)?,
            None if own.exists() => Self::read(&own)?,
            None if public.exists() => return Err(SigningError::Gone { path: own, public }),
            None => Self::make(&own)?,
        };
        let pem = key.public.to_pem();
        if fs::read_to_string(&public).ok().as_deref() != Some(&pem) {
            write(&public, &pem, 0o644, true)?;
        }
        Ok(key)
    }

    /// A key that nobody keeps, for tests and measurements.
    ///
    /// # Errors
    /// [`SigningError::Crypto`].
    pub fn ephemeral() -> Result<Self, SigningError> {
        Ed25519KeyPair::generate().map_err(|_| SigningError::Crypto).map(Self::of)
    }

    /// Its public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a head.
    ///
    /// # Errors
    /// [`SigningError::Crypto`].
    pub fn sign(&self, head: DayHead) -> Result<SignedHead, SigningError> {
        let key = self.public.id();
        let signed = self.pair.try_sign(head.statement(&key).as_bytes()).map_err(|_| SigningError::Crypto)?;
        let signature: [u8; SIGNATURE_LEN] = signed.as_ref().try_into().map_err(|_| SigningError::Crypto)?;
        Ok(SignedHead { head, key, signature })
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let public = PublicKey::of(&pair);
        Self { pair, public }
    }

    fn read(path: &Path) -> Result<Self, SigningError> {
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(io_error("reading", path))?;
        if fs::metadata(path).map_err(io_error("reading", path))?.mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the signing key can be read by other users: chmod 600 it");
        }
        let der = pem_decode(PRIVATE, &text).map(Zeroizing::new);
        let pair = der.and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok());
        pair.map(Self::of).ok_or_else(|| SigningError::NoPrivateKey { path: path.to_owned() })
    }

    fn make(path: &Path) -> Result<Self, SigningError> {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| SigningError::Crypto)?;
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(|_| SigningError::Crypto)?;
        let text = Zeroizing::new(pem_encode(PRIVATE, der.as_ref()));
        write(path, &text, 0o600, false)?;
        tracing::info!(path = %path.display(), "made a key that signs the days' heads");
        Ok(Self::of(pair))
    }
}

/// Writes a file whole or not at all, synced with its name.
fn write(path: &Path, text: &str, mode: u32, replace: bool) -> Result<(), SigningError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let scratch = path.with_extension("new");
    let write = || {
        fs::create_dir_all(dir)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&scratch)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if !replace && path.exists() {
            return Err(io::Error::from(ErrorKind::AlreadyExists));
        }
        fs::rename(&scratch, path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(io_error("writing", path))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::public_key::PublicKeyError;

    fn head() -> DayHead {
        DayHead { day: date(2026, 3, 2), size: 7, root: [1; 32], streams: 2, streams_root: [2; 32] }
    }

    #[test]
    fn a_key_is_made_once_kept_from_others_and_its_public_part_checks_what_it_signs() {
        let dir = tempfile::tempdir().unwrap();
        let made = SigningKey::load_or_make(dir.path(), None).unwrap();
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = SigningKey::load_or_make(dir.path(), None).unwrap();
        let public = PublicKey::read(&dir.path().join(PUBLIC_FILE)).unwrap();
        assert_eq!((made.public(), again.public()), (public, public));
        let signed = made.sign(head()).unwrap();
        assert!(public.signed(&signed));
        let changes: [fn(&mut SignedHead); 7] = [
            |signed| signed.head.day = date(2026, 3, 3),
            |signed| signed.head.size += 1,
            |signed| signed.head.root[31] ^= 1,
            |signed| signed.head.streams += 1,
            |signed| signed.head.streams_root[0] ^= 1,
            |signed| signed.key[0] ^= 1,
            |signed| signed.signature[63] ^= 1,
        ];
        for change in changes {
            let mut changed = signed;
            change(&mut changed);
            assert!(!public.signed(&changed), "{changed:?}");
        }
        assert!(!SigningKey::ephemeral().unwrap().public().signed(&signed));
    }

    #[test]
    fn a_key_kept_elsewhere_goes_before_and_one_that_is_gone_is_not_made_again() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = SigningKey::load_or_make(dir.path(), None).unwrap();
        SigningKey::load_or_make(elsewhere.path(), None).unwrap();
        let kept = elsewhere.path().join(KEY_FILE);
        let other = SigningKey::load_or_make(dir.path(), Some(&kept)).unwrap();
        assert_ne!(own.public(), other.public());
        assert_eq!(PublicKey::read(&dir.path().join(PUBLIC_FILE)).unwrap(), other.public());
        fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let refused = SigningKey::load_or_make(dir.path(), None).unwrap_err();
        assert!(matches!(refused, SigningError::Gone { .. }), "{refused}");
        fs::write(&kept, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        let refused = SigningKey::load_or_make(dir.path(), Some(&kept)).unwrap_err();
        assert!(matches!(refused, SigningError::NoPrivateKey { .. }), "{refused}");
        assert!(matches!(PublicKey::read(&kept), Err(PublicKeyError::NoKey { .. })));
    }

    // As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` print it; the seed is that of RFC 8032, test 1.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    #[test]
    fn keys_of_other_tools_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, PEM).unwrap();
        let key = SigningKey::load_or_make(dir.path(), Some(&path)).unwrap();
        let known = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let hex: String = key.public().bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, known);
    }
}

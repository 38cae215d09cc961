//! The master key: it wraps every customer's key and is the one secret an operator must keep elsewhere.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KEY_LEN, KeysError, io_error, sync_dir};

/// A wrapped key: nonce, ciphertext, tag.
pub(super) const WRAPPED_LEN: usize = NONCE_LEN + KEY_LEN + 16;

/// What a wrapped key is for; bound into the wrapping, so that no key can stand in for another.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The keyed hashes.
    Index,
    /// One customer's sealed texts; the customer's id.
    Customer([u8; 16]),
}

impl Purpose {
    fn aad(self) -> Aad<[u8; 32]> {
        let (label, id): (&[u8; 16], [u8; 16]) = match self {
            Self::Index => (b"duban.index.v1\0\0", [0; 16]),
            Self::Customer(id) => (b"duban.customer.1", id),
        };
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(label);
        bytes[16..].copy_from_slice(&id);
        Aad::from(bytes)
    }
}

/// The key that wraps all others. It never leaves this type, and its memory is cleared when it is dropped.
pub struct MasterKey(LessSafeKey);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Reads the master key from `path`: 32 bytes in base64, as `openssl rand -base64 32` prints them.
    ///
    /// # Errors
    /// [`KeysError::Io`] when the file cannot be read, [`KeysError::MasterMalformed`] when it holds anything else.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|e| io_error("reading", path, e))?;
        let readable_by_others =
            fs::metadata(path).map_err(|e| io_error("reading", path, e))?.mode() & 0o077 != 0;
        if readable_by_others {
            tracing::warn!(path = %path.display(), "the master key can be read by other users: chmod 600 it");
        }
        let malformed = || KeysError::MasterMalformed { path: path.to_owned() };
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| malformed())?;
        Self::from_bytes(&bytes).ok_or_else(malformed)
    }

    /// Makes a new master key and writes it to `path`, readable by its owner only; synced before it is answered.
    ///
    /// # Errors
    /// [`KeysError::Io`] when the file exists or cannot be written.
    pub fn generate(path: &Path) -> Result<Self, KeysError> {
        let (master, text) = Self::fresh()?;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| io_error("writing", path, e))?;
        sync_dir(path)?;
        Ok(master)
    }

    /// A new master key, and what its file holds.
    pub(super) fn fresh() -> Result<(Self, Zeroizing<String>), KeysError> {
        let bytes = random_key()?;
        let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()) + "\n");
        Ok((Self::from_bytes(&*bytes).ok_or(KeysError::Crypto)?, text))
    }

    /// The master key of a data directory: from `configured` when an operator keeps it elsewhere, else from
    /// `DIR/master`, which is made when the directory holds no keys yet.
    ///
    /// # Errors
    /// [`KeysError::MasterMissing`] when keys exist but the master that wraps them is gone; else as [`Self::read`].
    pub fn load_or_generate(configured: Option<&Path>, keys_dir: &Path) -> Result<Self, KeysError> {
        if let Some(path) = configured {
            return Self::read(path);
        }
        let path = keys_dir.join("master");
        match fs::symlink_metadata(&path) {
            Ok(_) => Self::read(&path),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // A new master could unwrap nothing: making one here would look like a start and be a loss.
                if keys_dir.join(super::FILE_NAME).exists() {
                    return Err(KeysError::MasterMissing { path });
                }
                let master = Self::generate(&path)?;
                tracing::warn!(
                    path = %path.display(),
                    "made a master key beside the data it protects: move it elsewhere and name it with --master-key"
                );
                Ok(master)
            }
            Err(e) => Err(io_error("reading", &path, e)),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, bytes).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    pub(super) fn wrap(&self, purpose: Purpose, key: &[u8; KEY_LEN]) -> Result<[u8; WRAPPED_LEN], KeysError> {
        let mut wrapped = [0; WRAPPED_LEN];
        let (nonce, rest) = wrapped.split_at_mut(NONCE_LEN);
        SystemRandom::new().fill(nonce).map_err(|_| KeysError::Crypto)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeysError::Crypto)?;
        let (body, tag_place) = rest.split_at_mut(KEY_LEN);
        body.copy_from_slice(key);
        let tag =
            self.0.seal_in_place_separate_tag(nonce, purpose.aad(), body).map_err(|_| KeysError::Crypto)?;
        tag_place.copy_from_slice(tag.as_ref());
        Ok(wrapped)
    }

    /// None when this is not the key that wrapped it, or a byte has changed.
    pub(super) fn unwrap(
        &self,
        purpose: Purpose,
        wrapped: &[u8; WRAPPED_LEN],
    ) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let (nonce, rest) = wrapped.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let plain = self.0.open_in_place(nonce, purpose.aad(), &mut rest).ok()?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(plain);
        Some(key)
    }
}

/// 32 bytes from the operating system's generator.
pub(super) fn random_key() -> Result<Zeroizing<[u8; KEY_LEN]>, KeysError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    SystemRandom::new().fill(&mut *key).map_err(|_| KeysError::Crypto)?;
    Ok(key)
}

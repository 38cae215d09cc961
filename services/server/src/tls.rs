//! TLS for the listener.

use std::path::{Path, PathBuf};

use tonic::transport::{Identity, Server, ServerTlsConfig};

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The certificate or the key.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The files are not a certificate chain and its private key in PEM.
    #[error(
        "{certificate} and {key} are not a certificate chain in PEM and the private key that belongs to it"
    )]
    Unusable {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What the TLS library said.
        source: tonic::transport::Error,
    },
}

/// Chooses the cryptographic provider of this process, once; a choice made before stands. Without it the first TLS
/// connection panics as soon as a dependency brings a second provider.
pub fn install_provider() {
    // The client of a log on a cluster can only be used where it installed the provider itself, the same one; so it always does.
    let installed = duban_log::kurrentdb::install_tls_provider();
    if installed.is_err() && rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker; its choice is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Reads a certificate chain and its private key, both PEM, and checks that they can be served.
///
/// # Errors
/// [`TlsError`] names the files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<ServerTlsConfig, TlsError> {
    install_provider();
    let read =
        |path: &Path| std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
    let identity = Identity::from_pem(read(certificate)?, read(key)?);
    let config = ServerTlsConfig::new().identity(identity);
    // Tried here, so that a bad file is a refusal to start and not a failure of every handshake.
    Server::builder().tls_config(config.clone()).map_err(|source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_may_be_installed_again_and_again() {
        install_provider();
        install_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
        duban_log::kurrentdb::install_tls_provider().unwrap();
    }

    #[test]
    fn missing_and_broken_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let missing = server_config(&certificate, &key).unwrap_err();
        assert!(missing.to_string().contains("cert.pem"));
        std::fs::write(&certificate, "no certificate").unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert!(matches!(server_config(&certificate, &key), Err(TlsError::Unusable { .. })));
    }
}

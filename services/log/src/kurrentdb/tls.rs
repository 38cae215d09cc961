//! The process-wide TLS provider, which the client crate insists on installing itself.

use std::sync::OnceLock;

use eventstore::{Client, ClientSettings};
use rustls::crypto::CryptoProvider;

use crate::Error;

/// Connects nowhere: the certificates come from an empty file, and nothing is asked of the client.
const NOWHERE: &str = "esdb://127.0.0.1:1?tls=false&tlsCAFile=/dev/null";

/// The client's task runs at the first of these.
const YIELDS_MAX: u32 = 1000;

static INSTALLED: OnceLock<Result<(), &'static str>> = OnceLock::new();

/// Lets the client crate install its TLS provider (aws-lc) for the process, unless that was done.
///
/// eventstore 4.0.0 does so when the first client is made, even for plaintext, and panics when somebody was faster; every client made
/// after that panics too, for the rest of the process' life. [`super::KurrentLog::connect`] calls this. A program that installs a provider
/// elsewhere calls it first, at its start, and takes the refusal of its own installation, which says that there is one, for success.
///
/// # Errors
/// [`Error::Invalid`] when another provider was installed before: no client of that crate can be made in this process, and none is.
pub fn install_tls_provider() -> Result<(), Error> {
    let installed = INSTALLED.get_or_init(|| {
        if CryptoProvider::get_default().is_some() {
            return Err("was installed before the client of the log's servers could install its own; \
                        call duban_log::kurrentdb::install_tls_provider first");
        }
        // On a thread of its own: the caller may be inside a runtime, in which no other can be waited for.
        let installer = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let settings: ClientSettings = NOWHERE.parse().ok()?;
            runtime.block_on(async {
                let client = Client::new(settings).ok()?;
                // The client's task installs it when it first runs, and asks nothing of anybody before it is asked itself.
                for _ in 0..YIELDS_MAX {
                    if CryptoProvider::get_default().is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(client);
                Some(())
            })
        });
        match installer.join() {
            Ok(Some(())) if CryptoProvider::get_default().is_some() => Ok(()),
            _ => Err("could not be installed"),
        }
    });
    installed.map_err(|reason| Error::invalid("TLS provider", reason))
}

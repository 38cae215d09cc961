//! A TLS provider that was installed before: alone in its process, which has but one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use duban_log::Error;
use duban_log::kurrentdb::{KurrentLog, Options, Plain, install_tls_provider};

#[tokio::test]
async fn a_provider_that_is_there_already_is_told_and_nothing_panics() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    for _ in 0..2 {
        let error = install_tls_provider().unwrap_err();
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains("first"), "{error}");
        let options = Options::new(["office"]);
        let refused = KurrentLog::connect("esdb://127.0.0.1:1?tls=false", options, Arc::new(Plain)).await;
        assert_eq!(refused.map(|_| ()).unwrap_err().to_string(), error.to_string());
    }
}

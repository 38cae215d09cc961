//! A TLS provider that the log installed: alone in its process, which has but one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use duban_fake_kurrentdb::{Cluster, Config};
use duban_log::contract::{event, stream};
use duban_log::kurrentdb::{KurrentLog, Options, Plain, install_tls_provider};
use duban_log::{EventLog, Expected};

#[tokio::test]
async fn who_installs_a_provider_after_the_log_is_told_that_there_is_one_and_the_log_works() {
    install_tls_provider().unwrap();
    install_tls_provider().unwrap();
    assert!(rustls::crypto::aws_lc_rs::default_provider().install_default().is_err());
    let cluster = Cluster::start(Config::default()).await.unwrap();
    for n in 0..2_u64 {
        let options = Options::new(["office"]);
        let log = KurrentLog::connect(&cluster.url(), options, Arc::new(Plain)).await.unwrap();
        log.append(&stream("office"), Expected::after(n.checked_sub(1)), vec![event(n)]).await.unwrap();
        assert_eq!(log.head().size, n + 1);
    }
}

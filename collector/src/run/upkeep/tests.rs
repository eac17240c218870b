//! How the collector's own small tasks end.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, ManualClock};
use tokio::sync::watch;

use super::store_settings;
use crate::config;
use crate::store::{Store, StoreOptions};

#[tokio::test]
async fn a_configuration_that_nobody_changes_any_longer_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scrape.yml");
    std::fs::write(&file, "scrape_configs: []\n").unwrap();
    let (configs, config) = watch::channel(Arc::new(config::load(&file).unwrap()));
    let clock = Arc::new(ManualClock::at(0));
    let store = Arc::new(Store::open(folder.path(), StoreOptions::default(), clock).unwrap().0);
    let shutdown = CancellationToken::new();
    // As when the collector ends, whose tasks end in any order.
    drop(configs);
    let mut settings = tokio::spawn(store_settings(store, config, shutdown.clone()));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut settings).await.is_err(), "it waits for the end");
    shutdown.cancel();
    assert_eq!(settings.await.unwrap(), Ok(()));
}

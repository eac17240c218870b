//! A replica for tests that kill replicas: one service, as `REPLICA`, `REPLICA_ADDRESS`, `REPLICA_ADMIN`, `REPLICA_PEERS` and
//! `STORE_URL` say. Ends with its parent, whose end closes its input. For users there is `plimsoll shop serve`.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::Context;
use demo_services::chassis::Config;
use demo_services::service;
use lifecycle::CancellationToken;
use url::Url;

fn main() -> anyhow::Result<()> {
    let variable = |name: &'static str| std::env::var(name).with_context(|| format!("{name} is not set"));
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let mut config = Config::on_loopback(&variable("REPLICA")?);
    config.http = variable("REPLICA_ADDRESS")?.parse().context("REPLICA_ADDRESS")?;
    if let Ok(admin) = std::env::var("REPLICA_ADMIN") {
        config.admin = admin.parse().context("REPLICA_ADMIN")?;
    }
    config.store_url = std::env::var("STORE_URL").ok();
    let peers: BTreeMap<String, String> = serde_json::from_str(&variable("REPLICA_PEERS")?).context("REPLICA_PEERS")?;
    for (name, url) in peers {
        config.peers.insert(name, Url::parse(&url).context("REPLICA_PEERS")?);
    }
    let run =
        async { service::start(config, CancellationToken::new()).await?.run().await.map_err(anyhow::Error::from) };
    service::runtime()?.block_on(run)
}

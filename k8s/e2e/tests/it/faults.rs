//! Claims about fault isolation: whom the collector's API names while payment is out, whom it calls a victim, and who is spared.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::name;
use e2e::wait::until;
use protocol::faults::{Faults, FaultsClient, Role, Watch};
use serde_json::json;

use crate::harness::{SHOP, Stage};
use crate::shop::{RATE, few_errors};

/// Until what is usual under this load is known, and what was wrong before is over.
const CALM: Duration = Duration::from_secs(90);
/// So much load before payment goes: what is usual of each journey is learnt of some of each.
const BEFORE: Duration = Duration::from_secs(40);
/// From the fault to its name.
const NAMED_WITHIN: Duration = Duration::from_secs(30);
/// The order's own trouble shows when the orders' work comes to nothing, which takes some tries.
const VICTIM_WITHIN: Duration = Duration::from_secs(45);
/// All of the load.
const LOAD_SECONDS: u64 = 150;
/// Who does not need payment.
const UNHARMED: [&str; 3] = ["browse", "search", "sign-in"];
const UNAFFECTED: [&str; 3] = ["product", "search", "user"];

/// How payment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It answers errors.
    Errs,
    /// It is gone.
    Deleted,
}

/// Payment answers every request with an error.
pub async fn payment_errs(stage: &Stage) -> anyhow::Result<Verdict> {
    outage(stage, Outage::Errs).await
}

/// Payment has no pod any more.
pub async fn payment_deleted(stage: &Stage) -> anyhow::Result<Verdict> {
    outage(stage, Outage::Deleted).await
}

async fn outage(stage: &Stage, outage: Outage) -> anyhow::Result<Verdict> {
    let load = stage.load("faults", RATE, LOAD_SECONDS).await?;
    let begun = Instant::now();
    let collector = stage.collector().await?;
    let api = FaultsClient::new(collector.url().clone());
    until("nobody to be suspected, and what is usual to be known", CALM, async || {
        let faults = ask(&api).await?;
        let is_calm = faults.watch == Watch::Watching && faults.suspects.is_empty();
        if is_calm && begun.elapsed() >= BEFORE { Ok(()) } else { Err(faults.verdict) }
    })
    .await?;
    switch(stage, outage, true).await?;
    let out = Instant::now();
    let seen = watch(&api, out).await;
    // Whatever was seen, payment is brought back: other claims need it.
    switch(stage, outage, false).await.context("payment cannot be brought back")?;
    let (named, sentence) = seen?;
    let report = load.finish().await?;
    let words = few_errors(&report, &UNHARMED)?;
    holds(format!("payment named after {named:.0} s, order a victim; {words}; \"{sentence}\""))
}

async fn ask(api: &FaultsClient) -> Result<Faults, String> {
    api.faults().await.map_err(|error| error.to_string())
}

/// Waits until payment is named first and order is its victim, and sees who is spared: after how many seconds, and the verdict.
async fn watch(api: &FaultsClient, out: Instant) -> anyhow::Result<(f64, String)> {
    let first = |faults: &Faults| faults.suspects.first().is_some_and(|suspect| suspect.service == "payment");
    until("payment to be named first", NAMED_WITHIN, async || {
        let faults = ask(api).await?;
        if first(&faults) { Ok(()) } else { Err(faults.verdict) }
    })
    .await?;
    let named = out.elapsed().as_secs_f64();
    let faults = until("order to be a victim of payment", VICTIM_WITHIN.saturating_sub(out.elapsed()), async || {
        let faults = ask(api).await?;
        let is_victim = faults.services.iter().any(|service| {
            service.service == "order" && service.role == Role::Victim && service.because_of == "payment"
        });
        if first(&faults) && is_victim { Ok(faults) } else { Err(faults.verdict) }
    })
    .await?;
    for spared in UNAFFECTED {
        let role = faults.services.iter().find(|service| service.service == spared).map(|service| service.role);
        if role != Some(Role::Unaffected) {
            bail!("{spared} is {role:?}: {}", faults.verdict);
        }
    }
    Ok((named, faults.verdict))
}

async fn switch(stage: &Stage, outage: Outage, on: bool) -> anyhow::Result<()> {
    if outage == Outage::Deleted {
        let replicas = if on { "--replicas=0" } else { "--replicas=1" };
        stage.kubectl.run(&["scale", "deployment", "-n", SHOP, "payment", replicas]).await?;
        return Ok(());
    }
    for pod in stage.pods("payment").await? {
        let url = stage.api(&format!("/api/v1/namespaces/{SHOP}/pods/{}:9901/proxy/faults/error", name(&pod)));
        let request = if on { stage.http.put(url).json(&json!({"value": "1"})) } else { stage.http.delete(url) };
        request.send().await?.error_for_status()?;
    }
    Ok(())
}

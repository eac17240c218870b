//! Claims about what operators ask of the autoscaler's API: who may, and that a pause is the policy's own, whoever leads.

use std::time::Duration;

use anyhow::bail;
use e2e::claims::{Verdict, holds};
use e2e::kubectl::text;
use e2e::wait::until;
use protocol::scaling::{ObjectName, ScalingClient};

use crate::harness::{SHOP, Stage};
use crate::scaling::{SCALED, by_requests};

/// Until a watch has told of a change.
const TOLD: Duration = Duration::from_secs(15);

/// A pause needs the token, is answered when the object has it, and ends where the object says so.
pub async fn pause_is_kept(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.policy(SCALED, &by_requests()).await?;
    let way = stage.autoscaler().await?;
    let stranger = ScalingClient::new(way.url().clone());
    let operator = stranger.clone().with_token(Some(stage.api_token().await?));
    let policy = ObjectName { namespace: SHOP.to_owned(), name: SCALED.to_owned() };
    let is_paused = async || -> Result<bool, String> {
        let policies = stranger.policies().await.map_err(|error| error.to_string())?;
        let known = policies.into_iter().find(|known| known.policy == policy);
        known.map(|known| known.paused).ok_or("the policy is not known yet".to_owned())
    };
    until("the autoscaler to know the policy", TOLD, async || is_paused().await).await?;
    let refused = match stranger.pause(&policy).await {
        Ok(_) => bail!("a pause was taken from who has no token"),
        Err(error) => error.to_string(),
    };
    if !refused.contains("401") {
        bail!("who has no token is answered: {refused}");
    }
    operator.pause(&policy).await?;
    let object = stage.kubectl.json(&["get", "scalingpolicy", "-n", SHOP, SCALED]).await?;
    let said = text(&object, "/metadata/annotations/plimsoll.dev~1paused");
    if said != "true" {
        bail!("it was answered before the object had it: the annotation says {said:?}");
    }
    stage.kubectl.run(&["annotate", "scalingpolicy", "-n", SHOP, SCALED, "plimsoll.dev/paused-"]).await?;
    until("the autoscaler to see that its owner resumed it", TOLD, async || {
        if is_paused().await? { Err("it is paused".to_owned()) } else { Ok(()) }
    })
    .await?;
    holds("paused by the API with the token, resumed by kubectl; without the token: 401".to_owned())
}

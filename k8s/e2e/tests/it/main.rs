//! The end-to-end suite: Plimsoll and the shop on a real cluster, claim by claim in a fixed order, since all share one
//! deployment. Runs only when `PLIMSOLL_E2E_KUBECONFIG` names a cluster; see k8s/e2e/README.md. Start at `CLAIMS`.

mod blackout;
mod commands;
mod deployment;
mod faults;
mod harness;
mod leader;
mod node;
mod resize;
mod rights;
mod rollout;
mod scaling;
mod shop;

use std::process::ExitCode;

use e2e::claims::{self, Claim, Tally};
use e2e::settings::Settings;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::Stage;

/// In the order in which they are tried: what disturbs most comes last.
const CLAIMS: [Claim<Stage>; 32] = [
    Claim { name: "the chart comes up", needed: true, check: |s| Box::pin(deployment::chart_comes_up(s)) },
    Claim { name: "the shop comes up", needed: true, check: |s| Box::pin(deployment::shop_comes_up(s)) },
    Claim { name: "every manifest is accepted", needed: false, check: |s| Box::pin(deployment::dry_runs(s)) },
    Claim { name: "restricted pod security", needed: false, check: |s| Box::pin(deployment::pods_are_restricted(s)) },
    Claim { name: "journeys are served", needed: false, check: |s| Box::pin(shop::journeys(s)) },
    Claim { name: "every pod is scraped", needed: false, check: |s| Box::pin(shop::every_pod_is_scraped(s)) },
    Claim { name: "traces are whole", needed: false, check: |s| Box::pin(shop::traces_are_whole(s)) },
    Claim { name: "rights: nothing beyond need", needed: false, check: |s| Box::pin(rights::nothing_beyond_need(s)) },
    Claim { name: "rights: writes are fenced", needed: false, check: |s| Box::pin(rights::writes_are_fenced(s)) },
    Claim { name: "rights: no field but its own", needed: false, check: |s| Box::pin(rights::only_its_fields(s)) },
    Claim { name: "commands: a pause is kept", needed: false, check: |s| Box::pin(commands::pause_is_kept(s)) },
    Claim { name: "policies: bad ones are refused", needed: false, check: |s| Box::pin(scaling::bad_policies(s)) },
    Claim {
        name: "policies: one steers its own namespace only",
        needed: false,
        check: |s| Box::pin(rights::own_namespace(s)),
    },
    Claim { name: "scaling: one, many, one", needed: false, check: |s| Box::pin(scaling::one_many_one(s)) },
    Claim { name: "scaling: kubectl get shows it", needed: false, check: |s| Box::pin(scaling::get_shows(s)) },
    Claim {
        name: "scaling: kubectl describe shows it",
        needed: false,
        check: |s| Box::pin(scaling::describe_shows(s)),
    },
    Claim {
        name: "scaling: beside an HPA it keeps off",
        needed: false,
        check: |s| Box::pin(scaling::beside_an_hpa(s)),
    },
    Claim { name: "resize: in place", needed: false, check: |s| Box::pin(resize::in_place(s)) },
    Claim { name: "resize: new pods at the planned size", needed: false, check: |s| Box::pin(resize::new_pods(s)) },
    Claim { name: "resize: deferred and granted later", needed: false, check: |s| Box::pin(resize::deferred(s)) },
    Claim { name: "resize: what no node can hold", needed: false, check: |s| Box::pin(resize::infeasible(s)) },
    Claim { name: "rollout: every service under load", needed: false, check: |s| Box::pin(rollout::every_service(s)) },
    Claim { name: "rollout: a bad image", needed: false, check: |s| Box::pin(rollout::bad_image(s)) },
    Claim {
        name: "rollout: a version that never becomes ready",
        needed: false,
        check: |s| Box::pin(rollout::never_ready(s)),
    },
    Claim { name: "faults: payment errs", needed: false, check: |s| Box::pin(faults::payment_errs(s)) },
    Claim { name: "faults: payment is deleted", needed: false, check: |s| Box::pin(faults::payment_deleted(s)) },
    Claim { name: "crash: payment", needed: false, check: |s| Box::pin(shop::crash_of_payment(s)) },
    Claim { name: "crash: recommendation", needed: false, check: |s| Box::pin(shop::crash_of_recommendation(s)) },
    Claim { name: "leader: killed", needed: false, check: |s| Box::pin(leader::killed(s)) },
    Claim { name: "leader: handed over", needed: false, check: |s| Box::pin(leader::handed_over(s)) },
    Claim { name: "blackout: of the collector", needed: false, check: |s| Box::pin(blackout::of_the_collector(s)) },
    Claim { name: "blackout: of the API server", needed: false, check: |s| Box::pin(blackout::of_the_api_server(s)) },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("e2e: test");
        return ExitCode::SUCCESS;
    }
    let Some(settings) = Settings::from_environment() else {
        eprintln!(
            "\n*** SKIPPED: the end-to-end suite needs a cluster: set PLIMSOLL_E2E_KUBECONFIG (k8s/e2e/README.md) ***\n"
        );
        return ExitCode::SUCCESS;
    };
    // libtest's own flags mean nothing here.
    let words: Vec<String> = arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(settings, &words)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(tally) => conclude(&tally),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings, words: &[String]) -> anyhow::Result<Tally> {
    let keep = settings.keep;
    let stage = Stage::open(settings).await?;
    let tally = tokio::select! {
        tally = claims::run(&CLAIMS, words, &stage) => Ok(tally),
        () = asked_to_stop() => Err(anyhow::anyhow!("interrupted")),
    };
    if keep {
        println!("PLIMSOLL_E2E_KEEP: everything is left in place");
    } else {
        println!("cleaning up ...");
        stage.clear().await?;
    }
    tally
}

/// Ctrl-C, or the end of the job that the suite runs in: what it made is removed then too.
async fn asked_to_stop() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn conclude(tally: &Tally) -> ExitCode {
    println!("\n{} claims hold, {} failed, {} skipped", tally.held, tally.failed.len(), tally.skipped.len());
    for name in &tally.skipped {
        println!("  skipped: {name}");
    }
    for name in &tally.failed {
        println!("  FAILED: {name}");
    }
    if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

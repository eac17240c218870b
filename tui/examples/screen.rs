//! The screen on a made-up shop, to try it by hand without one: `cargo run -p tui --example screen -- payment`. The
//! argument is `well`, `payment`, `hang` (answers for ten seconds, then hangs), `down` or `foreign`. Not part of the product.

#[path = "../tests/it/fake.rs"]
mod fake;

use std::sync::atomic::Ordering;
use std::time::Duration;

use lifecycle::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, switches) = fake::start().await;
    let scenario = std::env::args().nth(1).unwrap_or_else(|| "well".to_owned());
    switches.judges_faults.store(true, Ordering::SeqCst);
    match scenario.as_str() {
        "payment" => switches.payment_fails.store(true, Ordering::SeqCst),
        "foreign" => switches.is_foreign.store(true, Ordering::SeqCst),
        "hang" | "down" | "panic" => {
            let later = switches.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                assert_ne!(scenario, "panic", "this is what a panic looks like");
                let switch = if scenario == "hang" { &later.hangs } else { &later.fails };
                switch.store(true, Ordering::SeqCst);
            });
        }
        _ => {}
    }
    let url: url::Url = format!("http://{address}").parse()?;
    let autoscaler = (!switches.is_foreign.load(Ordering::SeqCst)).then(|| url.clone().into());
    let title = "made-up shop".to_owned();
    let options = tui::Options { collector: url.into(), autoscaler, api_token: None, no_color: false, title };
    let shutdown = CancellationToken::new();
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        let kind = tokio::signal::unix::SignalKind::terminate();
        if let Ok(mut terminate) = tokio::signal::unix::signal(kind) {
            terminate.recv().await;
            on_signal.cancel();
        }
    });
    tui::run(options, shutdown).await?;
    Ok(())
}

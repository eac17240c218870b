//! Claims about how tasks end.

use std::convert::Infallible;

use super::*;

async fn until_cancelled(token: CancellationToken) -> Result<(), Infallible> {
    token.cancelled().await;
    Ok(())
}

#[tokio::test]
async fn shutdown_ends_all_tasks_well() {
    let mut supervisor = Supervisor::new(CancellationToken::new());
    let token = supervisor.shutdown();
    supervisor.spawn("a", until_cancelled(token.clone()));
    supervisor.spawn("b", until_cancelled(token.clone()));
    token.cancel();
    assert!(supervisor.run().await.is_ok());
}

#[tokio::test]
async fn without_tasks_only_shutdown_is_waited_for() {
    let supervisor = Supervisor::new(CancellationToken::new());
    let token = supervisor.shutdown();
    let mut run = Box::pin(supervisor.run());
    assert!(glance(&mut run).await.is_none());
    token.cancel();
    assert!(run.await.is_ok());
}

/// What a future has to say after one look at it.
async fn glance<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = tokio::task::yield_now() => None,
    }
}

#[tokio::test]
async fn one_failing_task_stops_the_others_and_is_named() {
    let mut supervisor = Supervisor::new(CancellationToken::new());
    let token = supervisor.shutdown();
    supervisor.spawn("steady", until_cancelled(token.clone()));
    supervisor.spawn("scraper", async { Err("disk full") });
    let ended = supervisor.run().await.unwrap_err();
    assert_eq!(ended.to_string(), "scraper failed: disk full");
    assert!(token.is_cancelled());
}

#[tokio::test]
async fn a_panic_is_reported_with_its_message() {
    let mut supervisor = Supervisor::new(CancellationToken::new());
    supervisor.spawn("store", async {
        if true {
            panic!("torn");
        }
        Ok::<(), Infallible>(())
    });
    assert_eq!(supervisor.run().await.unwrap_err().to_string(), "store panicked: torn");
}

#[tokio::test]
async fn a_task_that_returns_too_soon_is_an_error() {
    let mut supervisor = Supervisor::new(CancellationToken::new());
    supervisor.spawn("api", async { Ok::<(), Infallible>(()) });
    assert_eq!(supervisor.run().await.unwrap_err().to_string(), "api ended although nobody asked it to");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_shutdown_is_dropped_at_the_deadline() {
    let mut supervisor = Supervisor::new(CancellationToken::new()).with_deadline(Duration::from_secs(3));
    supervisor.spawn("stuck", std::future::pending::<Result<(), Infallible>>());
    supervisor.shutdown().cancel();
    assert!(supervisor.run().await.is_ok());
}

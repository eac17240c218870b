//! Waits: each has a deadline, and says what it waited for and what it saw last. Never sleeps to be safe.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks: often enough for a person, seldom enough for a small API server.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks until `look` gives something, at most so long. What it gives instead is what it saw.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let seen = match look().await {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if begun.elapsed() >= patience {
            bail!("waited {} s for: {what}; saw last: {seen}", patience.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks for so long and fails at the first look that gives a breach. Gives how often it looked.
pub async fn throughout(
    what: &str,
    duration: Duration,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) -> anyhow::Result<u32> {
    let begun = Instant::now();
    let mut looks = 0;
    while begun.elapsed() < duration {
        if let Err(breach) = look().await {
            bail!("{what}: broken after {:.1} s: {breach}", begun.elapsed().as_secs_f64());
        }
        looks += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_fails_says_for_what_and_what_it_saw() {
        let failure = until::<()>("three replicas", Duration::ZERO, async || Err("two".to_owned())).await.unwrap_err();
        assert_eq!(failure.to_string(), "waited 0 s for: three replicas; saw last: two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_what_was_found() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_secs(60), async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(looks.to_string()) }
        });
        assert_eq!(found.await.unwrap(), 3);
    }
}

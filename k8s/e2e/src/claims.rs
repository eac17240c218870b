//! Runs claims one after the other and prints what each saw. A claim that fails, panics or hangs costs only itself, unless
//! those after it stand on it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::FutureExt;

/// No claim needs so long; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(900);

/// What came of a claim that was not broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds; with the figures seen.
    Holds(String),
    /// It could not be tried; with what is missing.
    Skipped(String),
}

/// `Ok(Verdict::Holds(..))` from the figures seen.
pub fn holds(figures: impl Into<String>) -> anyhow::Result<Verdict> {
    Ok(Verdict::Holds(figures.into()))
}

/// `Ok(Verdict::Skipped(..))` from what is missing.
pub fn skipped(missing: impl Into<String>) -> anyhow::Result<Verdict> {
    Ok(Verdict::Skipped(missing.into()))
}

/// A claim being tried.
pub type Trial<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Verdict>> + 'a>>;

/// Something that must hold of a `S`.
pub struct Claim<S> {
    /// In words, which also select it on the command line.
    pub name: &'static str,
    /// Whether those after it stand on it: it is always tried, and when it fails, nothing after it is.
    pub needed: bool,
    /// How it is tried.
    pub check: for<'a> fn(&'a S) -> Trial<'a>,
}

/// Around every claim.
pub trait Surroundings {
    /// Before each claim: puts back what an earlier one may have left behind.
    fn prepare(&self) -> impl Future<Output = anyhow::Result<()>>;
    /// After a claim that failed: what someone who looks for the cause wants to see.
    fn describe(&self) -> impl Future<Output = String>;
}

/// How all claims went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// These hold.
    pub held: usize,
    /// Names of those that do not.
    pub failed: Vec<&'static str>,
    /// Names of those that could not be tried.
    pub skipped: Vec<&'static str>,
}

/// Tries the claims whose name holds one of the words (all when there are none), and those that are needed.
pub async fn run<S: Surroundings>(claims: &[Claim<S>], words: &[String], stage: &S) -> Tally {
    let mut tally = Tally::default();
    for claim in claims {
        let wanted = words.is_empty() || words.iter().any(|word| claim.name.contains(word.as_str()));
        if !wanted && !claim.needed {
            continue;
        }
        println!("claim: {} ...", claim.name);
        let begun = Instant::now();
        let outcome = attempt(claim, stage).await;
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(Verdict::Holds(figures)) => {
                println!("    holds ({seconds:.1} s): {figures}");
                tally.held += 1;
            }
            Ok(Verdict::Skipped(missing)) => {
                println!("    SKIPPED: {missing}");
                tally.skipped.push(claim.name);
            }
            Err(why) => {
                println!("    FAILED ({seconds:.1} s): {why}");
                println!("{}", stage.describe().await);
                tally.failed.push(claim.name);
                if claim.needed {
                    println!("nothing after it can be tried");
                    break;
                }
            }
        }
    }
    tally
}

async fn attempt<S: Surroundings>(claim: &Claim<S>, stage: &S) -> Result<Verdict, String> {
    let trial = async {
        if !claim.needed {
            stage.prepare().await.map_err(|error| error.context("before the claim was tried"))?;
        }
        (claim.check)(stage).await
    };
    let caught = AssertUnwindSafe(tokio::time::timeout(PATIENCE, trial)).catch_unwind().await;
    match caught {
        Ok(Ok(Ok(verdict))) => Ok(verdict),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(_)) => Err(format!("did not end within {} s", PATIENCE.as_secs())),
        Err(_) => Err("panicked; its words stand above".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Surroundings for Nothing {
        async fn prepare(&self) -> anyhow::Result<()> {
            Ok(())
        }
        async fn describe(&self) -> String {
            String::new()
        }
    }

    const CLAIMS: [Claim<Nothing>; 5] = [
        Claim { name: "ground", needed: true, check: |_| Box::pin(async { holds("1") }) },
        Claim { name: "breaks", needed: false, check: |_| Box::pin(async { anyhow::bail!("no") }) },
        Claim { name: "panics", needed: false, check: |_| Box::pin(async { panic!("on purpose, in a test") }) },
        Claim { name: "lacks", needed: false, check: |_| Box::pin(async { skipped("a hook") }) },
        Claim { name: "last", needed: false, check: |_| Box::pin(async { holds("2") }) },
    ];

    #[tokio::test]
    async fn a_failed_claim_costs_only_itself() {
        let tally = run(&CLAIMS, &[], &Nothing).await;
        assert_eq!(tally, Tally { held: 2, failed: vec!["breaks", "panics"], skipped: vec!["lacks"] });
    }

    #[tokio::test]
    async fn words_select_and_what_is_needed_is_tried_anyway() {
        let tally = run(&CLAIMS, &["last".to_owned()], &Nothing).await;
        assert_eq!(tally, Tally { held: 2, ..Tally::default() });
    }
}

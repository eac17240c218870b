//! The regular customers: signed in once, with a card the shop knows, and then shared by the journeys that need one.
//! Signing in for each journey would make password hashing the shop's main business.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::client::{Client, Failure};
use crate::contract::{Card, CardToken, Session, SignIn};
use crate::user::{DEMO_PASSWORD, DEMO_USERS, demo_email};

/// Regular customers. Each costs a password hash before the load begins.
const REGULARS: usize = 12;

/// A customer who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Regular {
    pub token: String,
    /// Stands for the card.
    pub card: String,
}

/// The regular customers by number; those not signed in are none.
#[derive(Debug)]
pub(super) struct Wallet {
    emails: Vec<String>,
    regulars: Mutex<Vec<Option<Regular>>>,
}

impl Wallet {
    pub fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let emails = (0..REGULARS).map(|_| demo_email(dice.random_range(1..=DEMO_USERS))).collect();
        Self { emails, regulars: Mutex::new(vec![None; REGULARS]) }
    }

    /// Signs everybody in; who fails is signed in by the first journey that needs them.
    pub async fn prepare(&self, client: &Client) {
        let mut signing_in: FuturesUnordered<_> = (0..REGULARS).map(|number| self.regular(number, client)).collect();
        let mut failed = None;
        while let Some(result) = signing_in.next().await {
            failed = result.err().or(failed);
        }
        if let Some(failure) = failed {
            tracing::warn!(reason = failure.reason, "not all regular customers could be signed in");
        }
    }

    /// Somebody signed in, with the number to give to [`Wallet::forget`].
    pub async fn any(&self, dice: &mut StdRng, client: &Client) -> Result<(usize, Regular), Failure> {
        let number = dice.random_range(0..REGULARS);
        Ok((number, self.regular(number, client).await?))
    }

    /// The session has ended; the next journey signs in again.
    pub fn forget(&self, number: usize) {
        if let Some(regular) = self.regulars.lock().get_mut(number) {
            *regular = None;
        }
    }

    async fn regular(&self, number: usize, client: &Client) -> Result<Regular, Failure> {
        let known = self.regulars.lock()[number].clone();
        if let Some(regular) = known {
            return Ok(regular);
        }
        let claimed = SignIn { email: self.emails[number].clone(), password: DEMO_PASSWORD.to_owned() };
        let session: Session = client.post("/api/sessions", &claimed).send().await?;
        let card: CardToken = client.post("/api/cards", &demo_card()).token(&session.token).send().await?;
        let regular = Regular { token: session.token, card: card.token };
        self.regulars.lock()[number] = Some(regular.clone());
        Ok(regular)
    }
}

/// The number that every card processor reserves for tests, valid for some two years from now.
fn demo_card() -> Card {
    const SECONDS_A_YEAR: u64 = 31_556_952;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let year = 1970 + since_1970 / SECONDS_A_YEAR + 2;
    Card { number: "4242424242424242".to_owned(), expiry: format!("12/{:02}", year % 100), cvc: "123".to_owned() }
}

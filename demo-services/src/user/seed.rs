//! Demo data: accounts that the shoppers sign in to at once. They share one password and one hash, which no real account
//! may; it makes seeding cost one hash.

use super::accounts::Accounts;
use super::password::Passwords;
use crate::chassis::AppError;
use crate::contract::User;

/// How many demo accounts there are.
pub const DEMO_USERS: u32 = 500;
/// The password of all of them.
pub const DEMO_PASSWORD: &str = "a-demo-password";

/// The address of a demo account, numbered from 1: `shopper-0001@example.com`.
pub fn demo_email(number: u32) -> String {
    format!("shopper-{number:04}@example.com")
}

/// Adds the demo accounts that are not there yet.
pub(super) async fn demo_users(accounts: &Accounts, passwords: &Passwords, now_ms: i64) -> Result<(), AppError> {
    if accounts.by_email(&demo_email(DEMO_USERS)).await?.is_some() {
        return Ok(());
    }
    let hash = passwords.hash(DEMO_PASSWORD.to_owned()).await?;
    let users: Vec<User> = (1..=DEMO_USERS)
        .map(|number| User {
            id: format!("shopper-{number:04}"),
            email: demo_email(number),
            name: format!("Shopper {number}"),
        })
        .collect();
    Ok(accounts.add_missing(&users, &hash, now_ms).await?)
}

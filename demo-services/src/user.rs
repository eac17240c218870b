//! Accounts, passwords, tokens. Signing in takes as long and says the same whether an address is known or not.

mod accounts;
mod password;
mod seed;
mod token;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use lifecycle::Supervisor;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use self::accounts::Accounts;
use self::password::Passwords;
pub use self::seed::{DEMO_PASSWORD, DEMO_USERS, demo_email};
pub use self::token::Tokens;
use crate::chassis::{AppError, Context, Json, SignedIn, StartError};
use crate::contract::{ProfileChange, Session, SignIn, SignUp, User};

/// RFC 5321, 4.5.3.1: a path has at most 256 characters with its angle brackets.
const EMAIL_MAX: usize = 254;
const NAME_MAX: usize = 100;
/// NIST SP 800-63B, 3.1.1.2: at least 8; at least 64 must be allowed, and a bound keeps hashing from being abused.
const PASSWORD_MIN: usize = 8;
const PASSWORD_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone)]
struct Users {
    accounts: Accounts,
    passwords: Passwords,
    tokens: Tokens,
    sign_ins: Family<Outcome, Counter>,
    context: Context,
}

/// Starts the service.
pub async fn start(context: &Context, _: &mut Supervisor) -> Result<Router, StartError> {
    let tokens = Tokens::new(context.config().token_secret()?);
    let accounts = Accounts::new(context.store(&accounts::MIGRATIONS).await?);
    let passwords = Passwords::default();
    seed::demo_users(&accounts, &passwords, context.clock().now_ms())
        .await
        .map_err(|error| StartError::other("cannot seed the demo users", error))?;
    let sign_ins = Family::default();
    context.metrics().register(|registry| {
        registry.register("user_sign_ins", "Attempts to sign in, by outcome", sign_ins.clone());
    });
    let users = Users { accounts, passwords, tokens, sign_ins, context: context.clone() };
    Ok(Router::new()
        .route("/users", post(sign_up))
        .route("/users/me", get(profile).patch(change_profile))
        .route("/sessions", post(sign_in))
        .with_state(users))
}

async fn sign_up(State(users): State<Users>, Json(wanted): Json<SignUp>) -> Result<(StatusCode, Json<User>), AppError> {
    let user = User {
        id: uuid::Uuid::now_v7().to_string(),
        email: checked_email(&wanted.email)?,
        name: checked_name(&wanted.name)?,
    };
    checked_password(&wanted.password)?;
    let hash = users.passwords.hash(wanted.password).await?;
    if users.accounts.add(&user, &hash, users.context.clock().now_ms()).await? {
        return Ok((StatusCode::CREATED, Json(user)));
    }
    Err(AppError::conflict("address_taken", "there is an account with this address"))
}

async fn sign_in(State(users): State<Users>, Json(claimed): Json<SignIn>) -> Result<Json<Session>, AppError> {
    let email = claimed.email.trim().to_lowercase();
    let account = if email.len() > EMAIL_MAX { None } else { users.accounts.by_email(&email).await? };
    let (id, hash) = account.map_or((None, None), |account| (Some(account.id), Some(account.password_hash)));
    let matches =
        claimed.password.chars().count() <= PASSWORD_MAX && users.passwords.verify(claimed.password, hash).await?;
    let Some(id) = id.filter(|_| matches) else {
        users.sign_ins.get_or_create(&Outcome { outcome: "refused" }).inc();
        return Err(AppError::unauthorized("address or password is wrong"));
    };
    users.sign_ins.get_or_create(&Outcome { outcome: "ok" }).inc();
    Ok(Json(users.tokens.issue(&id, users.context.clock().now_ms()).map_err(AppError::internal)?))
}

async fn profile(State(users): State<Users>, SignedIn(id): SignedIn) -> Result<Json<User>, AppError> {
    users.accounts.by_id(&id).await?.map(Json).ok_or_else(|| AppError::not_found("such user"))
}

async fn change_profile(
    State(users): State<Users>,
    SignedIn(id): SignedIn,
    Json(change): Json<ProfileChange>,
) -> Result<Json<User>, AppError> {
    let name = checked_name(&change.name)?;
    users.accounts.rename(&id, &name).await?.map(Json).ok_or_else(|| AppError::not_found("such user"))
}

/// Whether mail can be sent there is for the mail to find out; this only refuses what is no address.
fn checked_email(email: &str) -> Result<String, AppError> {
    let email = email.trim().to_lowercase();
    let fits = email.len() <= EMAIL_MAX && !email.contains(|c: char| c.is_whitespace() || c.is_control());
    match email.split_once('@') {
        Some((local, domain)) if fits && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => Ok(email),
        _ => Err(AppError::invalid("email: expected an address such as name@example.com")),
    }
}

fn checked_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    if (1..=NAME_MAX).contains(&name.chars().count()) && !name.contains(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(AppError::invalid(format!("name: expected 1 to {NAME_MAX} characters")))
}

fn checked_password(password: &str) -> Result<(), AppError> {
    if (PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()) {
        return Ok(());
    }
    Err(AppError::invalid(format!("password: expected {PASSWORD_MIN} to {PASSWORD_MAX} characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_address_and_ignores_case() {
        for wrong in ["", "@", "a@", "@b", "a b@c", "a@b@c", "a@\u{0}b", &format!("{}@x", "a".repeat(260))] {
            assert!(checked_email(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(checked_email(" Ann@Example.COM ").unwrap(), "ann@example.com");
    }

    #[test]
    fn counts_characters_not_bytes() {
        assert!(checked_password("pässwörd").is_ok());
        assert!(checked_password("päswörd").is_err());
        assert!(checked_name(&"ü".repeat(100)).is_ok());
        assert!(checked_name("  ").is_err());
    }
}

//! Signed session tokens (JWT, HS256). Issued by the user service, checked by the gateway; both know the same secret.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::contract::Session;

/// A session's length: an afternoon's shopping.
const SESSION_SECONDS: u64 = 4 * 60 * 60;
/// Clocks of two machines may differ by this much; RFC 7519, 4.1.4 allows "a few minutes".
const LEEWAY_SECONDS: u64 = 30;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: u64,
    exp: u64,
}

/// Issues and checks tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Keys>);

struct Keys {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// With the secret that signs.
    pub fn new(secret: &str) -> Self {
        // Only this algorithm: a token may not choose how it is checked.
        let mut validation = Validation::new(Algorithm::HS256);
        // Checked by the replica's own clock below, and not by the machine's.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        let (signing, checking) =
            (EncodingKey::from_secret(secret.as_bytes()), DecodingKey::from_secret(secret.as_bytes()));
        Self(Arc::new(Keys { signing, checking, validation }))
    }

    /// A session for a user.
    pub fn issue(&self, user_id: &str, now_ms: i64) -> Result<Session, jsonwebtoken::errors::Error> {
        let now = u64::try_from(now_ms).unwrap_or(0) / 1000;
        let claims = Claims { sub: user_id.to_owned(), iat: now, exp: now + SESSION_SECONDS };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.0.signing)?;
        Ok(Session { token, expires_in_seconds: SESSION_SECONDS })
    }

    /// The user a token was issued to, if it is one of ours and still good.
    pub fn user(&self, token: &str, now_ms: i64) -> Option<String> {
        let claims = decode::<Claims>(token, &self.0.checking, &self.0.validation).ok()?.claims;
        let now = u64::try_from(now_ms).unwrap_or(0) / 1000;
        (now <= claims.exp.saturating_add(LEEWAY_SECONDS)).then_some(claims.sub)
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{Clock, SystemClock};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let tokens = Tokens::new(SECRET);
        let now = SystemClock.now_ms();
        assert_eq!(tokens.user(&tokens.issue("u-1", now).unwrap().token, now).as_deref(), Some("u-1"));
        let (session, late) = (tokens.issue("u-1", now).unwrap().token, now + 4 * 60 * 60 * 1000);
        assert_eq!(tokens.user(&session, late + 29_000).as_deref(), Some("u-1"), "clocks may differ a little");
        assert_eq!(tokens.user(&session, late + 32_000), None);
    }

    #[test]
    fn another_secret_another_algorithm_and_a_changed_token_are_refused() {
        let tokens = Tokens::new(SECRET);
        let now = SystemClock.now_ms();
        let other = Tokens::new("fedcba9876543210fedcba9876543210").issue("u-1", now).unwrap();
        assert_eq!(tokens.user(&other.token, now), None);
        // {"alg":"none"} with the claims of a good token and no signature.
        let good = tokens.issue("u-1", now).unwrap().token;
        let claims = good.split('.').nth(1).unwrap();
        assert_eq!(tokens.user(&format!("eyJhbGciOiJub25lIn0.{claims}."), now), None);
        assert_eq!(tokens.user(&good.replacen('.', ".A", 1), now), None);
        assert_eq!(tokens.user("", now), None);
    }
}

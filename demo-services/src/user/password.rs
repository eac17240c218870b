//! Password hashes: argon2id, one or two at a time so that memory stays small, and off the threads that serve.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OnceCell, Semaphore};

use crate::chassis::AppError;

/// OWASP's Password Storage Cheat Sheet: argon2id with at least 19 MiB of memory, 2 iterations and 1 degree of parallelism.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
/// Hashes computed at the same time: 38 MiB at most, and a replica of this shop has less than one core anyway.
const AT_ONCE: usize = 2;

/// Hashes and verifies.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// The hash that an unknown address is checked against, so that it takes as long as a known one.
    decoy: Arc<OnceCell<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy: Arc::default() }
    }
}

impl Passwords {
    /// The hash of a password in PHC format, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, AppError> {
        let hash = move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        self.take_turn(hash).await?.map_err(AppError::internal)
    }

    /// Whether the password is the hash's. Without a hash the answer is no, after the same effort.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, AppError> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.decoy.get_or_try_init(|| self.hash("nobody's".to_owned())).await?.clone(),
        };
        let verified = move || {
            let hash = PasswordHash::new(&hash)?;
            Ok::<_, argon2::password_hash::phc::Error>(argon2().verify_password(password.as_bytes(), &hash).is_ok())
        };
        Ok(self.take_turn(verified).await?.map_err(AppError::internal)? && known)
    }

    async fn take_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(AppError::internal)?;
        // The turn goes along: a caller that hangs up does not make room for a third hash.
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        working.await.map_err(AppError::internal)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, PARALLELISM, None)
        .expect("the constants are within argon2's limits, which a test runs into if they are not");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies_and_nobody_has_none() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody's".to_owned(), None).await.unwrap());
    }
}

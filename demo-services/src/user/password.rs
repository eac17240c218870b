//! Password hashes: argon2id, one at a time in one piece of memory that is kept, and off the threads that serve. Left to
//! itself each hash would take 19 MiB from whichever of the allocator's arenas its thread uses, and none gives them back.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use crate::chassis::AppError;

/// OWASP's Password Storage Cheat Sheet: argon2id with at least 19 MiB of memory, 2 iterations and 1 degree of parallelism.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
/// argon2's own default.
const OUTPUT_BYTES: usize = 32;

/// Hashes and verifies.
#[derive(Clone)]
pub(super) struct Passwords {
    /// A replica of this shop has less than one core: a second hash at the same time would only take memory.
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Vec<Block>>>,
    /// The hash that an unknown address is checked against, so that it takes as long as a known one.
    decoy: Arc<OnceCell<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), memory: Arc::default(), decoy: Arc::default() }
    }
}

impl Passwords {
    /// The hash of a password in PHC format, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, AppError> {
        self.take_turn(move |memory| hash(&password, memory)).await
    }

    /// Whether the password is the hash's. Without a hash the answer is no, after the same effort.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, AppError> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.decoy.get_or_try_init(|| self.hash("nobody's".to_owned())).await?.clone(),
        };
        Ok(self.take_turn(move |memory| verify(&password, &hash, memory)).await? && known)
    }

    async fn take_turn<T, E>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, AppError>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(AppError::internal)?;
        let memory = Arc::clone(&self.memory);
        // The turn goes along: a caller that hangs up does not make room for a second hash.
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&mut memory.lock())
        });
        working.await.map_err(AppError::internal)?.map_err(AppError::internal)
    }
}

fn hash(password: &str, memory: &mut Vec<Block>) -> Result<String, password_hash::Error> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, PARALLELISM, Some(OUTPUT_BYTES))
        .expect("the constants are within argon2's limits, which a test runs into if they are not");
    let salt = Salt::new(&generate_salt())?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(salt),
        hash: Some(output(password, &salt, OUTPUT_BYTES, params, memory)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str, memory: &mut Vec<Block>) -> Result<bool, password_hash::Error> {
    let hash = PasswordHash::new(hash)?;
    let params = Params::try_from(&hash)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else { return Ok(false) };
    // `Output` compares in constant time.
    Ok(output(password, &salt, expected.len(), params, memory)? == expected)
}

fn output(
    password: &str,
    salt: &[u8],
    length: usize,
    params: Params,
    memory: &mut Vec<Block>,
) -> Result<Output, password_hash::Error> {
    memory.resize(params.block_count().max(memory.len()), Block::new());
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = vec![0; length];
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut memory[..blocks])
        .map_err(password_hash::Error::from)?;
    Ok(Output::new(&out)?)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies_and_nobody_has_none() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("nobody's".to_owned(), None).await.unwrap());
        assert_ne!(hash, passwords.hash("correct horse".to_owned()).await.unwrap(), "each hash has its own salt");
        let judge = Argon2::default();
        assert!(judge.verify_password(b"correct horse", &PasswordHash::new(&hash).unwrap()).is_ok());
        assert!(judge.verify_password(b"wrong horse", &PasswordHash::new(&hash).unwrap()).is_err());
    }
}

//! The table of accounts.

use sqlx::SqlitePool;

use crate::chassis::store;
use crate::contract::User;

pub(super) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID"];

/// What signing in needs of an account.
#[derive(Debug)]
pub(super) struct Credentials {
    pub id: String,
    pub password_hash: String,
}

/// Id, address, name: a row as it comes.
type Profile = (String, String, String);

fn user((id, email, name): Profile) -> User {
    User { id, email, name }
}

/// All accounts.
#[derive(Debug, Clone)]
pub(super) struct Accounts(SqlitePool);

impl Accounts {
    pub fn new(pool: SqlitePool) -> Self {
        Self(pool)
    }

    /// Adds an account; `false` when its address is taken.
    pub async fn add(&self, user: &User, password_hash: &str, now_ms: i64) -> Result<bool, sqlx::Error> {
        let added =
            sqlx::query("INSERT INTO users (id, email, name, password_hash, created_at_ms) VALUES (?, ?, ?, ?, ?)")
                .bind(&user.id)
                .bind(&user.email)
                .bind(&user.name)
                .bind(password_hash)
                .bind(now_ms)
                .execute(&self.0)
                .await;
        match added {
            Ok(_) => Ok(true),
            Err(error) if store::is_unique_violation(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds those that are not there yet, all with the same hash, in one transaction.
    pub async fn add_missing(&self, users: &[User], password_hash: &str, now_ms: i64) -> Result<(), sqlx::Error> {
        let mut transaction = store::immediate(&self.0).await?;
        for user in users {
            sqlx::query(
                "INSERT OR IGNORE INTO users (id, email, name, password_hash, created_at_ms) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(&user.id)
            .bind(&user.email)
            .bind(&user.name)
            .bind(password_hash)
            .bind(now_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    pub async fn by_email(&self, email: &str) -> Result<Option<Credentials>, sqlx::Error> {
        let query = sqlx::query_as::<_, (String, String)>("SELECT id, password_hash FROM users WHERE email = ?");
        let found = query.bind(email).fetch_optional(&self.0).await?;
        Ok(found.map(|(id, password_hash)| Credentials { id, password_hash }))
    }

    pub async fn by_id(&self, id: &str) -> Result<Option<User>, sqlx::Error> {
        let query = sqlx::query_as::<_, Profile>("SELECT id, email, name FROM users WHERE id = ?");
        Ok(query.bind(id).fetch_optional(&self.0).await?.map(user))
    }

    /// Changes the name; the account as it then is, if there is one.
    pub async fn rename(&self, id: &str, name: &str) -> Result<Option<User>, sqlx::Error> {
        let query = sqlx::query_as::<_, Profile>("UPDATE users SET name = ? WHERE id = ? RETURNING id, email, name");
        Ok(query.bind(name).bind(id).fetch_optional(&self.0).await?.map(user))
    }
}

//! SQLite as the services use it: one file that all replicas of a service share, with a write-ahead log, a busy timeout and
//! a small pool. Knows no service's tables.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Sqlite, SqlitePool, Transaction};
use tokio::time::Instant;

use super::faults::StoreFaults;

/// Waits for another replica's write; writes here take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one replica: SQLite has one writer at a time, and each connection is a thread.
pub(super) const CONNECTIONS_MAX: u32 = 4;
/// A request that waits this long for a connection is better told "not now".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Page cache of one connection in KiB; negative is SQLite's way to say KiB. The tables are small.
const CACHE_KIB: &str = "-512";
/// Replicas that start at once race for switching the file to a write-ahead log, which no busy timeout covers.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// A store that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("STORE_URL is {url:?}; expected sqlite:///PATH or sqlite::memory:")]
    Url { url: String },
    #[error("cannot create {folder}: {source}")]
    Folder { folder: String, source: std::io::Error },
    #[error("cannot open the store {url}: {source}")]
    Open { url: String, source: sqlx::Error },
    #[error("the store {url}: migration {number} failed: {source}")]
    Migrate { url: String, number: usize, source: sqlx::Error },
    #[error("the store {url} is of version {found}, newer than this program's {known}")]
    Newer { url: String, found: i64, known: usize },
}

/// Opens (or creates) the store and brings it to the newest of `migrations`. Each is run once, in order, inside one
/// transaction that holds the write lock, so that replicas starting at once do not collide; SQLite's `user_version` counts
/// them. A published migration is never changed: append another.
pub async fn open(url: &str, migrations: &[&'static str]) -> Result<SqlitePool, StoreError> {
    open_with(url, migrations, StoreFaults::default()).await
}

/// The same for a replica whose faults may make its store slow or take it away.
pub(super) async fn open_with(
    url: &str,
    migrations: &[&'static str],
    faults: StoreFaults,
) -> Result<SqlitePool, StoreError> {
    let options = options(url)?;
    let pool = SqlitePoolOptions::new()
        .max_connections(if url.contains(":memory:") { 1 } else { CONNECTIONS_MAX })
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(move |_, _| {
            let faults = faults.clone();
            Box::pin(async move { Ok(faults.connection_holds().await) })
        });
    let give_up = Instant::now() + OPEN_PATIENCE;
    let pool = loop {
        match pool.clone().connect_with(options.clone()).await {
            Ok(pool) => break pool,
            Err(error) if is_busy(&error) && Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(source) => return Err(StoreError::Open { url: url.to_owned(), source }),
        }
    };
    migrate(&pool, url, migrations).await?;
    Ok(pool)
}

/// Begins a transaction that holds the write lock from its start: it waits for other writers now and never fails with
/// "database is locked" in its middle.
pub async fn immediate(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    pool.begin_with("BEGIN IMMEDIATE").await
}

/// Whether a write failed because a key was taken.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let wrong = || StoreError::Url { url: url.to_owned() };
    if !url.starts_with("sqlite:") {
        return Err(wrong());
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|_| wrong())?;
    if let Some(folder) = options.get_filename().parent().filter(|f| !f.as_os_str().is_empty() && *f != Path::new("/"))
    {
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { folder: folder.display().to_string(), source })?;
    }
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("cache_size", CACHE_KIB))
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY 5, SQLITE_LOCKED 6; extended codes keep them in the low byte.
    let code = error.as_database_error().and_then(|e| e.code()?.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

async fn migrate(pool: &SqlitePool, url: &str, migrations: &[&'static str]) -> Result<(), StoreError> {
    let open_error = |source| StoreError::Open { url: url.to_owned(), source };
    let mut transaction = immediate(pool).await.map_err(open_error)?;
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(open_error)?;
    let done = usize::try_from(found).unwrap_or(0);
    if done > migrations.len() {
        return Err(StoreError::Newer { url: url.to_owned(), found, known: migrations.len() });
    }
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let failed = |source| StoreError::Migrate { url: url.to_owned(), number: index + 1, source };
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    if done < migrations.len() {
        let version = AssertSqlSafe(format!("PRAGMA user_version = {}", migrations.len()));
        sqlx::raw_sql(version).execute(&mut *transaction).await.map_err(open_error)?;
    }
    transaction.commit().await.map_err(open_error)
}

#[cfg(test)]
mod tests;

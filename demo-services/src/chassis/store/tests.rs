//! Claims about opening a store.

use super::*;

const FIRST: &str = "CREATE TABLE things (id TEXT PRIMARY KEY); INSERT INTO things VALUES ('seed')";
const SECOND: &str = "ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'";

fn url(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}/deep/things.db", folder.path().display())
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder);
    let opened = futures::future::join_all((0..6).map(|_| open(&url, &[FIRST, SECOND]))).await;
    for pool in opened {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(&pool.unwrap()).await.unwrap();
        assert_eq!(rows, 1);
    }
}

#[tokio::test]
async fn an_older_store_gets_only_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder);
    open(&url, &[FIRST]).await.unwrap().close().await;
    let pool = open(&url, &[FIRST, SECOND]).await.unwrap();
    let colour: String = sqlx::query_scalar("SELECT colour FROM things").fetch_one(&pool).await.unwrap();
    assert_eq!(colour, "red");
    let message = open(&url, &[FIRST]).await.unwrap_err().to_string();
    assert!(message.ends_with("is of version 2, newer than this program's 1"), "{message}");
}

#[tokio::test]
async fn another_kind_of_url_is_refused_by_name() {
    let message = open("mongodb://here", &[]).await.unwrap_err().to_string();
    assert_eq!(message, "STORE_URL is \"mongodb://here\"; expected sqlite:///PATH or sqlite::memory:");
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder);
    let first = open(&url, &[FIRST]).await.unwrap();
    let second = open(&url, &[FIRST]).await.unwrap();
    let write = async |pool: &SqlitePool, id: String| {
        let mut transaction = immediate(pool).await?;
        let _: i64 = sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(&mut *transaction).await?;
        sqlx::query("INSERT INTO things VALUES (?)").bind(id).execute(&mut *transaction).await?;
        transaction.commit().await
    };
    let writes = (0..20).map(|n| write(if n % 2 == 0 { &first } else { &second }, n.to_string()));
    for result in futures::future::join_all(writes).await {
        result.unwrap();
    }
    let taken = write(&first, "seed".to_owned()).await.unwrap_err();
    assert!(is_unique_violation(&taken));
}

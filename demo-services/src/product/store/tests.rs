//! Claims about the document store, on a real file.

use super::*;
use crate::chassis::store;

async fn shared(folder: &tempfile::TempDir) -> SqlitePool {
    store::open(&format!("sqlite://{}/product.db", folder.path().display()), &[SCHEMA]).await.unwrap()
}

#[tokio::test]
async fn replicas_that_start_at_once_seed_the_catalogue_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = tokio::join!(async { Documents::seeded(shared(&folder).await).await.unwrap() }, async {
        Documents::seeded(shared(&folder).await).await.unwrap()
    },);
    assert_eq!(first.page(None, 0, 10).await.unwrap().1, seed::PRODUCTS as u64);
    assert_eq!(first.page(None, 990, 20).await.unwrap(), second.page(None, 990, 20).await.unwrap());
}

#[tokio::test]
async fn pages_and_categories_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let documents = Documents::seeded(shared(&folder).await).await.unwrap();
    let mut total = 0;
    for category in documents.categories().await.unwrap() {
        let (bodies, in_category) = documents.page(Some(&category), 0, 5).await.unwrap();
        total += in_category;
        for body in bodies {
            assert_eq!(serde_json::from_str::<Product>(&body).unwrap().category, category);
        }
    }
    assert_eq!(total, seed::PRODUCTS as u64);
    assert_eq!(documents.get("p-0001").await.unwrap().map(|body| body.contains("p-0001")), Some(true));
    assert_eq!(documents.get("nothing").await.unwrap(), None);
}

#[tokio::test]
async fn the_feed_gives_every_document_once_and_then_only_changes() {
    let folder = tempfile::tempdir().unwrap();
    let documents = Documents::seeded(shared(&folder).await).await.unwrap();
    let (mut since, mut seen) = (0, 0);
    loop {
        let changes = documents.changes(since, 300).await.unwrap();
        if changes.bodies.is_empty() {
            break;
        }
        seen += changes.bodies.len();
        since = changes.sequence;
    }
    assert_eq!(seen, seed::PRODUCTS);
    let mut product = seed::catalogue().remove(3);
    product.name = "Changed".into();
    assert!(!documents.put(&product).await.unwrap());
    let changes = documents.changes(since, 300).await.unwrap();
    assert_eq!(changes, Changes { bodies: vec![serde_json::to_string(&product).unwrap()], sequence: since + 1 });
}

//! Claims about what is bought together.

use super::*;
use crate::chassis::store;

fn lines(ids: &[&str]) -> Vec<Line> {
    ids.iter().map(|id| Line { product_id: (*id).to_owned(), quantity: 1 }).collect()
}

#[tokio::test]
async fn baskets_count_once_and_the_most_frequent_companion_comes_first() {
    let purchases = Purchases::new(store::open("sqlite::memory:", &[SCHEMA]).await.unwrap());
    assert!(purchases.count("1", &lines(&["tea", "cup", "pot"])).await.unwrap());
    for first in [true, false, false] {
        assert_eq!(purchases.count("2", &lines(&["tea", "pot"])).await.unwrap(), first);
    }
    purchases.count("3", &lines(&["tea", "tea"])).await.unwrap();
    assert_eq!(purchases.together_with("tea", 5).await.unwrap(), ["pot", "cup"]);
    assert_eq!(purchases.together_with("cup", 1).await.unwrap(), ["pot"]);
    assert_eq!(purchases.popular(2).await.unwrap(), ["tea", "pot"]);
}

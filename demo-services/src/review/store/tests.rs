//! Claims about reviews.

use super::*;
use crate::chassis::store;

fn review(user: &str, stars: u8, at_ms: i64) -> Review {
    Review { product_id: "p".into(), user_id: user.into(), stars, text: format!("{stars} stars"), at_ms }
}

#[tokio::test]
async fn a_second_review_of_a_customer_replaces_the_first() {
    let reviews = ReviewStore::new(store::open("sqlite::memory:", &[SCHEMA]).await.unwrap());
    assert_eq!(reviews.of_product("p").await.unwrap(), Reviews::default());
    for (user, stars, at_ms) in [("a", 1, 1), ("b", 4, 2), ("a", 5, 3)] {
        reviews.write(&review(user, stars, at_ms)).await.unwrap();
    }
    let found = reviews.of_product("p").await.unwrap();
    assert_eq!((found.average_stars, found.count), (Some(4.5), 2));
    assert_eq!(found.reviews, [review("a", 5, 3), review("b", 4, 2)]);
}

#[tokio::test]
async fn only_the_newest_are_shown_and_all_are_counted() {
    let reviews = ReviewStore::new(store::open("sqlite::memory:", &[SCHEMA]).await.unwrap());
    for user in 0..30 {
        reviews.write(&review(&user.to_string(), 3, user)).await.unwrap();
    }
    let found = reviews.of_product("p").await.unwrap();
    assert_eq!((found.count, found.reviews.len(), found.reviews[0].at_ms), (30, 20, 29));
}

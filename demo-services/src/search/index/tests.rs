//! Claims about searching.

use proptest::prelude::*;

use super::*;
use crate::product::seed;

fn catalogue() -> ProductIndex {
    let index = ProductIndex::new().unwrap();
    index.apply(&seed::catalogue()).unwrap();
    index
}

fn products(hits: &Hits) -> Vec<Product> {
    hits.bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn question(text: &str) -> Question {
    Question { text: text.to_owned(), size: 50, ..Question::default() }
}

#[test]
fn words_are_found_in_any_form_and_in_names_first() {
    let index = catalogue();
    let hits = index.search(&question("kettles")).unwrap();
    assert!(hits.total > 0);
    assert!(products(&hits)[0].name.contains("Kettle"));
    let hikers = index.search(&question("hike")).unwrap();
    assert!(products(&hikers).iter().all(|product| product.description.contains("hiking")), "{hikers:?}");
}

#[test]
fn signs_and_quotation_marks_mean_what_they_say() {
    let index = catalogue();
    let all = index.search(&question("kettle")).unwrap();
    let copper = index.search(&question("+kettle +copper")).unwrap();
    let not_copper = index.search(&question("+kettle -copper")).unwrap();
    assert!(copper.total > 0 && not_copper.total > 0);
    assert_eq!(copper.total + not_copper.total, all.total);
    assert_eq!(index.search(&question("-kettle")).unwrap().total, seed::PRODUCTS - all.total);
    let phrase = products(&index.search(&question("\"cast iron\"")).unwrap());
    assert!(!phrase.is_empty() && phrase.iter().all(|product| product.description.contains("cast iron")));
    assert_eq!(index.search(&question("\"iron cast\"")).unwrap().total, 0);
}

#[test]
fn filters_narrow_and_sorts_order() {
    let index = catalogue();
    let cheap = Question {
        category: Some("kitchen".into()),
        price_min_cents: Some(1_000),
        price_max_cents: Some(5_000),
        sort: Sort::PriceAsc,
        ..question("")
    };
    let found = products(&index.search(&cheap).unwrap());
    assert!(!found.is_empty());
    assert!(found.iter().all(|p| p.category == "kitchen" && (1_000..=5_000).contains(&p.price_cents)));
    assert!(found.is_sorted_by_key(|p| p.price_cents));
    let falling = products(&index.search(&Question { sort: Sort::PriceDesc, ..cheap.clone() }).unwrap());
    assert!(falling.is_sorted_by(|a, b| a.price_cents >= b.price_cents));
    let newest = products(&index.search(&Question { sort: Sort::Newest, ..cheap }).unwrap());
    assert!(newest.is_sorted_by(|a, b| a.created_at_ms >= b.created_at_ms));
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let index = catalogue();
    let all = Question { size: 40, sort: Sort::Newest, ..Question::default() };
    let mut seen = std::collections::BTreeSet::new();
    for page in 0..seed::PRODUCTS / 40 {
        let hits = index.search(&Question { offset: page * 40, ..all.clone() }).unwrap();
        assert_eq!(hits.total, seed::PRODUCTS);
        for product in products(&hits) {
            assert!(seen.insert(product.id));
        }
    }
    assert_eq!(seen.len(), seed::PRODUCTS);
}

#[test]
fn a_new_version_replaces_the_old_one() {
    let index = catalogue();
    let mut product = seed::catalogue().remove(0);
    product.name = "Zeppelin".into();
    index.apply(&[product.clone()]).unwrap();
    assert_eq!(index.len(), seed::PRODUCTS as u64);
    assert_eq!(products(&index.search(&question("zeppelin")).unwrap()), [product]);
}

#[test]
fn nonsense_is_answered_and_not_refused() {
    let index = catalogue();
    for text in
        ["\"", "(((", "name:", "AND", "price:[a TO", "-", "*", "kettle AND (", "^^", "nofield:kettle", "+-+", "-:l-g"]
    {
        index.search(&question(text)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_text_makes_a_search_fail(text in "[a-z\"()\\[\\]{}:+\\-*^~<>=/\\\\! ]{0,40}") {
        static INDEX: std::sync::LazyLock<ProductIndex> = std::sync::LazyLock::new(catalogue);
        prop_assert!(INDEX.search(&question(&text)).is_ok());
    }
}

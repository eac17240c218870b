//! Which products are of one category, learnt from product's feed and kept in memory: ids and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::contract::Product;
use crate::product::feed::Follower;

/// Products by category. Readers never wait.
#[derive(Debug, Default)]
pub struct Catalogue(ArcSwap<Shelves>);

#[derive(Debug, Clone, Default)]
struct Shelves {
    /// In the order of the feed.
    categories: HashMap<String, Vec<String>>,
    category_of: HashMap<String, String>,
}

impl Catalogue {
    /// The products that follow this one on its shelf, around its end to its beginning; without itself.
    pub fn beside(&self, product_id: &str, limit: usize) -> Vec<String> {
        let shelves = self.0.load();
        let Some(shelf) = shelves.category_of.get(product_id).and_then(|name| shelves.categories.get(name)) else {
            return Vec::new();
        };
        let from = shelf.iter().position(|id| id == product_id).unwrap_or(0);
        shelf[from..].iter().chain(&shelf[..from]).skip(1).take(limit).cloned().collect()
    }
}

/// Keeps a [`Catalogue`] up to date.
pub struct CatalogueFollower {
    catalogue: Arc<Catalogue>,
}

impl CatalogueFollower {
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue }
    }
}

#[async_trait]
impl Follower for CatalogueFollower {
    async fn take(&mut self, products: Vec<Product>) -> Result<(), String> {
        let mut shelves = Shelves::clone(&self.catalogue.0.load());
        for product in products {
            let before = shelves.category_of.insert(product.id.clone(), product.category.clone());
            if before.as_ref() == Some(&product.category) {
                continue;
            }
            if let Some(shelf) = before.and_then(|category| shelves.categories.get_mut(&category)) {
                shelf.retain(|id| *id != product.id);
            }
            shelves.categories.entry(product.category).or_default().push(product.id);
        }
        self.catalogue.0.store(Arc::new(shelves));
        Ok(())
    }

    fn caught_up(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::seed;

    #[tokio::test]
    async fn a_shelf_holds_the_other_products_of_the_category_and_follows_changes() {
        let catalogue = Arc::new(Catalogue::default());
        let mut follower = CatalogueFollower::new(Arc::clone(&catalogue));
        let products = seed::catalogue();
        follower.take(products.clone()).await.unwrap();
        let shelf = catalogue.beside("p-0001", 2_000);
        assert!(!shelf.contains(&"p-0001".to_owned()));
        assert_eq!(shelf.len(), products.iter().filter(|p| p.category == products[0].category).count() - 1);
        assert_eq!(catalogue.beside("p-0001", 3).len(), 3);

        let moved = Product { category: "elsewhere".into(), ..products[0].clone() };
        follower.take(vec![moved]).await.unwrap();
        assert_eq!(catalogue.beside("p-0001", 3), Vec::<String>::new());
        assert!(catalogue.beside("nothing", 3).is_empty());
    }
}

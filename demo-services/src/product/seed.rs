//! The catalogue that a new shop starts with: the same thousand products everywhere, made from word lists. Pure.
//! Inventory counts the same products by `product_id`; the last `SCARCE` of them are a category of their own.

use serde_json::{Map, Value, json};

use crate::contract::Product;

/// Products in the seeded catalogue: enough for search and paging to matter, small enough to be made at every start.
pub const PRODUCTS: usize = 1_000;

/// The last products of the catalogue are limited editions of which inventory has only a handful.
pub const SCARCE: usize = 4;

/// The category of the scarce products; no customer who shops at random should end up there often.
pub const SCARCE_CATEGORY: &str = "limited-editions";

/// 2026-01-01T00:00:00Z; products are created an hour apart from here on.
const FIRST_CREATED_AT_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;

/// What a kind of product is made of.
struct Kind {
    category: &'static str,
    nouns: &'static [&'static str],
    purposes: &'static [&'static str],
    price_cents: (u64, u64),
    attributes: fn(&mut Dice) -> Map<String, Value>,
}

const ADJECTIVES: [&str; 20] = [
    "Quiet", "Bright", "Sturdy", "Light", "Classic", "Folding", "Compact", "Northern", "Coastal", "Everyday", "Warm",
    "Deep", "Swift", "Gentle", "Rugged", "Silver", "Amber", "Hidden", "Golden", "Plain",
];
const COLOURS: [&str; 8] = ["black", "white", "navy", "olive", "sand", "red", "teal", "grey"];
const FABRICS: [&str; 5] = ["cotton", "wool", "linen", "merino", "fleece"];
const WOODS: [&str; 5] = ["oak", "ash", "walnut", "beech", "pine"];
const SIZES: [&str; 5] = ["XS", "S", "M", "L", "XL"];

const KINDS: [Kind; 9] = [
    Kind {
        category: "clothing",
        nouns: &["Jacket", "Shirt", "Sweater", "Scarf", "Trousers", "Rain Coat"],
        purposes: &["wind and drizzle", "long walks", "the office", "cold mornings"],
        price_cents: (1_500, 18_000),
        attributes: |dice| {
            attributes(&[("colour", dice.pick(&COLOURS)), ("fabric", dice.pick(&FABRICS)), ("size", dice.pick(&SIZES))])
        },
    },
    Kind {
        category: "shoes",
        nouns: &["Boots", "Trainers", "Sandals", "Running Shoes", "Slippers"],
        purposes: &["running on roads", "muddy trails", "walking in town", "evenings at home"],
        price_cents: (2_500, 22_000),
        attributes: |dice| {
            let mut map = attributes(&[("colour", dice.pick(&COLOURS))]);
            map.insert("size_eu".into(), json!(36 + dice.below(12)));
            map.insert("waterproof".into(), json!(dice.below(2) == 1));
            map
        },
    },
    Kind {
        category: "books",
        nouns: &["Atlas", "Novel", "Cookbook", "Field Guide", "History", "Diary"],
        purposes: &["readers by the fire", "curious children", "travelling light", "rainy weekends"],
        price_cents: (600, 6_000),
        attributes: |dice| {
            let mut map = attributes(&[("binding", dice.pick(&["hardcover", "paperback", "spiral"]))]);
            map.insert("pages".into(), json!(80 + dice.below(700)));
            map
        },
    },
    Kind {
        category: "kitchen",
        nouns: &["Kettle", "Knife", "Saucepan", "Teapot", "Coffee Grinder", "Mug"],
        purposes: &["brewing tea", "grinding coffee", "cooking for six", "small kitchens"],
        price_cents: (900, 25_000),
        attributes: |dice| {
            let mut map = attributes(&[("material", dice.pick(&["steel", "cast iron", "copper", "ceramic"]))]);
            map.insert("dishwasher_safe".into(), json!(dice.below(2) == 1));
            map
        },
    },
    Kind {
        category: "furniture",
        nouns: &["Chair", "Desk", "Shelf", "Stool", "Table", "Bed Frame"],
        purposes: &["narrow hallways", "reading corners", "large families", "working at home"],
        price_cents: (4_000, 120_000),
        attributes: |dice| {
            let size =
                json!({"width": 30 + dice.below(150), "height": 40 + dice.below(160), "depth": 30 + dice.below(70)});
            let mut map = attributes(&[("wood", dice.pick(&WOODS))]);
            map.insert("size_cm".into(), size);
            map
        },
    },
    Kind {
        category: "electronics",
        nouns: &["Headphones", "Radio", "Camera", "Keyboard", "Speaker", "Torch"],
        purposes: &["listening in trains", "photographing birds", "typing all day", "nights outdoors"],
        price_cents: (2_000, 90_000),
        attributes: |dice| {
            let mut map =
                attributes(&[("colour", dice.pick(&COLOURS)), ("plug", dice.pick(&["usb-c", "mains", "none"]))]);
            map.insert("battery_hours".into(), json!(4 + dice.below(60)));
            map
        },
    },
    Kind {
        category: "garden",
        nouns: &["Spade", "Watering Can", "Planter", "Lantern", "Hammock", "Rake"],
        purposes: &["planting bulbs", "watering balconies", "lazy afternoons", "raking leaves"],
        price_cents: (800, 30_000),
        attributes: |dice| {
            attributes(&[
                ("material", dice.pick(&["zinc", "cedar", "jute", "clay"])),
                ("season", dice.pick(&["spring", "summer", "autumn"])),
            ])
        },
    },
    Kind {
        category: "toys",
        nouns: &["Puzzle", "Kite", "Train Set", "Board Game", "Building Blocks", "Teddy Bear"],
        purposes: &["playing together", "windy beaches", "patient builders", "bedtime"],
        price_cents: (500, 9_000),
        attributes: |dice| {
            let mut map = Map::new();
            map.insert("age_from".into(), json!(1 + dice.below(10)));
            map.insert("pieces".into(), json!(1 + dice.below(1_000)));
            map
        },
    },
    Kind {
        category: "outdoor",
        nouns: &["Tent", "Backpack", "Sleeping Bag", "Stove", "Bottle", "Compass"],
        purposes: &["sleeping under stars", "hiking for days", "cooking on rocks", "finding the way"],
        price_cents: (1_200, 60_000),
        attributes: |dice| {
            let mut map = attributes(&[("colour", dice.pick(&COLOURS))]);
            map.insert("weight_g".into(), json!(50 + dice.below(4_000)));
            map.insert("litres".into(), json!(1 + dice.below(80)));
            map
        },
    },
];

/// The id of the product at `index` of the catalogue.
pub fn product_id(index: usize) -> String {
    format!("p-{:04}", index + 1)
}

/// Whether inventory has only a few of the product at `index`.
pub fn is_scarce(index: usize) -> bool {
    index >= PRODUCTS - SCARCE
}

/// The whole catalogue, the same at every call.
pub fn catalogue() -> Vec<Product> {
    (0..PRODUCTS).map(product).collect()
}

fn product(index: usize) -> Product {
    let mut dice = Dice::new(index as u64);
    let kind = &KINDS[index % KINDS.len()];
    let (adjective, noun, purpose) = (dice.pick(&ADJECTIVES), dice.pick(kind.nouns), dice.pick(kind.purposes));
    let model = 100 + dice.below(900);
    let (low, high) = kind.price_cents;
    let price_cents = (low + dice.below(high - low)) / 50 * 50 + 49;
    let attributes = (kind.attributes)(&mut dice);
    let category = if is_scarce(index) { SCARCE_CATEGORY } else { kind.category };
    Product {
        id: product_id(index),
        name: format!("{adjective} {noun} {model}"),
        description: format!(
            "A {} {} made for {purpose}. {}",
            adjective.to_lowercase(),
            noun.to_lowercase(),
            in_words(&attributes)
        ),
        category: category.to_owned(),
        price_cents,
        attributes,
        created_at_ms: FIRST_CREATED_AT_MS
            + HOUR_MS * i64::try_from(index).expect("the catalogue has a thousand products"),
    }
}

fn in_words(attributes: &Map<String, Value>) -> String {
    let parts: Vec<String> = attributes
        .iter()
        .filter(|(_, value)| !value.is_object())
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{}: {text}", name.replace('_', " ")),
            None => format!("{}: {value}", name.replace('_', " ")),
        })
        .collect();
    format!("{}.", parts.join(", "))
}

fn attributes(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

/// Random numbers that are the same on every machine and with every version of every library (SplitMix64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).expect("an index of a slice is a usize");
        from[index]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalogue_is_the_same_at_every_call_and_ids_are_unique() {
        let first = catalogue();
        assert_eq!(first, catalogue());
        let ids: BTreeSet<_> = first.iter().map(|product| &product.id).collect();
        assert_eq!(ids.len(), PRODUCTS);
    }

    #[test]
    fn only_the_scarce_products_are_in_the_scarce_category() {
        let scarce = catalogue().iter().filter(|product| product.category == SCARCE_CATEGORY).count();
        assert_eq!(scarce, SCARCE);
    }

    #[test]
    fn every_product_costs_something_and_has_attributes() {
        for product in catalogue() {
            assert!(product.price_cents >= 49 && !product.attributes.is_empty(), "{product:?}");
        }
    }
}

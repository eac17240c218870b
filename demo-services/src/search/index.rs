//! The full-text index of the catalogue, in memory: what may be asked and how it is answered. Knows nothing of HTTP or of
//! where products come from. Writing is rare, so a writer lives only as long as one batch of changes.

use std::ops::Bound;

use tantivy::collector::{Count, TopDocs};
use tantivy::query::{AllQuery, BooleanQuery, Occur, Query, QueryParser, RangeQuery, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{DocAddress, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument, Term};

use crate::contract::Product;

/// The least heap that tantivy accepts for a writer; a thousand products need less, and it is freed after each batch.
const WRITER_HEAP_BYTES: usize = 15_000_000;

/// Words matter more in a name than in a description.
const NAME_BOOST: f32 = 3.0;

/// Longest query text that is looked at; more words than this only cost time.
const TEXT_CHARS_MAX: usize = 200;

/// Hits that can be paged through: collecting page N costs N pages.
const HITS_MAX: usize = 10_000;

/// In which order hits come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    Relevance,
    PriceAsc,
    PriceDesc,
    Newest,
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Words, phrases in quotes, `+must` and `-must not`. Anything may be written; what makes no sense is left out.
    pub text: String,
    pub category: Option<String>,
    pub price_min_cents: Option<u64>,
    pub price_max_cents: Option<u64>,
    pub sort: Sort,
    pub offset: usize,
    pub size: usize,
}

/// Hits as the JSON documents that were indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hits {
    pub bodies: Vec<String>,
    pub total: usize,
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    id: Field,
    name: Field,
    description: Field,
    category: Field,
    price: Field,
    created: Field,
    body: Field,
}

/// The index.
pub struct ProductIndex {
    index: Index,
    reader: IndexReader,
    parser: QueryParser,
    fields: Fields,
}

impl std::fmt::Debug for ProductIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProductIndex")
    }
}

impl ProductIndex {
    /// An empty index.
    pub fn new() -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("en_stem")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let stemmed = TextOptions::default().set_indexing_options(indexing);
        let fields = Fields {
            id: schema.add_text_field("id", STRING),
            name: schema.add_text_field("name", stemmed.clone()),
            description: schema.add_text_field("description", stemmed),
            category: schema.add_text_field("category", STRING),
            price: schema.add_u64_field("price", FAST | INDEXED),
            created: schema.add_i64_field("created", FAST),
            body: schema.add_text_field("body", STORED),
        };
        let index = Index::create_in_ram(schema.build());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let mut parser = QueryParser::for_index(&index, vec![fields.name, fields.description]);
        parser.set_field_boost(fields.name, NAME_BOOST);
        Ok(Self { index, reader, parser, fields })
    }

    /// Takes products in, new ones and new versions; all are found when it returns. Works for milliseconds without a pause.
    pub fn apply(&self, products: &[Product]) -> tantivy::Result<()> {
        let mut writer: IndexWriter = self.index.writer_with_num_threads(1, WRITER_HEAP_BYTES)?;
        for product in products {
            writer.delete_term(Term::from_field_text(self.fields.id, &product.id));
            writer.add_document(self.document(product))?;
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        self.reader.reload()
    }

    fn document(&self, product: &Product) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.fields.id, &product.id);
        document.add_text(self.fields.name, &product.name);
        document.add_text(self.fields.description, &product.description);
        document.add_text(self.fields.category, &product.category);
        document.add_u64(self.fields.price, product.price_cents);
        document.add_i64(self.fields.created, product.created_at_ms);
        let body = serde_json::to_string(product).expect("a product has only string keys");
        document.add_text(self.fields.body, body);
        document
    }

    /// How many products there are.
    pub fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks for products.
    pub fn search(&self, question: &Question) -> tantivy::Result<Hits> {
        let searcher = self.reader.searcher();
        let query = self.query(question);
        if question.size == 0 || question.offset.saturating_add(question.size) > HITS_MAX {
            return Ok(Hits { bodies: Vec::new(), total: searcher.search(&query, &Count)? });
        }
        let top = TopDocs::with_limit(question.size).and_offset(question.offset);
        let (addresses, total) = match question.sort {
            Sort::Relevance => found(searcher.search(&query, &(top.order_by_score(), Count))?),
            Sort::PriceAsc => {
                found(searcher.search(&query, &(top.order_by_fast_field::<u64>("price", Order::Asc), Count))?)
            }
            Sort::PriceDesc => {
                found(searcher.search(&query, &(top.order_by_fast_field::<u64>("price", Order::Desc), Count))?)
            }
            Sort::Newest => {
                found(searcher.search(&query, &(top.order_by_fast_field::<i64>("created", Order::Desc), Count))?)
            }
        };
        let bodies =
            addresses.into_iter().map(|address| self.body(&searcher, address)).collect::<tantivy::Result<_>>()?;
        Ok(Hits { bodies, total })
    }

    fn body(&self, searcher: &Searcher, address: DocAddress) -> tantivy::Result<String> {
        let document: TantivyDocument = searcher.doc(address)?;
        Ok(document.get_first(self.fields.body).and_then(|value| value.as_str()).unwrap_or("null").to_owned())
    }

    fn query(&self, question: &Question) -> BooleanQuery {
        let text: String = question.text.trim().chars().take(TEXT_CHARS_MAX).collect();
        let words: Box<dyn Query> =
            if text.is_empty() { Box::new(AllQuery) } else { self.parser.parse_query_lenient(&text).0 };
        let mut clauses = vec![(Occur::Must, words)];
        if let Some(category) = &question.category {
            let term = Term::from_field_text(self.fields.category, category);
            clauses.push((Occur::Must, Box::new(TermQuery::new(term, IndexRecordOption::Basic))));
        }
        if question.price_min_cents.is_some() || question.price_max_cents.is_some() {
            let bound = |cents: Option<u64>| {
                cents.map_or(Bound::Unbounded, |cents| Bound::Included(Term::from_field_u64(self.fields.price, cents)))
            };
            let range = RangeQuery::new(bound(question.price_min_cents), bound(question.price_max_cents));
            clauses.push((Occur::Must, Box::new(range)));
        }
        BooleanQuery::new(clauses)
    }
}

fn found<K>((hits, total): (Vec<(K, DocAddress)>, usize)) -> (Vec<DocAddress>, usize) {
    (hits.into_iter().map(|(_, address)| address).collect(), total)
}

#[cfg(test)]
mod tests;

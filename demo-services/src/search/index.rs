//! The full-text index of the catalogue, in memory: what may be asked and how it is answered. Knows nothing of HTTP or of
//! where products come from. Writing is rare, so a writer lives only as long as one batch of changes.

use std::ops::Bound;

use tantivy::collector::{Count, TopDocs};
use tantivy::query::{AllQuery, BooleanQuery, BoostQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{DocAddress, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::words::{self, Role};
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
    /// As a customer types it; see `words`.
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
    analyzer: TextAnalyzer,
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
        let analyzer = index.tokenizer_for_field(fields.name)?;
        Ok(Self { index, reader, analyzer, fields })
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
        let text: String = question.text.chars().take(TEXT_CHARS_MAX).collect();
        let mut clauses = vec![(Occur::Must, self.words(&text))];
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

impl ProductIndex {
    /// What the typed words ask for; everything, when they ask for nothing.
    fn words(&self, text: &str) -> Box<dyn Query> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for typed in words::read(text) {
            let tokens = self.tokens(typed.text);
            match typed.role {
                _ if tokens.is_empty() => {}
                Role::Should => clauses.push((Occur::Should, self.in_either_field(&tokens))),
                Role::Must => clauses.push((Occur::Must, self.in_either_field(&tokens))),
                // Word by word: tantivy 0.27 asks an excluded phrase for documents past its end.
                Role::MustNot => {
                    let terms = tokens.iter().map(|token| self.in_either_field(std::slice::from_ref(token)));
                    clauses.extend(terms.map(|term| (Occur::MustNot, term)));
                }
            }
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        Box::new(BooleanQuery::new(clauses))
    }

    /// Lower case and stemmed, as the index holds them.
    fn tokens(&self, text: &str) -> Vec<String> {
        let mut analyzer = self.analyzer.clone();
        let (mut stream, mut tokens) = (analyzer.token_stream(text), Vec::new());
        while let Some(token) = stream.next() {
            tokens.push(token.text.clone());
        }
        tokens
    }

    /// One word, or several as a phrase, in the name or in the description.
    fn in_either_field(&self, tokens: &[String]) -> Box<dyn Query> {
        let query = |field: Field| -> Box<dyn Query> {
            let mut terms: Vec<Term> = tokens.iter().map(|token| Term::from_field_text(field, token)).collect();
            match terms.len() {
                1 => Box::new(TermQuery::new(terms.remove(0), IndexRecordOption::WithFreqs)),
                _ => Box::new(PhraseQuery::new(terms)),
            }
        };
        let name = Box::new(BoostQuery::new(query(self.fields.name), NAME_BOOST));
        Box::new(BooleanQuery::union(vec![name, query(self.fields.description)]))
    }
}

fn found<K>((hits, total): (Vec<(K, DocAddress)>, usize)) -> (Vec<DocAddress>, usize) {
    (hits.into_iter().map(|(_, address)| address).collect(), total)
}

#[cfg(test)]
mod tests;

//! Evaluates PromQL: pure, over anything that implements `series::Queryable`.

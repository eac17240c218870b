//! The demo shop: ten services, their shoppers and their faults. `service::run` starts one service; `shoppers` load it.
//! `chassis` is what all services stand on; `contract` is what they say to each other; a module per service holds the rest.

pub mod audit;
pub mod chassis;
pub mod contract;
pub mod gateway;
pub mod inventory;
pub mod notification;
pub mod order;
pub mod payment;
pub mod product;
pub mod recommendation;
pub mod review;
pub mod search;
pub mod service;
pub mod shoppers;
pub mod user;

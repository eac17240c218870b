//! Orders as a saga: reserve, pay, confirm, or undo. Start at `saga` (the rules), `runner` (what carries them out), `store`
//! (what survives), `outbox` (what others learn). Holds neither stock nor money.

mod api;
mod janitor;
mod meters;
mod outbox;
mod participants;
mod pricing;
mod relay;
mod runner;
mod saga;
mod store;
mod worker;

use std::sync::Arc;

use axum::Router;
use lifecycle::Supervisor;

use self::api::Service;
use self::janitor::Janitor;
use self::meters::OrderMeters;
use self::outbox::{DESTINATIONS, Outbox};
use self::participants::Services;
use self::pricing::Prices;
use self::relay::{Nudges, Relay};
use self::runner::Runner;
use self::store::Orders;
use self::worker::Worker;
use crate::chassis::{Context, StartError};

/// The tables of orders and of their outbox: one database, so that one transaction writes both.
const MIGRATIONS: [&str; 2] = [store::SCHEMA, outbox::SCHEMA];

/// Starts the service.
pub async fn start(context: &Context, supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let pool = context.store(&MIGRATIONS).await?;
    let (orders, outbox) = (Orders::new(pool.clone()), Outbox::new(pool));
    let meters = OrderMeters::register(context.metrics());
    let nudges = Nudges::default();
    let services = Services::new(context.peer("inventory")?, context.peer("payment")?);
    let runner = Arc::new(Runner {
        orders: orders.clone(),
        participants: Arc::new(services),
        clock: Arc::clone(context.clock()),
        meters: meters.clone(),
        nudges: nudges.clone(),
    });

    let worker = Worker { context: context.clone(), orders: orders.clone(), runner: Arc::clone(&runner), meters };
    supervisor.spawn("complete pending orders", worker.run(context.shutdown()));
    let janitor = Janitor { context: context.clone(), orders: orders.clone(), inventory: context.peer("inventory")? };
    supervisor.spawn("end forgotten reservations", janitor.run(context.shutdown()));
    for (destination, _) in DESTINATIONS {
        let relay = Relay {
            context: context.clone(),
            outbox: outbox.clone(),
            peer: context.peer(destination)?,
            destination,
            nudge: nudges.of(destination),
        };
        supervisor.spawn(&format!("deliver events to {destination}"), relay.run(context.shutdown()));
    }
    Ok(api::routes(Service { orders, runner, prices: Prices::new(context.peer("product")?) }))
}

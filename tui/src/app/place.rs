//! Where the user can be: screens, places on the way back, modes of input, orders of rows. Holds no behaviour of the whole.

use std::sync::Arc;

use protocol::faults::Evidence;
use protocol::scaling::{DecisionRecord, ObjectName};

use crate::change::Change;
use crate::heat::HeatWish;
use crate::picture::{CurveWish, ServiceKey, TraceWish};
use crate::waterfall::Opened;

/// The main screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// All services.
    Services,
    /// Who calls whom.
    Graph,
    /// What the autoscaler decided.
    Decisions,
    /// Requests on their way.
    Traces,
    /// Who is suspected, and by what evidence.
    Suspects,
    /// What began, ended and changed.
    Timeline,
    /// What steers each workload.
    Policies,
}

/// What is on screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Screen {
    /// All services.
    Services,
    /// One service.
    Service(ServiceKey),
    /// Who calls whom.
    Graph,
    /// All decisions.
    Decisions,
    /// One decision.
    Decision(Arc<DecisionRecord>),
    /// Traces.
    Traces,
    /// One trace.
    Trace(Arc<Opened>),
    /// Who is suspected, by what evidence, who suffers, what is safe.
    Suspects,
    /// What began, ended and changed.
    Timeline,
    /// A piece of evidence against a service.
    Evidence(Arc<Exhibit>),
    /// Whom a service can hurt.
    Radius(ServiceKey),
    /// Latencies over time.
    Heatmap(HeatWish),
    /// What steers each workload.
    Policies,
    /// One policy.
    Policy(ObjectName),
}

/// A piece of evidence as it was when it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Exhibit {
    /// Whom it speaks against.
    pub service: String,
    /// Since when that one is suspected, milliseconds since the epoch.
    pub since_ms: i64,
    /// The evidence.
    pub evidence: Evidence,
}

impl Exhibit {
    /// The traces that it leads to.
    pub fn traces(&self) -> Option<TraceWish> {
        self.evidence.traces.as_deref().and_then(TraceWish::from_search)
    }

    /// The numbers over time that it leads to.
    pub fn curves(&self) -> Option<CurveWish> {
        let since_ms = self.evidence.since_ms.unwrap_or(self.since_ms);
        self.evidence.query.clone().map(|query| CurveWish { query, since_ms })
    }
}

impl Screen {
    /// Whether it has rows to choose from.
    pub fn is_list(&self) -> bool {
        match self {
            Self::Services | Self::Graph | Self::Decisions | Self::Traces | Self::Suspects | Self::Timeline => true,
            Self::Policies => true,
            Self::Service(_) | Self::Decision(_) | Self::Trace(_) | Self::Evidence(_) | Self::Radius(_) => false,
            Self::Heatmap(_) | Self::Policy(_) => false,
        }
    }
}

impl From<Tab> for Screen {
    fn from(tab: Tab) -> Self {
        match tab {
            Tab::Services => Self::Services,
            Tab::Graph => Self::Graph,
            Tab::Decisions => Self::Decisions,
            Tab::Traces => Self::Traces,
            Tab::Suspects => Self::Suspects,
            Tab::Timeline => Self::Timeline,
            Tab::Policies => Self::Policies,
        }
    }
}

/// Where the user is on a screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The screen.
    pub screen: Screen,
    /// The row under the cursor, or the first line shown.
    pub index: usize,
    /// The row's identity once the user chose it: it is followed when rows move.
    pub chosen: Option<String>,
    /// Which rows are shown.
    pub filter: String,
}

impl Place {
    /// The top of a screen.
    pub fn at(screen: Screen) -> Self {
        Self { screen, index: 0, chosen: None, filter: String::new() }
    }
}

/// Where keys go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// To the screen.
    Screen,
    /// To the filter; holds the one before, for giving up.
    Filter {
        /// The filter before.
        before: String,
    },
    /// To the palette.
    Palette {
        /// What was typed.
        typed: String,
        /// The entry chosen.
        chosen: usize,
    },
    /// To the help.
    Help {
        /// The first line shown.
        scroll: usize,
    },
    /// To the question whether to make a change.
    Question(Change),
}

/// By what services are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceSort {
    /// Worst first.
    Health,
    /// By name.
    Name,
    /// Busiest first.
    Rate,
    /// Most errors first.
    Errors,
    /// Slowest first.
    P50,
    /// Slowest first.
    P95,
    /// Slowest first.
    P99,
}

/// By what traces are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceSort {
    /// Newest first.
    Start,
    /// Slowest first.
    Duration,
    /// Biggest first.
    Spans,
}

//! The windows over which burn rates are told, and the rules that make an alert of them: several windows, several rates, after the
//! SRE workbook, chapter 5 ("Alerting on SLOs", sre.google/workbook/alerting-on-slos), with the fourth rule that Sloth adds.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What Sloth, Pyrra and the workbook take where nothing is said.
pub const BUDGET_WINDOW_DEFAULT: Duration = Duration::from_secs(30 * DAY);

/// The shortest budget window: more than twice the longest alert window, so that no alert is about more than the budget.
pub const BUDGET_WINDOW_MIN: Duration = Duration::from_secs(7 * DAY);

/// The longest budget window: a year.
pub const BUDGET_WINDOW_MAX: Duration = Duration::from_secs(365 * DAY);

/// A window that burn rates are told over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// 5 minutes.
    Minutes5,
    /// 30 minutes.
    Minutes30,
    /// 1 hour.
    Hours1,
    /// 2 hours.
    Hours2,
    /// 6 hours.
    Hours6,
    /// 1 day.
    Days1,
    /// 3 days.
    Days3,
    /// The objective's own window.
    Budget,
}

impl Span {
    /// All, shortest first.
    pub const ALL: [Self; 8] = [
        Self::Minutes5,
        Self::Minutes30,
        Self::Hours1,
        Self::Hours2,
        Self::Hours6,
        Self::Days1,
        Self::Days3,
        Self::Budget,
    ];

    /// Its length for an objective with this window.
    pub fn length(self, budget: Duration) -> Duration {
        match self {
            Self::Minutes5 => Duration::from_secs(5 * MINUTE),
            Self::Minutes30 => Duration::from_secs(30 * MINUTE),
            Self::Hours1 => Duration::from_secs(HOUR),
            Self::Hours2 => Duration::from_secs(2 * HOUR),
            Self::Hours6 => Duration::from_secs(6 * HOUR),
            Self::Days1 => Duration::from_secs(DAY),
            Self::Days3 => Duration::from_secs(3 * DAY),
            Self::Budget => budget,
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Whom an alert is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Somebody should look this week.
    Ticket,
    /// Somebody is woken.
    Page,
}

impl Severity {
    /// The value of the label `severity`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// An alert: the budget burns faster than `rate` over both windows. The long one says that it matters, the short one that it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Says that enough of the budget is gone.
    pub long: Span,
    /// Says that it still burns: a twelfth of the long one.
    pub short: Span,
    /// Times the rate at which the budget would last exactly its window. Of 30 days' budget 14.4 burns 2 % in an hour, 6 burns 5 % in
    /// six, 3 burns 10 % in a day, 1 burns 10 % in three.
    pub rate: f64,
    /// Whom it is for.
    pub severity: Severity,
}

/// The rules, most urgent first.
pub const RULES: [Rule; 4] = [
    Rule { long: Span::Hours1, short: Span::Minutes5, rate: 14.4, severity: Severity::Page },
    Rule { long: Span::Hours6, short: Span::Minutes30, rate: 6.0, severity: Severity::Page },
    Rule { long: Span::Days1, short: Span::Hours2, rate: 3.0, severity: Severity::Ticket },
    Rule { long: Span::Days3, short: Span::Hours6, rate: 1.0, severity: Severity::Ticket },
];

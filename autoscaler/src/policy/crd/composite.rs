//! The schema of signals that are made of several things: a formula over queries, a schedule. Reads no policy.

use serde_json::{Value, json};

use super::signal::{in_all, max_age, name, per_replica, promql};
use super::{REPLICAS_MAX, duration, integer, object, one_of, text};
use crate::policy::check::{QUERIES_MAX, QUERY_NAME_MAX, ZONE_DEFAULT};
use crate::policy::formula::FORMULA_BYTES_MAX;
use crate::policy::formula::unit::UNIT_BYTES_MAX;

/// Longest cron expression that is worth reading.
const CRON_MAX: u32 = 256;

/// Longer than any name of the IANA database.
const ZONE_MAX: u32 = 64;

/// Names as formulas know them.
const QUERY_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Words with `*` and `/` between them.
pub(super) const UNIT: &str = r"^\s*(1|[A-Za-z_]+)\s*([*/]\s*(1|[A-Za-z_]+)\s*)*$";

/// Five fields.
const CRON: &str = r"^\s*\S+(\s+\S+){4}\s*$";

pub(super) fn expression() -> Value {
    let properties = json!({
        "name": name("formula"),
        "formula": {
            "type": "string",
            "description": "What is computed of the queries: + - * / and brackets, max, min, ceil, abs, and ?? for what holds \
                where its left side has no data, such as max(a, b * 2) ?? 3. ?? binds tightest.",
            "minLength": 1,
            "maxLength": FORMULA_BYTES_MAX,
        },
        "queries": {
            "type": "array",
            "description": "What the formula computes with; each is used in it.",
            "minItems": 1,
            "maxItems": QUERIES_MAX,
            "items": object(
                "A number from PromQL and its name in the formula.",
                &["name", "promql"],
                json!({
                    "name": text(
                        "What the formula calls it.",
                        QUERY_NAME_MAX,
                        QUERY_NAME,
                        "expected a-z, A-Z, 0-9 and _, no digit first",
                    ),
                    "promql": promql(),
                    "unit": unit("What it is measured in. Left out, it goes with everything."),
                }),
            ),
        },
        "unit": unit("What the formula must give. Left out, whatever it gives."),
        "perReplica": per_replica(),
        "target": in_all(),
        "maxAge": max_age(),
    });
    let description = "A number computed from several queries, with perReplica or target.";
    one_of(object(description, &["formula", "queries"], properties), &["perReplica", "target"])
}

fn unit(description: &str) -> Value {
    let longest = u32::try_from(UNIT_BYTES_MAX).unwrap_or(u32::MAX);
    text(description, longest, UNIT, "expected words with * and / between them, such as requests/s or bytes")
}

pub(super) fn schedule() -> Value {
    let message = "expected five fields: minute, hour, day of the month, month, day of the week, such as 0 8 * * 1-5";
    object(
        "So many replicas, at least, at certain times.",
        &["cron", "replicas", "for"],
        json!({
            "name": name("expression"),
            "cron": text(
                "When a window begins: minute, hour, day of the month, month, day of the week, such as 0 8 * * 1-5.",
                CRON_MAX,
                CRON,
                message,
            ),
            "timezone": {
                "type": "string",
                "description": "The clock that cron goes by: a name of the IANA database, such as Europe/Madrid.",
                "minLength": 1,
                "maxLength": ZONE_MAX,
                "default": ZONE_DEFAULT,
            },
            "replicas": integer("How many are asked for within a window.", 1, REPLICAS_MAX),
            "for": duration("How long a window lasts, such as 10h; more than 0 and at most 366d."),
        }),
    )
}

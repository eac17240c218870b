//! What came out of a trial: figures, and claims that hold or do not, as a table or as JSON.

use serde_json::{Value, json};

use crate::bench::report::shown;

/// Words that say why a claim does not hold; more would not be read.
const WORDS_MAX: usize = 20;

/// Where a figure must lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Something that must hold.
#[derive(Debug, Clone)]
struct Claim {
    what: String,
    seen: f64,
    bound: Bound,
}

impl Claim {
    fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.seen <= most,
            Bound::AtLeast(least) => self.seen >= least,
        }
    }

    fn wanted(&self) -> String {
        match self.bound {
            Bound::AtMost(most) => format!("at most {}", shown(Some(most))),
            Bound::AtLeast(least) => format!("at least {}", shown(Some(least))),
        }
    }
}

/// All of a trial.
#[derive(Debug, Default)]
pub struct Report {
    pub title: String,
    pub seed: u32,
    figures: Vec<(String, f64)>,
    claims: Vec<Claim>,
    /// What was seen, in words.
    words: Vec<String>,
}

impl Report {
    pub fn new(title: String, seed: u32) -> Self {
        Self { title, seed, ..Self::default() }
    }

    /// Adds a figure of which nothing is claimed.
    pub fn figure(&mut self, what: impl Into<String>, seen: f64) {
        self.figures.push((what.into(), seen));
    }

    /// Claims that a figure is no larger.
    pub fn at_most(&mut self, what: impl Into<String>, seen: f64, most: f64) {
        self.claims.push(Claim { what: what.into(), seen, bound: Bound::AtMost(most) });
    }

    /// Claims that a figure is no smaller.
    pub fn at_least(&mut self, what: impl Into<String>, seen: f64, least: f64) {
        self.claims.push(Claim { what: what.into(), seen, bound: Bound::AtLeast(least) });
    }

    /// Claims that something is so.
    pub fn is_so(&mut self, what: impl Into<String>, so: bool) {
        self.at_least(what, f64::from(u8::from(so)), 1.0);
    }

    /// Adds what was seen, for people.
    pub fn say(&mut self, words: impl Into<String>) {
        if self.words.len() < WORDS_MAX {
            self.words.push(words.into());
        }
    }

    /// How many claims do not hold.
    pub fn broken(&self) -> usize {
        self.claims.iter().filter(|claim| !claim.holds()).count()
    }

    pub fn table(&self) -> String {
        let whats = self.figures.iter().map(|(what, _)| what).chain(self.claims.iter().map(|claim| &claim.what));
        let width = whats.map(|what| what.chars().count()).max().unwrap_or(0);
        let mut text = format!("{}, seed {}\n", self.title, self.seed);
        for (what, seen) in &self.figures {
            text += &format!("       {what:width$} {:>12}\n", shown(Some(*seen)));
        }
        for claim in &self.claims {
            let verdict = if claim.holds() { "holds" } else { "FAILS" };
            text += &format!("{verdict}  {:width$} {:>12}  {}\n", claim.what, shown(Some(claim.seen)), claim.wanted());
        }
        self.words.iter().fold(text, |text, words| text + "  " + words + "\n")
    }

    pub fn json(&self) -> serde_json::Result<String> {
        let figure = |(what, seen): &(String, f64)| json!({"what": what, "seen": seen});
        let claim = |claim: &Claim| {
            let (kind, bound) = match claim.bound {
                Bound::AtMost(most) => ("at_most", most),
                Bound::AtLeast(least) => ("at_least", least),
            };
            json!({"what": claim.what, "seen": claim.seen, kind: bound, "holds": claim.holds()})
        };
        let figures: Vec<Value> = self.figures.iter().map(figure).collect();
        let claims: Vec<Value> = self.claims.iter().map(claim).collect();
        serde_json::to_string_pretty(&json!({
            "title": self.title, "seed": self.seed, "figures": figures, "claims": claims, "words": self.words,
            "holds": self.broken() == 0,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn claims_that_do_not_hold_are_counted_and_shown() {
        let mut report = Report::new("kill".to_owned(), 7);
        report.figure("kills", 50.0);
        report.at_most("samples missing", 0.0, 0.0);
        report.at_most("seconds to ready", 6.0, 5.0);
        report.at_least("blocks", f64::NAN, 1.0);
        report.is_so("said", true);
        report.say("all of it");
        assert_eq!(report.broken(), 2);
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "kill, seed 7");
        assert!(lines[2].starts_with("holds  samples missing") && lines[2].ends_with("0  at most 0"), "{table}");
        assert!(lines[3].starts_with("FAILS  seconds to ready") && lines[3].ends_with("6  at most 5"), "{table}");
        assert!(lines[4].starts_with("FAILS"), "what is not known does not hold: {table}");
        assert_eq!(lines[6], "  all of it");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!((&json["claims"][1]["at_most"], &json["claims"][1]["holds"]), (&5.0.into(), &false.into()));
        assert_eq!(json["holds"], false);
    }
}

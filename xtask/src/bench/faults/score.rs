//! What became of each case, what that adds up to, and whether it is enough. Pure.

use std::fmt::Write;

use serde::Serialize;

/// What must hold.
pub const FIRST_MIN: f64 = 0.90;
pub const THIRD_MIN: f64 = 0.98;
pub const MEDIAN_MAX_S: f64 = 15.0;
pub const WORST_MAX_S: f64 = 30.0;
/// Fewer cases that did harm say little.
pub const CASES_MIN: usize = 48;

/// One suspect as it was named.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named {
    pub service: String,
    /// `errors`, `no_answer` or `slow`.
    pub fault: String,
    pub score: f64,
    /// In words.
    pub evidence: Vec<String>,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub seed: u64,
    pub fault: String,
    pub kind: String,
    pub culprit: String,
    /// When the fault was on, milliseconds since the epoch.
    pub injected_ms: i64,
    /// Seconds from then until a promise was first broken; none if none was.
    pub impact_s: Option<f64>,
    /// Whose.
    pub moved: String,
    /// The culprit's place among the suspects when the case ended, from 1; none if it was not among them.
    pub rank: Option<usize>,
    /// Seconds from the impact until it was first, and stayed first; less than none where that was sooner.
    pub named_s: Option<f64>,
    /// The same from the moment when the fault was on.
    pub named_after_injection_s: Option<f64>,
    /// Seconds in which somebody else was first.
    pub wrong_s: u64,
    /// The suspects when the case ended.
    pub suspects: Vec<Named>,
    pub verdict: String,
    /// Seconds from the end of the fault until all was well and nobody suspected; none if that did not come.
    pub recovered_s: Option<f64>,
}

/// A time in which nothing may be blamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calm {
    pub seed: u64,
    /// `quiet`, `surge`, or `between` faults.
    pub what: String,
    pub seconds: u64,
    /// Those who were blamed all the same, each with how long.
    pub alarms: Vec<(Named, u64)>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Score {
    pub outcomes: Vec<Outcome>,
    pub calms: Vec<Calm>,
}

impl Score {
    /// Cases that did harm: of the others there was nothing to name.
    fn harmful(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.impact_s.is_some())
    }

    /// The share of harmful cases in which the culprit was among the first so many.
    pub fn accuracy_at(&self, place: usize) -> f64 {
        let hits = self.harmful().filter(|outcome| outcome.rank.is_some_and(|rank| rank <= place)).count();
        hits as f64 / self.harmful().count().max(1) as f64
    }

    /// Seconds to name, of the cases that were named, from the least.
    fn times(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.harmful().filter_map(|outcome| outcome.named_s).map(|s| s.max(0.0)).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The middle of the times to name.
    pub fn median_s(&self) -> Option<f64> {
        let times = self.times();
        times.get(times.len() / 2).copied()
    }

    pub fn worst_s(&self) -> Option<f64> {
        self.times().last().copied()
    }

    pub fn false_alarms(&self) -> usize {
        self.calms.iter().map(|calm| calm.alarms.len()).sum()
    }

    /// What does not hold; of a part of the cases it is not asked that there are enough.
    pub fn breaches(&self, is_part: bool) -> Vec<String> {
        let mut breaches = Vec::new();
        let (first, third) = (self.accuracy_at(1), self.accuracy_at(3));
        let harmful = self.harmful().count();
        if !is_part && harmful < CASES_MIN {
            breaches.push(format!("{harmful} cases did harm; at least {CASES_MIN} are wanted"));
        }
        if first < FIRST_MIN {
            breaches.push(format!("AC@1 is {:.1} %, wanted {:.0} %", first * 100.0, FIRST_MIN * 100.0));
        }
        if third < THIRD_MIN {
            breaches.push(format!("AC@3 is {:.1} %, wanted {:.0} %", third * 100.0, THIRD_MIN * 100.0));
        }
        for (what, time, most) in [("median", self.median_s(), MEDIAN_MAX_S), ("worst", self.worst_s(), WORST_MAX_S)] {
            if let Some(time) = time.filter(|time| *time > most) {
                breaches.push(format!("the {what} time to name is {time:.1} s, wanted {most:.0} s"));
            }
        }
        if self.false_alarms() > 0 {
            breaches.push(format!("{} false alarms, wanted none", self.false_alarms()));
        }
        for outcome in self.outcomes.iter().filter(|outcome| outcome.recovered_s.is_none()) {
            breaches.push(format!("seed {} {}: did not recover", outcome.seed, outcome.fault));
        }
        breaches
    }

    /// The whole as a table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a text takes everything");
        line(format_args!(
            "{:>4} {:<32} {:>7} {:<22} {:>6} {:>6} {:>5} {:>6} {:>5}  suspects at the end",
            "seed", "fault", "impact", "seen in", "named", "from 0", "place", "wrong", "well"
        ));
        for outcome in &self.outcomes {
            line(format_args!("{}", row(outcome)));
        }
        for calm in &self.calms {
            let blamed: Vec<String> = calm
                .alarms
                .iter()
                .map(|(named, seconds)| format!("{} {} {:.2} for {seconds} s", named.service, named.fault, named.score))
                .collect();
            let blamed = if blamed.is_empty() { "nobody blamed".to_owned() } else { blamed.join(", ") };
            line(format_args!("{:>4} {:<32} {:>5} s  {blamed}", calm.seed, calm.what, calm.seconds));
        }
        let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1} s"));
        let harmful = self.harmful().count();
        line(format_args!(
            "{} cases, {} without impact · AC@1 {:.1} % · AC@3 {:.1} % · time to name after the impact: median {}, worst {} · \
             false alarms {}",
            self.outcomes.len(),
            self.outcomes.len() - harmful,
            self.accuracy_at(1) * 100.0,
            self.accuracy_at(3) * 100.0,
            seconds(self.median_s()),
            seconds(self.worst_s()),
            self.false_alarms(),
        ));
        text
    }
}

/// One case in a line: seconds of the impact after the fault was on; of the name after the impact, and after the fault was on.
pub fn row(outcome: &Outcome) -> String {
    let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
    let place = outcome.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
    let impact = outcome.impact_s.map_or_else(|| "no".to_owned(), |time| format!("{time:.1}"));
    let suspects: Vec<String> = outcome
        .suspects
        .iter()
        .take(4)
        .map(|named| format!("{} {} {:.2}", named.service, named.fault, named.score))
        .collect();
    format!(
        "{:>4} {:<32} {impact:>7} {:<22} {:>6} {:>6} {place:>5} {:>6} {:>5}  {}",
        outcome.seed,
        outcome.fault,
        outcome.moved,
        seconds(outcome.named_s),
        seconds(outcome.named_after_injection_s),
        outcome.wrong_s,
        seconds(outcome.recovered_s),
        suspects.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(impact_s: Option<f64>, rank: Option<usize>, named_s: Option<f64>) -> Outcome {
        let named = |service: &str| Named {
            service: service.to_owned(),
            fault: "errors".to_owned(),
            score: 0.9,
            evidence: Vec::new(),
        };
        Outcome {
            seed: 1,
            fault: "payment:error=1".to_owned(),
            kind: "error".to_owned(),
            culprit: "payment".to_owned(),
            injected_ms: 0,
            impact_s,
            moved: "journey checkout".to_owned(),
            rank,
            named_s,
            named_after_injection_s: named_s,
            wrong_s: 0,
            suspects: vec![named("payment")],
            verdict: String::new(),
            recovered_s: Some(9.0),
        }
    }

    #[test]
    fn a_case_without_impact_is_no_success_and_a_wrong_place_is_no_first() {
        let mut score = Score::default();
        score.outcomes.push(outcome(Some(1.0), Some(1), Some(9.0)));
        score.outcomes.push(outcome(Some(1.0), Some(3), None));
        score.outcomes.push(outcome(None, Some(1), Some(2.0)));
        assert_eq!((score.accuracy_at(1), score.accuracy_at(3)), (0.5, 1.0));
        assert_eq!((score.median_s(), score.worst_s()), (Some(9.0), Some(9.0)));
        let breaches = score.breaches(true);
        assert_eq!(breaches, ["AC@1 is 50.0 %, wanted 90 %"]);
        assert!(score.breaches(false)[0].starts_with("2 cases did harm"));
        assert!(score.table().contains("3 cases, 1 without impact · AC@1 50.0 % · AC@3 100.0 %"), "{}", score.table());
    }

    #[test]
    fn alarms_late_names_and_lasting_harm_are_breaches() {
        let mut score = Score::default();
        score.outcomes.push(outcome(Some(1.0), Some(1), Some(31.0)));
        score.outcomes.push(Outcome { recovered_s: None, ..outcome(Some(1.0), Some(1), Some(-3.0)) });
        let alarm = (score.outcomes[0].suspects[0].clone(), 4);
        score.calms.push(Calm { seed: 1, what: "surge".to_owned(), seconds: 60, alarms: vec![alarm] });
        assert_eq!(
            score.breaches(true),
            [
                "the median time to name is 31.0 s, wanted 15 s",
                "the worst time to name is 31.0 s, wanted 30 s",
                "1 false alarms, wanted none",
                "seed 1 payment:error=1: did not recover"
            ]
        );
    }
}

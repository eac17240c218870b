//! What came out: a row a figure, ours beside Prometheus' and the ratio, as a table or as JSON.

use serde_json::{Value, json};

/// One figure of both; the smaller, the better.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub ours: Option<f64>,
    pub prometheus: Option<f64>,
    /// Whether a ratio says something.
    pub compared: bool,
}

impl Row {
    pub fn ratio(&self) -> Option<f64> {
        let (ours, theirs) = (self.ours?, self.prometheus?);
        (self.compared && theirs != 0.0).then_some(ours / theirs)
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Report {
    pub title: String,
    pub rows: Vec<Row>,
    /// What must not be, such as answers that differ.
    pub failures: Vec<String>,
}

impl Report {
    /// Adds a figure.
    pub fn row(&mut self, what: impl Into<String>, ours: Option<f64>, prometheus: Option<f64>) {
        self.rows.push(Row { what: what.into(), ours, prometheus, compared: true });
    }

    /// Adds a figure of which a ratio says nothing.
    pub fn fact(&mut self, what: impl Into<String>, ours: Option<f64>, prometheus: Option<f64>) {
        self.rows.push(Row { what: what.into(), ours, prometheus, compared: false });
    }

    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = format!("{}\n{:width$} {:>12} {:>12} {:>7}\n", self.title, "", "ours", "prometheus", "ratio");
        for row in &self.rows {
            let (ours, theirs) = (shown(row.ours), shown(row.prometheus));
            let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            text += &format!("{:width$} {ours:>12} {theirs:>12} {ratio:>7}\n", row.what);
        }
        text
    }

    pub fn json(&self) -> serde_json::Result<String> {
        let row =
            |row: &Row| json!({"what": row.what, "ours": row.ours, "prometheus": row.prometheus, "ratio": row.ratio()});
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        serde_json::to_string_pretty(&json!({"title": self.title, "rows": rows, "failures": self.failures}))
    }
}

/// Three digits that count, or all of a large number.
pub fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value == 0.0 || value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_table_shows_figures_and_ratios() {
        let mut report = Report { title: "scrape".to_owned(), ..Report::default() };
        report.row("CPU", Some(0.5), Some(2.0));
        report.row("RSS", Some(123.4), None);
        report.fact("samples", Some(100_000.0), Some(99_000.0));
        let lines: Vec<String> = report.table().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines[0], "scrape");
        assert!(lines[2].ends_with("0.500            2    0.25"), "{lines:?}");
        assert!(lines[3].ends_with("123            -"), "{lines:?}");
        assert!(lines[4].ends_with("100000        99000"), "{lines:?}");
    }
}

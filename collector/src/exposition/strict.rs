//! Judges an OpenMetrics 1.0 text by the letter of its specification: for conformance and for our own texts; scraping is
//! lenient. A line's grammar is in `line`, what lines mean together in `family`.

mod family;
mod line;

use self::family::Families;
use super::Problem;

/// Why a text is not OpenMetrics.
type Verdict<T = ()> = Result<T, &'static str>;

/// Accepts exactly what a strict OpenMetrics parser must accept.
///
/// # Errors
/// The first thing that the specification forbids.
pub fn strict_openmetrics(text: &str) -> Result<(), Problem> {
    let mut families = Families::default();
    let mut ended = false;
    let mut number = 0;
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        number += 1;
        let problem = |reason| Problem::new(number, line, reason);
        if ended {
            return Err(problem("there is text after # EOF"));
        }
        ended = line == "# EOF";
        let judged = if ended { families.finish() } else { line::parse(line).and_then(|line| families.take(line)) };
        judged.map_err(problem)?;
    }
    if ended { Ok(()) } else { Err(Problem::new(number, "", "the text ends without # EOF")) }
}

#[cfg(test)]
mod tests {
    use super::strict_openmetrics;

    #[test]
    fn accepts_what_the_specification_allows() {
        for text in [
            "",
            "x 1\n",
            "# TYPE x counter\n# HELP x \n# UNIT x \nx_total{} 1 2.5 # {t=\"1\"} .5 1e3\nx_created 0 2.5\n",
            "# TYPE x histogram\nx_bucket{le=\"-1.0\"} 1\nx_bucket{le=\"+Inf\"} 2\nx_count 2\n",
            "# TYPE x histogram\nx_bucket{a=\"1\",le=\"+Inf\"} 2\nx_bucket{a=\"2\",le=\"+Inf\"} 1\nx_sum{a=\"2\"} 0\n\
             x_count{a=\"2\"} 1\n",
            "# TYPE x stateset\nx{x=\"on\"} 1\nx{x=\"off\"} 0\n",
            "# TYPE x info\nx_info{v=\"1\"} 1\n",
            "# TYPE x gauge\nx NaN\n# TYPE y gauge\ny -Inf\n",
        ] {
            assert_eq!(strict_openmetrics(&format!("{text}# EOF\n")), Ok(()), "{text}");
        }
        assert_eq!(strict_openmetrics("x 1\n# EOF"), Ok(()));
    }

    #[test]
    fn says_what_the_specification_forbids() {
        for (text, reason) in [
            ("x 1\n\n", "the line is empty"),
            ("# a remark\n", "a comment is none of TYPE, HELP, UNIT and EOF"),
            ("# TYPE x meter\n", "the type is not one of OpenMetrics'"),
            ("# TYPE x counter\n# TYPE x counter\n", "the metadata comes twice"),
            ("# TYPE x gauge\nx 1\n# HELP x help\n", "the metadata comes after samples"),
            ("x 1\ny 1\nx 1\n", "the metric's lines are not together"),
            ("# TYPE x counter\nx 1\n", "a metric of this type has no such sample"),
            ("# TYPE x counter\nx_total -1\n", "the value must be a number that is not negative"),
            ("# TYPE x gauge\nx 1 # {} 1\n", "a sample of this kind has no exemplar"),
            ("# TYPE x summary\nx{quantile=\"2\"} 1\n", "the quantile is not between 0 and 1"),
            ("# TYPE x histogram\nx_bucket{le=\"1\"} 1\n", "the bucket +Inf is missing"),
            ("# TYPE x histogram\nx_sum 1\n", "the bucket +Inf is missing"),
            ("# TYPE x_s gauge\n# UNIT x_s m\n", "the name does not end in the unit"),
            ("# TYPE x gauge\nx 1 2\nx 1 1\n", "the times go backwards"),
            ("x  1\n", "the value is not a number"),
            ("x 1 \n", "the timestamp is not a number"),
            ("x{a=\"1\",} 1\n", "a label's name is not valid"),
            ("x{__name__=\"y\"} 1\n", "a label's name is not valid"),
            ("x 1 1e999\n", "the timestamp is not a number"),
            ("x{a=\"1\",a=\"1\"} 1\n", "a label comes twice"),
        ] {
            let found = strict_openmetrics(&format!("{text}# EOF\n"));
            assert_eq!(found.map_err(|problem| problem.reason), Err(reason), "{text}");
        }
        assert_eq!(strict_openmetrics("x 1\n").unwrap_err().reason, "the text ends without # EOF");
        assert_eq!(strict_openmetrics("# EOF\n# EOF\n").unwrap_err().reason, "there is text after # EOF");
    }
}

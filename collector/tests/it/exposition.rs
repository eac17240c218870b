//! A text whose samples have times of their own: half an hour of counters, gauges, histograms and oddities.

use std::fmt::Write;

/// From the first sample to the last.
pub const SECONDS: i64 = 1_800;

/// Between samples of the usual series.
const STEP: i64 = 15;

struct Text {
    body: String,
    base: i64,
    random: u64,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.body, "# HELP {name} The {name}.\n# TYPE {name} {kind}");
    }

    /// A series with a sample every `step` seconds, each late by `late` milliseconds.
    fn series(&mut self, series: &str, step: i64, late: i64, mut value: impl FnMut(i64) -> Option<f64>) {
        for i in 0..=SECONDS / step {
            if let Some(value) = value(i) {
                let at_ms = (self.base + i * step) * 1_000 + late;
                let _ = writeln!(self.body, "{series} {value} {at_ms}");
            }
        }
    }

    /// The same numbers in every run: a linear congruential generator.
    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// A counter that begins again now and then.
    fn counter(&mut self, series: &str, late: i64, resets: bool) {
        let length = SECONDS / STEP + 1;
        let mut total = 0.0;
        let values: Vec<f64> = (0..length)
            .map(|i| {
                total += self.next(1_000) as f64 / 8.0;
                if resets && i % 47 == 40 {
                    total = self.next(5) as f64;
                }
                total
            })
            .collect();
        self.series(series, STEP, late, |i| values.get(usize::try_from(i).ok()?).copied());
    }

    fn counters(&mut self) {
        self.family("requests_total", "counter");
        for (i, (service, code)) in
            [("cart", "200"), ("cart", "500"), ("pay", "200"), ("pay", "404"), ("pay", "500"), ("web", "200")]
                .into_iter()
                .enumerate()
        {
            let method = if i % 2 == 0 { "GET" } else { "POST" };
            let late = [0, 3, 250, 7_000, 14_999, 0][i];
            let series = format!("requests_total{{service=\"{service}\",code=\"{code}\",method=\"{method}\"}}");
            self.counter(&series, late, i % 3 == 1);
        }
        self.family("info", "gauge");
        for (service, version) in [("cart", "1.2"), ("pay", "2.0"), ("old", "0.1")] {
            let series = format!("info{{service=\"{service}\",version=\"{version}\"}}");
            self.series(&series, 60, 0, |_| Some(1.0));
        }
    }

    fn histograms(&mut self) {
        self.family("latency_seconds", "histogram");
        for service in ["cart", "pay"] {
            let rows: Vec<[f64; 5]> = (0..=SECONDS / STEP)
                .scan([0.0; 5], |totals, _| {
                    let mut below = 0.0;
                    for total in totals.iter_mut() {
                        below += self.next(9) as f64;
                        *total += below;
                    }
                    Some(*totals)
                })
                .collect();
            for (b, bound) in ["0.1", "0.50", "1", "10", "+Inf"].into_iter().enumerate() {
                let series = format!("latency_seconds_bucket{{service=\"{service}\",le=\"{bound}\"}}");
                self.series(&series, STEP, 0, |i| Some(rows[usize::try_from(i).ok()?][b]));
            }
            let (sum, count) = ("latency_seconds_sum", "latency_seconds_count");
            self.series(&format!("{sum}{{service=\"{service}\"}}"), STEP, 0, |i| {
                Some(rows[usize::try_from(i).ok()?][4] * 0.37)
            });
            self.series(&format!("{count}{{service=\"{service}\"}}"), STEP, 0, |i| {
                Some(rows[usize::try_from(i).ok()?][4])
            });
        }
        self.family("size_bytes", "summary");
        for quantile in ["0.5", "0.90", "1"] {
            self.series(&format!("size_bytes{{quantile=\"{quantile}\"}}"), STEP, 0, |i| Some(i as f64));
        }
    }

    fn gauges(&mut self) {
        self.family("temperature", "gauge");
        for (room, height) in [("attic", 30.5), ("cellar", -4.0), ("hall", 0.0)] {
            let series = format!("temperature{{room=\"{room}\"}}");
            self.series(&series, STEP, 11, |i| Some(height + (i as f64 / 9.0).sin() * 7.0));
        }
        self.family("odd", "gauge");
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e308, 1.5e-300, 9_007_199_254_740_993.0, 42.0];
        for shift in 0..3 {
            let series = format!("odd{{shift=\"{shift}\"}}");
            self.series(&series, STEP, 0, |i| Some(odd[usize::try_from((i + shift * 3) % 8).ok()?]));
        }
        self.family("sparse", "untyped");
        self.series("sparse{gap=\"long\"}", STEP, 0, |i| (i % 50 < 10).then_some(i as f64));
        self.series("sparse{gap=\"minutes\"}", 240, 0, |i| Some(i as f64 * i as f64));
        self.series("sparse{gap=\"once\"}", SECONDS, 0, |i| (i == 0).then_some(5.0));
        self.series("flat", STEP, 0, |_| Some(3.25));
        self.series("born_at", 60, 0, |i| Some((1_700_000_000 + i * 2_000_003) as f64));
    }

    fn labels(&mut self) {
        self.series("text{l=\"a\\\"b\\\\c\\nd\",m=\"\"}", 60, 0, |i| Some(i as f64));
        self.series("text{l=\"жук 🐞\",path=\"/a/b?c=d\"}", 60, 0, |i| Some(-i as f64));
        self.series("text{job=\"own\",instance=\"own\",__tmp=\"x\"}", 60, 0, |_| Some(0.5));
        self.series("{\"dotted.name\",\"label.one\"=\"1\"}", 60, 0, |i| Some(i as f64 + 0.5));
    }
}

/// The text, from `base` seconds since the epoch on. Its last series is `done`.
pub fn exposition(base: i64) -> String {
    let mut text = Text { body: String::new(), base, random: 7 };
    text.counters();
    text.histograms();
    text.gauges();
    text.labels();
    text.series("done", SECONDS, 0, |i| (i == 1).then_some(1.0));
    text.body
}

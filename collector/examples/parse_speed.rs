//! How many samples a second one core reads from a text such as a kubelet prints, each line in full: name, labels, value.
//! `cargo run --release -p collector --example parse_speed`. What a scrape does with a line that it knows is faster.

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use collector::exposition::{Format, Line, parse_line, parse_series};

/// Size of the text.
const TEXT_BYTES: usize = 1 << 20;

/// How long it is read over and over.
const DURATION: Duration = Duration::from_secs(2);

fn main() {
    let text = text();
    let began = Instant::now();
    let (mut samples, mut labels, mut rounds) = (0u64, 0u64, 0u64);
    while began.elapsed() < DURATION {
        for line in text.lines() {
            if let Ok(Line::Sample { series, reading }) = parse_line(black_box(line), Format::Text)
                && let Ok(parts) = parse_series(series)
            {
                black_box(reading.value);
                labels += parts.len() as u64;
                samples += 1;
            }
        }
        rounds += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{:.2} million samples a second, {:.0} MB/s, {:.1} labels a sample",
        samples as f64 / seconds / 1e6,
        (rounds as usize * text.len()) as f64 / seconds / 1e6,
        labels as f64 / samples as f64
    );
}

/// Counters, gauges and histograms of containers.
fn text() -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    let mut pod = 0;
    while text.len() < TEXT_BYTES {
        let own = format!("namespace=\"shop\",pod=\"order-6c9f7b5d8-{pod:05}\",container=\"order\"");
        let _ = writeln!(text, "# TYPE container_cpu_usage_seconds_total counter");
        let _ =
            writeln!(text, "container_cpu_usage_seconds_total{{{own},cpu=\"total\"}} {}", f64::from(pod) * 12.345_678);
        let _ = writeln!(text, "container_memory_working_set_bytes{{{own}}} {}", 104_857_600 + pod * 4_096);
        let _ = writeln!(text, "container_fs_reads_total{{{own},device=\"/dev/vda\"}} {pod}");
        for (count, bound) in (pod..).zip(["0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"]) {
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{{own},code=\"200\",le=\"{bound}\"}} {count}");
        }
        let _ =
            writeln!(text, "http_request_duration_seconds_sum{{{own},code=\"200\"}} {}", f64::from(pod) * 0.123_456_7);
        pod += 1;
    }
    text
}

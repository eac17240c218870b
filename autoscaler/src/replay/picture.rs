//! A replay as a picture: load, replicas, latency and missed minutes of each contender's first run, as one SVG without scripts or
//! fonts of its own.

use std::fmt::Write;

use super::{Moment, Outcome};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 10.0;
const PANEL: f64 = 120.0;
const GAP: f64 = 34.0;
const TOP: f64 = 64.0;

/// Points of a line at most: two for each pixel.
const POINTS_MAX: usize = 1800;

/// Told apart also by those who see no red or green (Okabe and Ito's palette), and named in the legend.
const COLOURS: [&str; 4] = ["#0072b2", "#999999", "#d55e00", "#009e73"];

/// What a line shows of a minute.
type Value = fn(&Moment) -> f64;

/// Draws it.
pub fn svg(outcome: &Outcome) -> String {
    let rows = outcome.moments.len();
    let missed_height = rows as f64 * 16.0 + 6.0;
    let height = TOP + 3.0 * (PANEL + GAP) + missed_height + GAP;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"15\">{}</text>\n",
        escaped(&outcome.report.trace)
    );
    for (place, contender) in outcome.report.contenders.iter().enumerate() {
        let x = LEFT + place as f64 * 130.0;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"25\" width=\"12\" height=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"32\">{}</text>",
            colour(place),
            x + 16.0,
            escaped(&contender.name)
        );
    }
    let panels: [(&str, Value); 3] = [
        ("journeys a second", |moment| moment.rate),
        ("replicas", |moment| moment.replicas),
        ("p99 ms, cut at 1000", |moment| moment.p99_ms.min(1000.0)),
    ];
    for (number, (title, value)) in panels.into_iter().enumerate() {
        let top = TOP + number as f64 * (PANEL + GAP);
        // The load is the same for all.
        let lines = if number == 0 { &outcome.moments[..rows.min(1)] } else { &outcome.moments[..] };
        panel(&mut text, top, title, lines, value);
    }
    missed(&mut text, outcome, TOP + 3.0 * (PANEL + GAP));
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, top: f64, title: &str, lines: &[Vec<Moment>], value: Value) {
    let values = lines.iter().flatten().map(value).filter(|value| value.is_finite());
    let most = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let bottom = top + PANEL;
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\">{title}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most:.0}</text>\
         <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\
         <path d=\"M{LEFT} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#000\"/>",
        top - 4.0,
        LEFT - 6.0,
        top + 10.0,
        LEFT - 6.0,
        WIDTH - RIGHT,
    );
    for (place, line) in lines.iter().enumerate() {
        let every = line.len().div_ceil(POINTS_MAX).max(1);
        let mut path = String::new();
        let mut is_down = false;
        for (minute, pieces) in line.chunks(every).enumerate() {
            // Of several minutes the highest: peaks are what one looks for.
            let highest = pieces.iter().map(value).filter(|value| value.is_finite()).fold(f64::NAN, f64::max);
            if highest.is_nan() {
                is_down = false;
                continue;
            }
            let (x, y) = (x_of(minute * every, line.len()), bottom - highest / most * PANEL);
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
            is_down = true;
        }
        let _ = writeln!(text, "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.2\"/>", colour(place));
    }
}

fn missed(text: &mut String, outcome: &Outcome, top: f64) {
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{}\">minutes in which the objective was missed</text>", top - 4.0);
    for (place, line) in outcome.moments.iter().enumerate() {
        let y = top + place as f64 * 16.0 + 2.0;
        let width = ((WIDTH - LEFT - RIGHT) / line.len().max(1) as f64).max(1.0);
        let name = outcome.report.contenders.get(place).map_or("", |contender| contender.name.as_str());
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"12\" fill=\"#eee\"/>",
            LEFT - 6.0,
            y + 10.0,
            escaped(name),
            WIDTH - LEFT - RIGHT,
        );
        for (minute, _) in line.iter().enumerate().filter(|(_, moment)| moment.missed) {
            let x = x_of(minute, line.len());
            let _ = writeln!(
                text,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" fill=\"{}\"/>",
                colour(place)
            );
        }
    }
}

fn x_of(minute: usize, minutes: usize) -> f64 {
    LEFT + minute as f64 / minutes.max(1) as f64 * (WIDTH - LEFT - RIGHT)
}

fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

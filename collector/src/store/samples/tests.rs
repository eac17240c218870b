//! The samples of one series: what is taken back leaves it as if it had never come.

use super::*;

const SAMPLES: i64 = 300;

fn float(at: i64) -> Sample {
    Sample { timestamp_ms: at * 1_000, value: at as f64 * 1.1 }
}

fn histogram(at: i64) -> HistogramSample {
    let histogram = Histogram { count: at as f64, sum: at as f64 * 0.5, ..Histogram::default() };
    HistogramSample { timestamp_ms: at * 1_000, histogram: histogram.into() }
}

fn read(state: &SeriesState) -> (Vec<Sample>, Vec<HistogramSample>) {
    let mut found = Scratch::default();
    state.read(i64::MIN, i64::MAX, &mut found, &crate::series::Unmetered).unwrap();
    (found.samples, found.histograms)
}

/// A series with the samples before a time, numbers and histograms in turn if it has both.
fn filled(until: i64, kinds: &str) -> SeriesState {
    let mut state = SeriesState::default();
    for at in 0..until {
        let pushed = match kinds {
            "numbers" => state.push(float(at)),
            "histograms" => state.push_histogram(histogram(at)),
            _ if at % 2 == 0 => state.push(float(at)),
            _ => state.push_histogram(histogram(at)),
        };
        assert_eq!(pushed, Pushed::Stored);
    }
    state
}

#[test]
fn what_is_taken_back_was_never_there() {
    for kinds in ["numbers", "histograms", "both"] {
        // Within a chunk, at its edges, over several, all and none.
        for from in [SAMPLES, SAMPLES - 1, 250, 241, 240, 239, 121, 120, 119, 60, 1, 0] {
            let (mut state, wanted) = (filled(SAMPLES, kinds), filled(from, kinds));
            state.take_back(from * 1_000);
            assert_eq!(format!("{:?}", read(&state)), format!("{:?}", read(&wanted)), "{kinds} from {from}");
            assert_eq!(state.is_empty(), from == 0, "{kinds} from {from}");
            assert_eq!(state.push(float(from)), Pushed::Stored, "{kinds} from {from}: it comes again");
            assert_eq!(read(&state).0.last(), Some(&float(from)), "{kinds} from {from}");
        }
    }
}

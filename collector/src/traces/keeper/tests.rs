//! Claims about keeping while the disk fails.

use lifecycle::ManualClock;

use super::*;
use crate::traces::example::{START_MS, span};
use crate::traces::span::{Kind, TraceId};
use crate::traces::{Limits, SpanRetention, Traces};

/// A trace with an error, so that it is kept.
fn accept(traces: &Traces, id: TraceId) {
    traces.sink().accept(vec![(id, Arc::new(span("order", "POST /", Kind::Server, 1, 0).failing()))], 0);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_tried_less_and_less_whoever_wakes_and_then_takes_all() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START_MS));
    let opened = Traces::open(Limits::default(), Arc::new(clock.clone()), folder.path(), SpanRetention::default());
    let (traces, shutdown) = (opened.unwrap(), CancellationToken::new());
    let disk = Arc::clone(traces.core.disk.as_ref().unwrap());
    // What the first segment would be called is taken.
    let taken = folder.path().join("00000001.spans");
    std::fs::create_dir(&taken).unwrap();
    accept(&traces, 1);
    clock.advance_ms(10_000);
    let driving = async {
        // Half way between two looks: attempts are due after 0, 1, 3, 7, 15, 31 and 61 seconds.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..620 {
            traces.core.waiting.notify_one();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((disk.stats().write_failures, disk.stats().spans_written), (7, 0));
        // What comes meanwhile is decided upon all the same.
        accept(&traces, 2);
        clock.advance_ms(10_000);
        tokio::time::sleep(INTERVAL).await;
        assert_eq!(traces.core.store.lock().oldest_open_ms(), None);
        std::fs::remove_dir(&taken).unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((disk.stats().write_failures, disk.stats().spans_written), (7, 2));
        // And from then on at once.
        accept(&traces, 3);
        clock.advance_ms(10_000);
        traces.core.waiting.notify_one();
        tokio::time::sleep(INTERVAL / 10).await;
        assert_eq!(disk.stats().spans_written, 3);
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(traces.keeper().unwrap().run(shutdown.clone()), driving);
    assert_eq!(ended, Ok(()));
}

#[tokio::test]
async fn what_finds_no_room_while_the_disk_fails_is_counted() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START_MS));
    let limits = Limits { bytes_max: usize::MAX, ..Limits::default() };
    let traces = Traces::open(limits, Arc::new(clock.clone()), folder.path(), SpanRetention::default()).unwrap();
    let keeper = traces.keeper().unwrap();
    let taken = folder.path().join("00000001.spans");
    std::fs::create_dir(&taken).unwrap();
    let text = "x".repeat(1 << 20);
    for id in 1..=40 {
        let large = span("order", "POST /", Kind::Server, 1, 0).failing().with("text", text.as_str());
        traces.sink().accept(vec![(id, Arc::new(large))], 0);
    }
    clock.advance_ms(10_000);
    assert!(!keeper.put_off() && !keeper.keep());
    std::fs::remove_dir(&taken).unwrap();
    assert!(keeper.keep());
    let (_, behind) = traces.core.store.lock().lost();
    let written = traces.core.disk.as_ref().unwrap().stats().spans_written;
    assert_eq!(written + behind, 40);
    assert!(written >= 10 && behind >= 20, "{written} {behind}");
    assert_eq!(traces.stats().spans_dropped, behind);
}

use std::sync::mpsc;

use super::*;
use crate::fixtures::{origin, pair, summary};

/// Takes a few bytes at a time, and refuses now and then, like a disk that fills up and is cleared.
struct Reluctant {
    taken: mpsc::Sender<Vec<u8>>,
    calls: usize,
    error: ErrorKind,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(self.error.into());
        }
        let n = bytes.len().min(700);
        self.taken.send(bytes[..n].to_vec()).map_err(|_| ErrorKind::Other)?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn drained(sink: &LineSink) -> u64 {
    sink.drain(Instant::now() + Duration::from_secs(60)).await.unpublished
}

fn records(bytes: &[u8]) -> Vec<SummaryRecord> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "the last line is whole");
    bytes
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| dt_record::decode(None, line).unwrap())
        .collect()
}

#[tokio::test]
async fn lines_stay_whole_over_failing_writes() {
    let (taken, chunks) = mpsc::channel();
    let out = Reluctant {
        taken,
        calls: 0,
        error: ErrorKind::StorageFull,
    };
    let sink = LineSink::start("test".into(), out, origin(), Options::default()).unwrap();
    let pair = pair("b");
    for window in 0..3 {
        sink.window(&[summary(&pair, window)]);
    }
    assert_eq!(drained(&sink).await, 0);
    let bytes: Vec<u8> = chunks.try_iter().flatten().collect();
    let records = records(&bytes);
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        records.iter().map(|record| record.window_start_ms).collect::<Vec<_>>(),
        [0, 10_000, 20_000]
    );
    let stats = sink.stats().snapshot();
    assert_eq!((stats.published, stats.backlog_records, stats.connected), (3, 0, true));
    let probes = Probes {
        accepted: 6,
        published: 6,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
    assert!(stats.failed > 0 && stats.retried > 0 && stats.last_error.is_some());
}

#[tokio::test]
async fn a_broken_pipe_closes_the_sink() {
    let (taken, chunks) = mpsc::channel();
    let out = Reluctant {
        taken,
        calls: 2,
        error: ErrorKind::BrokenPipe,
    };
    let sink = LineSink::start("test".into(), out, origin(), Options::default()).unwrap();
    let pair = pair("b");
    sink.window(&[summary(&pair, 0), summary(&pair, 1)]);
    assert_eq!(drained(&sink).await, 0, "nothing will arrive, so nothing is waited for");
    sink.window(&[summary(&pair, 2)]);
    let stats = sink.stats().snapshot();
    assert_eq!((stats.closed, stats.dropped, stats.published), (true, 3, 0));
    let probes = Probes {
        accepted: 6,
        dropped: 6,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
    assert_eq!(chunks.try_iter().count(), 0);
}

#[tokio::test]
async fn a_file_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let pair = pair("b");
    for run in 0..2 {
        let sink = LineSink::file(path.clone(), origin(), Options::default()).unwrap();
        sink.window(&[summary(&pair, run)]);
        assert_eq!(drained(&sink).await, 0);
    }
    let records = records(&std::fs::read(&path).unwrap());
    assert_eq!(
        records
            .iter()
            .map(|record| (record.seq, record.lost))
            .collect::<Vec<_>>(),
        [(1, 0), (1, 1)]
    );
}

#[tokio::test]
async fn a_window_is_in_the_file_without_a_drain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let sink = LineSink::file(path.clone(), origin(), Options::default()).unwrap();
    let pair = pair("b");
    sink.window(&[summary(&pair, 0)]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while records(&std::fs::read(&path).unwrap()).is_empty() {
        assert!(Instant::now() < deadline, "nothing was written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = LineSink::file("/nonexistent/x.jsonl".into(), origin(), Options::default()).unwrap_err();
    assert!(error.to_string().contains("file:/nonexistent/x.jsonl"), "{error}");
}

//! What is kept comes back as it was, whole or not at all.

use std::os::unix::fs::PermissionsExt;

use dt_record::Options;
use tempfile::TempDir;

use super::*;
use crate::fixtures::{origin, pair, summary};

/// The JSON of record number `seq`.
fn json(seq: u64) -> Vec<u8> {
    SummaryRecord::new(&summary(&pair("b"), seq), &origin(), seq, Options::default()).to_json()
}

fn spool(folder: &Path, stats: &Stats) -> Spool {
    let mut spool = Spool::open(folder).unwrap();
    spool.look(stats);
    spool
}

/// Leaves these records as a run with this id.
fn leave(folder: &Path, boot_id: &str, records: impl Iterator<Item = u64>) -> u64 {
    let origin = Origin {
        boot_id: boot_id.to_owned(),
        ..Origin::clone(&origin())
    };
    spool(folder, &Stats::default())
        .keep(&origin, records.map(json))
        .unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Takes all there are, and has them all arrive.
fn send(spool: &mut Spool, stats: &Stats) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some((record, bytes, file)) = spool.next(stats) {
        assert_eq!(bytes, json(record.seq));
        sent.push(record.seq);
        spool.done(file, stats);
    }
    sent
}

#[test]
fn what_was_left_comes_back_in_order_and_goes_once_it_has_arrived() {
    let folder = TempDir::new().unwrap();
    assert_eq!(leave(folder.path(), "one", 1..4), 3);
    // In another millisecond, as the names say.
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(leave(folder.path(), "two", 7..8), 1);
    let files = names(folder.path());
    assert!(
        files.iter().all(|name| name.ends_with(WHOLE)) && files.len() == 2,
        "{files:?}"
    );
    for name in &files {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let stats = Stats::default();
    let mut first = spool(folder.path(), &stats);
    assert_eq!(stats.snapshot().spool_records, 4);
    let (taken, files): (Vec<_>, Vec<_>) = std::iter::from_fn(|| first.next(&stats))
        .map(|(record, _, file)| (record.seq, file))
        .unzip();
    assert_eq!(taken, [1, 2, 3], "the next file waits until this one has arrived");
    first.done(files[0], &stats);
    first.done(files[1], &stats);
    assert_eq!((names(folder.path()).len(), stats.snapshot().spool_records), (2, 2));
    // Ended before the last one was acknowledged: all three come again.
    drop(first);
    let stats = Stats::default();
    let mut second = spool(folder.path(), &stats);
    assert_eq!(send(&mut second, &stats), [1, 2, 3, 7]);
    assert_eq!((names(folder.path()).len(), stats.snapshot().spool_records), (0, 0));
    assert!(second.next(&stats).is_none());
}

#[test]
fn what_arrives_of_a_file_that_was_given_up_says_nothing_of_the_next() {
    let folder = TempDir::new().unwrap();
    leave(folder.path(), "one", 1..201);
    // In another millisecond, as the names say.
    std::thread::sleep(std::time::Duration::from_millis(2));
    leave(folder.path(), "two", 201..203);
    let stats = Stats::default();
    let mut spool = spool(folder.path(), &stats);
    let first = folder.path().join(&names(folder.path())[0]);
    let mut given_up = Vec::new();
    for seq in 1..4 {
        let (record, _, file) = spool.next(&stats).unwrap();
        assert_eq!(record.seq, seq);
        given_up.push(file);
    }
    spool.done(given_up[0], &stats);
    assert_eq!(stats.snapshot().spool_records, 201);
    // It fails in the midst, beyond what was read ahead.
    let file = File::options().write(true).open(&first).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let mut taken = Vec::new();
    while let Some((record, _, file)) = spool.next(&stats) {
        match record.seq {
            201.. => taken.push(file),
            _ => given_up.push(file),
        }
    }
    assert_eq!(taken.len(), 2, "all of the second");
    assert!(given_up.len() < 200, "{}", given_up.len());
    assert_eq!(
        (stats.snapshot().spool_set_aside, stats.snapshot().spool_records),
        (1, 2)
    );
    // Those of the first that were on their way arrive: the second's have not.
    given_up[1..].iter().for_each(|file| spool.done(*file, &stats));
    assert_eq!(stats.snapshot().spool_records, 2);
    assert!(names(folder.path()).iter().any(|name| name.ends_with(WHOLE)));
    taken.iter().for_each(|file| spool.done(*file, &stats));
    assert_eq!(stats.snapshot().spool_records, 0);
    assert!(names(folder.path()).iter().all(|name| name.ends_with(SET_ASIDE)));
}

#[test]
fn nothing_to_keep_is_no_file() {
    let folder = TempDir::new().unwrap();
    assert_eq!(leave(folder.path(), "one", 0..0), 0);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn damaged_and_foreign_files_are_set_aside_and_hold_up_no_other() {
    let folder = TempDir::new().unwrap();
    leave(folder.path(), "good", 1..3);
    let good = folder.path().join(&names(folder.path())[0]);
    let text = std::fs::read_to_string(&good).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let without_end = lines[..lines.len() - 1].join("\n") + "\n";
    let bad = [
        String::new(),
        "{\"some\":\"thing\"}\n".to_owned(),
        text.replacen("\"distributed_trace_spool\":1", "\"distributed_trace_spool\":2", 1),
        without_end,
        text[..text.len() - 1].to_owned(),
        text.replacen("\"lost\":1", "\"lost\":2", 1),
        text.replacen("\"records\":2", "\"records\":3", 1),
        format!("{text}{}\n", lines[1]),
        format!("{}\n{{}}\n{}\n", lines[0], lines[lines.len() - 1]),
        "x".repeat(3 << 20),
    ];
    for (index, text) in bad.iter().enumerate() {
        std::fs::write(folder.path().join(format!("0-{index}{WHOLE}")), text).unwrap();
    }
    // A name that leads elsewhere, a folder, one that was never finished, and what is nobody's business.
    std::os::unix::fs::symlink("/dev/zero", folder.path().join(format!("0-link{WHOLE}"))).unwrap();
    std::fs::create_dir(folder.path().join(format!("0-folder{WHOLE}"))).unwrap();
    std::fs::write(folder.path().join(format!("1-x{HALF}")), "half").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let stats = Stats::default();
    let mut spool = spool(folder.path(), &stats);
    let wrong = bad.len() as u64 + 2;
    assert_eq!(stats.snapshot().spool_set_aside, wrong);
    assert_eq!(send(&mut spool, &stats), [1, 2]);
    let left = names(folder.path());
    assert_eq!(left.len() as u64, wrong + 1, "{left:?}");
    assert!(
        left.iter().all(|name| name.ends_with(SET_ASIDE) || name == "notes.txt"),
        "{left:?}"
    );
}

#[test]
fn every_byte_counts() {
    let folder = TempDir::new().unwrap();
    leave(folder.path(), "good", 1..2);
    let path = folder.path().join(&names(folder.path())[0]);
    let good = std::fs::read(&path).unwrap();
    assert_eq!(file::verify(&path).unwrap(), 1);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(file::verify(&path).is_err(), "byte {at}");
        std::fs::write(&path, &good[..at]).unwrap();
        assert!(file::verify(&path).is_err(), "the first {at} bytes");
    }
}

#[test]
fn the_bound_holds_for_all_files_together() {
    let folder = TempDir::new().unwrap();
    let stats = Stats::default();
    let one = json(1).len() as u64;
    for run in 0..4_u64 {
        let mut spool = spool(folder.path(), &stats);
        spool.bound = 10 * one;
        let boot = Origin {
            boot_id: run.to_string(),
            ..Origin::clone(&origin())
        };
        let kept = spool.keep(&boot, (1..5).map(json)).unwrap();
        assert_eq!(kept, 4);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let files = names(folder.path());
    let boots: Vec<_> = files.iter().map(|name| name.split_once('-').unwrap().1).collect();
    assert_eq!(boots, ["2.spool", "3.spool"], "the oldest had to go");
    // A run that alone has more keeps what there is room for, the oldest.
    let mut full = spool(folder.path(), &stats);
    full.bound = 3 * one + one / 2;
    let kept = full.keep(&origin(), (1..100).map(json)).unwrap();
    assert!((2..=3).contains(&kept), "{kept}");
    let mut spool = spool(folder.path(), &stats);
    assert_eq!(send(&mut spool, &stats), (1..=kept).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said_at_once() {
    let folder = TempDir::new().unwrap();
    assert!(Spool::open(&folder.path().join("none")).is_err());
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(Spool::open(&folder.path().join("file")).is_err());
    assert!(Spool::open(Path::new("/proc/self")).is_err());
}

//! What fuzzing calls, over the kept corpora, over changed inputs of theirs, and over random bytes: the same on every run.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use dt_fuzz::{TARGETS, Target};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};

/// Random inputs of each target, and as many made of kept ones.
const INPUTS: usize = 1_000;
const LONGEST_RANDOM: usize = 400;
/// All corpora together: they are in the repository.
const MOST_BYTES: u64 = 1_000_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The kept inputs of a target, in an order that is always the same.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let inputs = files.into_iter().map(|file| {
        let bytes = fs::read(&file).unwrap();
        (file, bytes)
    });
    inputs.collect()
}

/// Calls `target`; where it panics, says what it was called with, for `fuzz/corpus` to keep.
fn call(name: &str, target: Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{name} fails on {what}, as said above. It is, in hexadecimal: {hex}");
    }
}

fn run(name: &str) {
    let (_, target) = *TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty: scripts/fuzz fills it");
    for (file, input) in &corpus {
        call(name, target, input, &file.display().to_string());
    }
    let mut random = StdRng::seed_from_u64(1);
    for at in 0..INPUTS {
        let mut input = vec![0; random.random_range(0..LONGEST_RANDOM)];
        random.fill_bytes(&mut input);
        call(name, target, &input, &format!("random input {at}"));
        let (file, kept) = corpus.choose(&mut random).unwrap();
        let (_, other) = corpus.choose(&mut random).unwrap();
        let input = changed(kept.clone(), other, &mut random);
        call(name, target, &input, &format!("change {at} of {}", file.display()));
    }
}

/// One to four changes of the kind that decoders are wrong about.
fn changed(mut input: Vec<u8>, other: &[u8], random: &mut StdRng) -> Vec<u8> {
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=input.len());
        let end = (at + random.random_range(0..16)).min(input.len());
        match random.random_range(0..7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..end, [0xff, 0, 0x80, 0x7f].repeat(2))),
            3 => input[at..end].fill(*[0, 0xff, b'9', b'"'].choose(random).unwrap()),
            4 => {
                let part = input[at..end].repeat(3);
                drop(input.splice(at..at, part));
            }
            5 => {
                let from = random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    input
}

macro_rules! targets {
    ($($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )+

        #[test]
        fn every_target_is_fuzzed_and_has_a_corpus_that_is_small() {
            let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(all, BTreeSet::from([$(stringify!($name).to_owned()),+]));
            let names = |folder: &str| -> BTreeSet<String> {
                let entries = fs::read_dir(fuzz().join(folder)).unwrap();
                let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
                entries.map(|entry| stem(entry.unwrap().path())).collect()
            };
            assert_eq!(names("corpus"), all);
            assert_eq!(names("fuzz_targets"), all);
            let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
            for name in &all {
                assert!(manifest.contains(&format!("\npath = \"fuzz_targets/{name}.rs\"\n")), "{name}");
            }
            let bytes = all.iter().flat_map(|name| corpus(name)).map(|(_, input)| input.len() as u64);
            assert!(bytes.sum::<u64>() <= MOST_BYTES, "fuzz/corpus is to stay small: cargo fuzz cmin");
        }
    };
}

targets!(
    config, control, echo, grpc, hdr, http, intake, member, peers, record, rollup, syn
);

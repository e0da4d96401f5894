//! Diagnosis of clusters that exist in numbers alone, with known faults.

mod course;
mod faults;
mod hard;
mod over_time;
mod score;
mod world;

use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, Findings, Pattern};
use dt_probe::ProbeKind;
use faults::{Fault, SORTS, draw};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use score::Score;
use world::{Fate, World};

/// Four zones of three racks of four nodes.
fn cluster() -> World {
    World::new(4, 3, 4)
}

/// What is said about the faults in `world`.
fn diagnose(world: &mut World, faults: &[Fault], rng: &mut StdRng) -> Findings {
    for fault in faults {
        fault.prepare(world);
    }
    let world = &*world;
    let [recent, minute, hour] = world.snapshots(rng, |s, d, kind: ProbeKind| {
        let fates = faults.iter().map(|fault| fault.fate(world, s, d, kind));
        fates.fold(Fate::default(), |a, b| Fate {
            lost: a.lost.max(b.lost),
            refused: a.refused.max(b.refused),
            delay_ns: a.delay_ns.max(b.delay_ns),
            dead_ports: a.dead_ports.max(b.dead_ports),
        })
    });
    let mut diagnosis = Diagnosis::new(DiagnosisConfig::default());
    (*diagnosis.update(&recent, &minute, &hour)).clone()
}

#[test]
fn single_faults_are_named() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut score = Score::default();
    for round in 0..8 {
        for sort in 0..SORTS {
            let mut world = cluster();
            // A window, two, a minute, several.
            world.age_ms = [20_000, 40_000, 60_000, 300_000][round % 4];
            let fault = draw(sort, &world, &mut rng);
            if matches!(
                fault,
                Fault::Left(_) | Fault::NodeSilent(_) | Fault::Blind | Fault::DeadFlow(..)
            ) || sort == 23
            {
                // These take longer to be known for what they are.
                world.age_ms = world.age_ms.max(300_000);
            }
            let findings = diagnose(&mut world, &[fault], &mut rng);
            score.count(
                &fault.expected(&world),
                &findings,
                &format!("{fault:?} for {} s", world.age_ms / 1000),
            );
        }
    }
    println!("one fault at a time: {score}");
    assert!(score.precision() >= 0.98 && score.recall() >= 0.98, "{score}");
}

#[test]
fn sound_networks_give_no_finding() {
    let mut rng = StdRng::seed_from_u64(7);
    for run in 0..60 {
        let mut world = cluster();
        world.noise = [0.0, 0.0005, 0.001, 0.003][run % 4];
        let findings = diagnose(&mut world, &[], &mut rng);
        assert_eq!(findings.findings, [], "run {run}");
        assert_eq!(findings.pattern, Pattern::Normal);
    }
}

#[test]
fn two_faults_at_once_are_both_named() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut score = Score::default();
    for _ in 0..80 {
        let mut world = cluster();
        let far = |world: &World, a: &Fault, b: &Fault| {
            let zones = |fault: &Fault| fault.zones(world);
            zones(a).iter().all(|zone| !zones(b).contains(zone))
        };
        let (first, second) = loop {
            let mut one = || draw(rng.random_range(0..SORTS - 1), &world, &mut rng);
            let (first, second) = (one(), one());
            if far(&world, &first, &second) {
                break (first, second);
            }
        };
        world.age_ms = 300_000;
        let findings = diagnose(&mut world, &[first, second], &mut rng);
        let mut expected = first.expected(&world);
        expected.extend(second.expected(&world));
        score.count(&expected, &findings, &format!("{first:?} and {second:?}"));
    }
    println!("two faults at a time: {score}");
    assert!(score.precision() >= 0.95 && score.recall() >= 0.95, "{score}");
}

#[test]
fn the_four_patterns_are_labelled() {
    let mut rng = StdRng::seed_from_u64(9);
    let cases = [
        (vec![], Pattern::Normal),
        (vec![Fault::RackDown(5)], Pattern::PodsetDown),
        (vec![Fault::Rack(5, 0.5)], Pattern::PodsetFailure),
        (vec![Fault::Spine(0.3)], Pattern::SpineFailure),
        (vec![Fault::NodeDown(5)], Pattern::Unknown),
    ];
    for (faults, pattern) in cases {
        let findings = diagnose(&mut cluster(), &faults, &mut rng);
        assert_eq!(findings.pattern, pattern, "{findings:?}");
    }
}

//! Where little can be seen, or much at once: what remains of precision and recall.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::faults::{Fault, SORTS, draw};
use crate::score::Score;
use crate::{cluster, diagnose};

/// Each node probes twelve of the 47 others.
#[test]
fn a_pinglist_of_a_quarter_is_enough() {
    let mut rng = StdRng::seed_from_u64(10);
    let mut score = Score::default();
    for _ in 0..5 {
        for sort in 0..SORTS {
            let mut world = cluster();
            world.reach = 6;
            world.age_ms = 300_000;
            let fault = loop {
                let fault = draw(sort, &world, &mut rng);
                // A fault between two nodes that don't probe each other is nobody's to see.
                if fault.ends().is_none_or(|(a, b)| world.probes(a, b)) {
                    break fault;
                }
            };
            let findings = diagnose(&mut world, &[fault], &mut rng);
            score.count(&fault.expected(&world), &findings, &format!("{fault:?}"));
        }
    }
    println!("a quarter of the pairs: {score}");
    assert!(score.precision() >= 0.95 && score.recall() >= 0.95, "{score}");
}

/// Three faults anywhere: they overlap, and one may hide another.
#[test]
fn three_faults_anywhere_are_mostly_named() {
    let mut rng = StdRng::seed_from_u64(11);
    let mut score = Score::default();
    for _ in 0..80 {
        let mut world = cluster();
        world.age_ms = 300_000;
        let faults: Vec<Fault> = (0..3)
            .map(|_| draw(rng.random_range(0..SORTS - 1), &world, &mut rng))
            .collect();
        let findings = diagnose(&mut world, &faults, &mut rng);
        let expected: Vec<_> = faults.iter().flat_map(|fault| fault.expected(&world)).collect();
        score.count(&expected, &findings, &format!("{faults:?}"));
    }
    println!("three faults anywhere: {score}");
    assert!(score.precision() >= 0.95 && score.recall() >= 0.85, "{score}");
}

/// Loss of 2 to 8 %, as of a dirty fibre.
#[test]
fn faint_loss_is_seen_where_many_pairs_share_it() {
    let mut rng = StdRng::seed_from_u64(12);
    let mut score = Score::default();
    for round in 0..60 {
        let mut world = cluster();
        let (a, b) = (rng.random_range(0..24), rng.random_range(24..48));
        let share = rng.random_range(0.02..0.08);
        let fault = match round % 6 {
            0 => Fault::NodeLink(a, share),
            1 => Fault::Rack(a, share),
            2 => Fault::Zone(a, share),
            3 => Fault::ZonePair(a, b, share),
            4 => Fault::Spine(share),
            _ => Fault::Prober(a, share),
        };
        let findings = diagnose(&mut world, &[fault], &mut rng);
        score.count(&fault.expected(&world), &findings, &format!("{fault:?}"));
    }
    println!("loss of 2 to 8 %: {score}");
    assert!(score.precision() >= 0.9 && score.recall() >= 0.9, "{score}");
}

//! Faults of every kind at random for a minute, from a seed: what `scripts/soak` does for as long as one likes.

use distributed_trace_tests::error::Result;
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::soak::{Options, run};
use std::time::Duration;

#[test]
fn a_minute_of_faults_at_random_loses_nothing_and_invents_nothing() -> Result {
    let _turn = take_turn()?;
    run(Options {
        seed: 7,
        length: Duration::from_secs(60),
    })
}

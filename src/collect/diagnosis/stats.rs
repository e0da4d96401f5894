//! How strongly counts speak for or against a rate, in nats.
//!
//! Against chance by Chernoff's bound, which holds for every count and needs no table: of `n` independent trials that
//! each fail with probability `p`, the chance that the share of failures is as far from `p` as `k / n`, on that side, is
//! at most `exp(-divergence(k, n, p))`. Between two rates by the likelihood ratio.

/// No rate is taken for higher: at 1, a single success would decide everything.
const TOP: f64 = 0.99;

/// `n` times the Kullback-Leibler divergence of `k / n` from `p`.
fn divergence(k: f64, n: f64, p: f64) -> f64 {
    if n <= 0.0 {
        return 0.0;
    }
    let share = (k / n).clamp(0.0, 1.0);
    let part = |share: f64, p: f64| if share > 0.0 { share * (share / p).ln() } else { 0.0 };
    n * (part(share, p) + part(1.0 - share, 1.0 - p))
}

/// How strongly `k` of `n` says that more than `p` fail; 0 where it doesn't.
pub(super) fn excess(k: f64, n: f64, p: f64) -> f64 {
    if k > n * p { divergence(k, n, p) } else { 0.0 }
}

/// How much likelier `k` of `n` is where `rate` fail than where no more than `background` do. Below 0 the trials look
/// sound.
pub(super) fn support(k: f64, n: f64, rate: f64, background: f64) -> f64 {
    let (gain, price) = odds(rate, background);
    k * gain - (n - k) * price
}

/// At most so likely do `n` trials look sound although `rate` fail.
pub(super) fn looks_sound(n: f64, rate: f64, background: f64) -> f64 {
    let (gain, price) = odds(rate, background);
    (-divergence(n * price / (gain + price), n, rate.min(TOP))).exp()
}

/// What one failure says for `rate`, and one success against it.
fn odds(rate: f64, background: f64) -> (f64, f64) {
    let rate = rate.clamp(background, TOP);
    ((rate / background).ln(), ((1.0 - background) / (1.0 - rate)).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chance of fewer than `k` failures, term by term.
    fn below(k: u32, n: u32, p: f64) -> f64 {
        let mut term = (1.0 - p).powi(i32::try_from(n).unwrap_or(0));
        let mut sum = 0.0;
        for i in 0..k {
            sum += term;
            term *= f64::from(n - i) / f64::from(i + 1) * p / (1.0 - p);
        }
        sum
    }

    #[test]
    fn the_bound_is_never_below_the_true_chance() {
        for (n, p) in [(10, 0.005), (20, 0.05), (60, 0.3)] {
            for k in 1..=n {
                if f64::from(k) > f64::from(n) * p {
                    let bound = (-excess(f64::from(k), f64::from(n), p)).exp();
                    assert!(bound >= 1.0 - below(k, n, p) - 1e-12, "{k} of {n} at {p}");
                }
            }
        }
    }

    #[test]
    fn one_in_twenty_says_little_and_ten_in_ten_says_much() {
        assert!(excess(1.0, 20.0, 0.005) < 2.0);
        assert!(excess(10.0, 10.0, 0.005) > 50.0);
        assert_eq!(excess(0.0, 0.0, 0.1), 0.0);
    }

    #[test]
    fn few_trials_can_look_sound_by_chance_and_many_cannot() {
        assert!(support(0.0, 10.0, 0.3, 0.005) < 0.0);
        assert!(support(1.0, 10.0, 0.3, 0.005) > 0.0);
        for (n, rate) in [(5, 0.3), (20, 0.3), (60, 0.1)] {
            let sound = (0..=n).take_while(|k| support(f64::from(*k), f64::from(n), rate, 0.005) < 0.0);
            let chance = below(u32::try_from(sound.count()).unwrap_or(0), n, rate);
            let bound = looks_sound(f64::from(n), rate, 0.005);
            assert!(chance <= bound + 1e-12, "{n} at {rate}: {chance} {bound}");
        }
        assert!(looks_sound(200.0, 0.3, 0.005) < 1e-12);
    }
}

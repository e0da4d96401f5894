//! Which known name a mistyped one was probably meant to be.

/// The candidate nearest to `given`, where it is near enough to be worth naming: at most a third of it differs.
pub(super) fn nearest<T: AsRef<str>>(given: &str, candidates: impl Iterator<Item = T>) -> Option<T> {
    candidates
        .map(|candidate| (distance(given, candidate.as_ref()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.as_ref().chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, deleted or replaced to get from one to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["window", "max_peers", "DT_ICMP_INTERVAL"];
        assert_eq!(nearest("windwo", names.iter()), Some(&"window"));
        assert_eq!(nearest("maxpeers", names.iter()), Some(&"max_peers"));
        assert_eq!(nearest("DT_ICMP_INTERVALL", names.iter()), Some(&"DT_ICMP_INTERVAL"));
        assert_eq!(nearest("DT_SERVICE_HOST", names.iter()), None);
        assert_eq!(nearest("", names.iter()), None);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected);
        }
    }
}

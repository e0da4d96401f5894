//! A part of the cluster by its labels.

use std::str::FromStr;

use dt_record::Endpoint;
use percent_encoding::percent_decode_str;

use crate::snapshot::standing;

/// A region, a zone of a region, or a rack of a zone: all nodes with these labels, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Vec<String>);

impl Place {
    /// Whether a node stands there.
    #[must_use]
    pub fn holds(&self, node: &Endpoint) -> bool {
        self.holds_labels(standing(node))
    }

    /// The same by region, zone, rack and name.
    pub(crate) fn holds_labels(&self, labels: [&str; 4]) -> bool {
        self.0.iter().zip(labels).all(|(wanted, label)| wanted == label)
    }
}

/// Not a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no place; accepted: REGION, REGION/ZONE or REGION/ZONE/RACK, each percent-encoded and empty where there is no such label"
)]
pub struct BadPlace(String);

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Place, BadPlace> {
        let bad = || BadPlace(text.to_owned());
        let decoded = |part| percent_decode_str(part).decode_utf8().map(String::from);
        let labels: Result<Vec<String>, _> = text.split('/').map(decoded).collect();
        let labels = labels.map_err(|_| bad())?;
        if labels.len() <= 3 {
            Ok(Place(labels))
        } else {
            Err(bad())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(region: &str, zone: &str, rack: &str) -> Endpoint {
        Endpoint {
            node: "n".into(),
            zone: zone.into(),
            rack: rack.into(),
            region: region.into(),
        }
    }

    #[test]
    fn a_place_holds_the_nodes_with_its_labels() {
        let of = |text: &str, node: &Endpoint| text.parse::<Place>().is_ok_and(|place| place.holds(node));
        let one = node("eu", "a/b", "r 1");
        for holds in ["eu", "eu/a%2Fb", "eu/a%2Fb/r%201", "eu/a%2Fb/r 1"] {
            assert!(of(holds, &one), "{holds}");
        }
        for other in ["", "us", "eu/a", "/a%2Fb", "eu/a%2Fb/", "eu/a%2Fb/r1"] {
            assert!(!of(other, &one), "{other}");
        }
        assert!(of("", &node("", "z", "r")) && of("/", &node("", "", "r")) && of("/z", &node("", "z", "")));
        for bad in ["a/b/c/d", "%ff"] {
            assert_eq!(bad.parse::<Place>(), Err(BadPlace(bad.to_owned())));
        }
    }
}

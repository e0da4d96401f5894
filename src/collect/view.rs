//! How far back numbers reach.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A span of time up to now over which records are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// The newest two windows of each series: what is the matter now.
    Recent,
    /// The last minute.
    #[default]
    Minute,
    /// The last ten minutes.
    TenMinutes,
    /// The last hour.
    Hour,
}

impl View {
    /// All of them, the shortest first.
    pub const ALL: [View; 4] = [View::Recent, View::Minute, View::TenMinutes, View::Hour];

    /// As it stands in addresses and answers of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            View::Recent => "recent",
            View::Minute => "1m",
            View::TenMinutes => "10m",
            View::Hour => "1h",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no view; accepted: recent, 1m, 10m, 1h")]
pub struct UnknownView(String);

impl FromStr for View {
    type Err = UnknownView;

    fn from_str(text: &str) -> Result<View, UnknownView> {
        let found = View::ALL.into_iter().find(|view| view.as_str() == text);
        found.ok_or_else(|| UnknownView(text.to_owned()))
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

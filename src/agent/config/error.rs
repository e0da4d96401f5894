//! What is wrong with a configuration, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, or what stands in its place (a file, an unknown key).
    pub key: String,
    /// The value as given; `None` where there is none or where it may be a secret.
    pub value: Option<String>,
    /// Where it came from, in words: `flag --window`, `variable DT_WINDOW`, `file PATH`, `default`.
    pub origin: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub accepted: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " ({}): {}; accepted: {}", self.origin, self.reason, self.accepted)
    }
}

/// Everything that is wrong, one line each, and the warnings that were found on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// At least one.
    pub errors: Vec<ConfigError>,
    /// As in a configuration without errors.
    pub warnings: Vec<String>,
    /// The peers file, where there would be one: what is wrong in it is to be said with the rest.
    pub peers: Option<PathBuf>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            let end = if at + 1 < self.errors.len() { "\n" } else { "" };
            write!(f, "{error}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

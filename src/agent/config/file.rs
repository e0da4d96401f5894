//! The layer of `--config FILE`: TOML, unknown keys refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConfigError;
use super::key::{Key, Kind};
use super::keys::KEYS;
use super::raw::Raw;

/// A hundred times what all keys take; more is another file, or none at all (`/dev/zero`).
const MOST_BYTES: u64 = 1 << 20;

/// Reads `path` into the values it sets, in the table's order, adding to `errors` everything that is wrong.
pub(super) fn read(path: &Path, errors: &mut Vec<ConfigError>) -> Vec<(&'static Key, Raw)> {
    let origin = format!("file {}", path.display());
    let mut fail = |key: &str, reason: String, accepted: &str| {
        let key = key.to_owned();
        errors.push(ConfigError {
            key,
            value: None,
            origin: origin.clone(),
            reason,
            accepted: accepted.to_owned(),
        });
    };
    let text = match text(path) {
        Ok(text) => text,
        Err(why) => {
            fail("config", format!("can't be read: {why}"), "the path of a TOML file");
            return Vec::new();
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(why) => {
            let line = why.span().map_or(1, |span| {
                1 + text.bytes().take(span.start).filter(|&b| b == b'\n').count()
            });
            fail(
                "config",
                format!("line {line}: {}", why.message().replace('\n', "; ")),
                "TOML",
            );
            return Vec::new();
        }
    };
    let mut walk = Walk {
        origin,
        errors,
        values: Vec::new(),
    };
    walk.table("", &table);
    let mut values = walk.values;
    let rank = |key: &Key| KEYS.iter().position(|k| std::ptr::eq(k, key));
    values.sort_by_key(|(key, _)| rank(key));
    values
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("more than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

struct Walk<'a> {
    origin: String,
    errors: &'a mut Vec<ConfigError>,
    values: Vec<(&'static Key, Raw)>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let given = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            // The flags' spelling is understood too: `max-peers` is `max_peers`.
            let path = given.replace('-', "_");
            if let Some(key) = KEYS.iter().find(|key| key.path == path) {
                self.value(key, &given, value);
                continue;
            }
            let section = format!("{path}.");
            match value.as_table() {
                Some(inner) if KEYS.iter().any(|key| key.path.starts_with(&section)) => self.table(&path, inner),
                _ => self.unknown(&given),
            }
        }
    }

    fn value(&mut self, key: &'static Key, given: &str, value: &toml::Value) {
        if self.values.iter().any(|(known, _)| std::ptr::eq(*known, key)) {
            self.fail(
                given,
                None,
                "set twice, once with '-' and once with '_'".to_owned(),
                key.accepted.to_owned(),
            );
            return;
        }
        match Raw::from_toml(key, value) {
            Ok(raw) => self.values.push((key, raw)),
            Err(why) => {
                let shown = (!key.secret && !matches!(key.kind, Kind::Map(_))).then(|| value.to_string());
                self.fail(key.path, shown, why, key.accepted.to_owned());
            }
        }
    }

    fn unknown(&mut self, given: &str) {
        let known = || KEYS.iter().filter(|key| !key.hidden).map(|key| key.path);
        let accepted = match super::near::nearest(given, known()) {
            Some(near) => format!("perhaps {near}; `dt config show` lists every key"),
            None => format!("one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        self.fail(given, None, "unknown key".to_owned(), accepted);
    }

    fn fail(&mut self, key: &str, value: Option<String>, reason: String, accepted: String) {
        self.errors.push(ConfigError {
            key: key.to_owned(),
            value,
            origin: self.origin.clone(),
            reason,
            accepted,
        });
    }
}

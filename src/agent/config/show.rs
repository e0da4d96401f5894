//! The effective configuration and where each value came from, as TOML that can be read back.

use super::key::{Key, Kind};
use super::keys::KEYS;
use super::load::Loaded;
use super::raw::{Raw, Source};

/// One line a key: `path = value  # source`. Secrets are masked.
#[must_use]
pub fn show(loaded: &Loaded) -> Vec<String> {
    let mut lines = Vec::new();
    for key in KEYS {
        let Some(setting) = loaded.settings.get(key.path) else {
            continue;
        };
        if key.hidden && setting.source == Source::Default {
            continue;
        }
        match &setting.raw {
            Raw::Map(_) if !loaded.option_sources.is_empty() => options(loaded, key, &mut lines),
            raw => lines.push(format!("{} = {}  # {}", key.path, value(key, raw), setting.source)),
        }
    }
    lines
}

fn value(key: &Key, raw: &Raw) -> String {
    match raw {
        Raw::Text(text) if key.secret && !text.is_empty() => "\"***\"".to_owned(),
        Raw::Text(text) if matches!(key.kind, Kind::Bare(_)) => text.clone(),
        Raw::Text(text) => quoted(text),
        // Kinds and networks may stand several in one item.
        Raw::List(items) => {
            let items: Vec<String> = match key.path {
                "probe" | "zookeeper.allowed_networks" => items
                    .iter()
                    .flat_map(|item| item.split(','))
                    .map(|item| quoted(item.trim()))
                    .collect(),
                _ => items.iter().map(|item| quoted(item)).collect(),
            };
            format!("[{}]", items.join(", "))
        }
        Raw::Map(_) => "{}".to_owned(),
    }
}

fn options(loaded: &Loaded, key: &Key, lines: &mut Vec<String>) {
    for (name, value) in &loaded.config.kafka.all_options() {
        let value = if is_secret(name) { "***" } else { value };
        let source = loaded.option_sources.get(name).unwrap_or(&Source::Default);
        lines.push(format!("{}.{} = {}  # {source}", key.path, quoted(name), quoted(value)));
    }
}

/// Whether an option of librdkafka holds a secret, by its name.
fn is_secret(name: &str) -> bool {
    [
        "password",
        "passphrase",
        "secret",
        "key.pem",
        "jaas",
        "oauthbearer.config",
        "token",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// As a TOML string on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! Values as they come from a layer, before they are checked, and the layers themselves.

use std::fmt;

use dt_sink::kafka::looks_like_option;

use super::key::{Key, Kind};

/// A value before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A single value.
    Text(String),
    /// Items of a list.
    List(Vec<String>),
    /// Options by name.
    Map(Vec<(String, String)>),
}

/// Where a value came from, the lowest layer first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table of keys.
    Default,
    /// The file of `--config`.
    File,
    /// These variables (two where host and port are set apart).
    Variable(String),
    /// The command line.
    Flag,
    /// The file of `kafka.options_file`.
    OptionsFile,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File => f.write_str("file"),
            Source::Variable(name) => f.write_str(name),
            Source::Flag => f.write_str("flag"),
            Source::OptionsFile => f.write_str("kafka.options_file"),
        }
    }
}

impl Raw {
    /// A variable's or a default's text, as `key` takes it.
    ///
    /// # Errors
    /// Says which item is no option.
    pub(super) fn from_text(key: &Key, text: &str) -> Result<Raw, String> {
        match key.kind {
            Kind::Text(_) | Kind::Bare(_) => Ok(Raw::Text(text.to_owned())),
            Kind::List(_) => Ok(Raw::List(items(text))),
            Kind::Map(_) => {
                let options = options(items(text).iter())?;
                match options.iter().position(|(name, _)| !looks_like_option(name)) {
                    // It may be the other half of a secret with a comma in it, so it is not repeated.
                    Some(at) => Err(format!(
                        "what item {} has before its '=' is not an option's name; values with a comma can't be given here",
                        at + 1
                    )),
                    None => Ok(Raw::Map(options)),
                }
            }
        }
    }

    /// A flag's texts, one for each time it was given. The last one counts where the key takes only one.
    ///
    /// # Errors
    /// Says which item is no option.
    pub(super) fn from_flags(key: &Key, texts: &[String]) -> Result<Raw, String> {
        match key.kind {
            Kind::Text(_) | Kind::Bare(_) => Ok(Raw::Text(texts.last().cloned().unwrap_or_default())),
            Kind::List(_) => Ok(Raw::List(texts.to_vec())),
            Kind::Map(_) => Ok(Raw::Map(options(texts.iter())?)),
        }
    }

    /// A value of the TOML file.
    ///
    /// # Errors
    /// Says which type would be right.
    pub(super) fn from_toml(key: &Key, value: &toml::Value) -> Result<Raw, String> {
        match key.kind {
            Kind::Text(_) | Kind::Bare(_) => scalar(value)
                .map(Raw::Text)
                .ok_or_else(|| "not a single value".to_owned()),
            Kind::List(_) => match value {
                toml::Value::String(text) => Ok(Raw::List(items(text))),
                toml::Value::Array(values) => {
                    let texts: Option<Vec<String>> = values.iter().map(|v| v.as_str().map(str::to_owned)).collect();
                    texts.map(Raw::List).ok_or_else(|| "not an array of strings".to_owned())
                }
                _ => Err("neither an array of strings nor a string".to_owned()),
            },
            Kind::Map(_) => {
                let table = value.as_table().ok_or("not a table")?;
                let mut options = Vec::new();
                flatten("", table, &mut options)?;
                Ok(Raw::Map(options))
            }
        }
    }

    /// As it was given, for a message. `None` for options, which may be secrets.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Raw::Text(text) => Some(text.clone()),
            Raw::List(items) => Some(items.join(",")),
            Raw::Map(_) => None,
        }
    }
}

fn items(text: &str) -> Vec<String> {
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(|item| item.trim().to_owned()).collect()
    }
}

fn options<'a>(items: impl Iterator<Item = &'a String>) -> Result<Vec<(String, String)>, String> {
    items
        .enumerate()
        .map(|(at, item)| match item.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
            // The item itself may be half of a secret with a comma in it.
            None => Err(format!("item {} has no '='", at + 1)),
        })
        .collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// `security.protocol = "SSL"` without quotes is a table in a table in TOML, and plainly means the option.
fn flatten(prefix: &str, table: &toml::Table, options: &mut Vec<(String, String)>) -> Result<(), String> {
    for (name, value) in table {
        let name = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, options)?,
            other => {
                let text = scalar(other).ok_or_else(|| format!("option {name:?} is not a single value"))?;
                options.push((name, text));
            }
        }
    }
    Ok(())
}

//! Lays the layers on top of each other, lowest first: defaults, file, the original's variables, `DT_` variables,
//! flags. Every value of every layer is checked, also one that a higher layer overrides: it would bite later.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use super::draft::Draft;
use super::error::{ConfigError, ConfigErrors};
use super::file;
use super::host_port::{HostPort, parse_host, parse_port};
use super::key::{Convert, Key, Kind, Original};
use super::keys::{KEYS, ORIGINALS};
use super::model::AgentConfig;
use super::near::nearest;
use super::raw::{Raw, Source};

/// Everything a configuration is made of. Nothing else of the process is read.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line sets.
    pub flags: Vec<Flag>,
    /// The host's name, the default of `node`; `None` where it can't be found out.
    pub host_name: Option<String>,
    /// `DT_` variables that are not in the table of keys but known all the same.
    pub known_variables: BTreeSet<String>,
    /// Where set, only these keys are read and checked; all others keep their default unseen.
    pub only: Option<&'static [&'static str]>,
}

/// A flag that was given, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The key it sets.
    pub path: &'static str,
    /// Its name without the dashes, for messages.
    pub name: String,
    /// Its values in the order given.
    pub values: Vec<String>,
}

impl Inputs {
    /// The environment and host name of this process; no file, no flags.
    #[must_use]
    pub fn of_process() -> Inputs {
        // What uname(2) reports as nodename, and so what `hostname` prints.
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        Inputs {
            environment: std::env::vars_os().collect(),
            host_name: host_name
                .ok()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty()),
            ..Inputs::default()
        }
    }

    fn reads(&self, path: &str) -> bool {
        self.only.is_none_or(|only| only.contains(&path))
    }
}

/// The effective value of a key and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value as given.
    pub raw: Raw,
    /// The layer it is from. Options of a [`Raw::Map`] come from several: see [`Loaded::option_sources`].
    pub source: Source,
}

/// A configuration without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program reads.
    pub config: AgentConfig,
    /// By path, what `dt config show` prints.
    pub settings: BTreeMap<&'static str, Setting>,
    /// Where each option of the Kafka client came from.
    pub option_sources: BTreeMap<String, Source>,
    /// What is odd but harmless, one line each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Whether any layer above the defaults sets the key of this path.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.settings
            .get(path)
            .is_some_and(|setting| setting.source != Source::Default)
    }
}

/// Reads every layer.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigErrors> {
    let mut layers = Layers::new(inputs);
    layers.defaults();
    layers.file();
    layers.originals();
    layers.variables();
    layers.flags();
    super::across::options_file(&mut layers);
    if inputs.only.is_none() {
        super::across::check(&mut layers);
    }
    if !layers.errors.is_empty() {
        return Err(ConfigErrors {
            errors: layers.errors,
            warnings: layers.warnings,
            peers: layers.draft.peers.filter(|_| layers.draft.file_membership),
        });
    }
    Ok(Loaded {
        config: layers.draft.finish(),
        settings: layers.settings,
        option_sources: layers.option_sources,
        warnings: layers.warnings,
    })
}

/// The layers so far.
pub(super) struct Layers<'a> {
    inputs: &'a Inputs,
    environment: BTreeMap<String, OsString>,
    pub(super) draft: Draft,
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) option_sources: BTreeMap<String, Source>,
    pub(super) errors: Vec<ConfigError>,
    /// Keys with an error: what depends on them is not checked further.
    pub(super) failed: BTreeSet<&'static str>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Layers<'a> {
    fn new(inputs: &'a Inputs) -> Layers<'a> {
        // Names that are not UTF-8 can't be ours. Empty means not set, as to the original, and as compose files and
        // charts leave behind what nobody filled in.
        let environment = inputs.environment.iter().filter(|(_, value)| !value.is_empty());
        Layers {
            inputs,
            environment: environment
                .filter_map(|(k, v)| Some((k.to_str()?.to_owned(), v.clone())))
                .collect(),
            draft: Draft::default(),
            settings: BTreeMap::new(),
            option_sources: BTreeMap::new(),
            errors: Vec::new(),
            failed: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    fn defaults(&mut self) {
        for key in KEYS {
            let text = match (key.path, &self.inputs.host_name) {
                ("node", Some(name)) => name,
                // An empty node would fail here although a higher layer may name it: across.rs looks at the end.
                ("node", None) => continue,
                _ => key.default,
            };
            match Raw::from_text(key, text) {
                Ok(raw) => self.set(key, raw, Source::Default, "default"),
                Err(why) => self.fail(key, Some(text.to_owned()), "default", why),
            }
        }
    }

    fn file(&mut self) {
        let Some(path) = &self.inputs.file else { return };
        let origin = format!("file {}", path.display());
        let mut errors = Vec::new();
        let values = file::read(path, &mut errors);
        let concerns_us = |error: &ConfigError| error.key == "config" || self.inputs.reads(&error.key);
        self.errors.extend(errors.into_iter().filter(concerns_us));
        for (key, raw) in values {
            if self.inputs.reads(key.path) {
                self.set(key, raw, Source::File, &origin);
            }
        }
    }

    fn originals(&mut self) {
        for original in ORIGINALS {
            let Some(key) = KEYS
                .iter()
                .find(|key| key.path == original.path && self.inputs.reads(key.path))
            else {
                continue;
            };
            let Some(text) = self.variable(key, original.variable) else {
                continue;
            };
            let origin = format!("variable {}", original.variable);
            if original.path == "log.level" {
                // RUST_LOG speaks to every Rust program; one that we can't follow is no reason to refuse to start.
                if let Err(why) = super::parse::log_level(&text) {
                    self.warnings.push(format!(
                        "RUST_LOG = {text:?} is ignored: {why}; accepted: {}",
                        key.accepted
                    ));
                    continue;
                }
            }
            match self.convert(original, &text) {
                Ok((text, source)) => self.set(key, Raw::Text(text), source, &origin),
                Err(why) => self.fail(key, Some(text), &origin, why),
            }
        }
        if self.inputs.only.is_none() && self.environment.contains_key("SINK_PATH") {
            self.warnings
                .push("SINK_PATH is ignored: it never had an effect; DT_SINK or --sink names the sinks".to_owned());
        }
    }

    fn variables(&mut self) {
        let inputs = self.inputs;
        for key in KEYS.iter().filter(|key| inputs.reads(key.path)) {
            let name = key.variable();
            let Some(text) = self.variable(key, &name) else {
                continue;
            };
            let origin = format!("variable {name}");
            match Raw::from_text(key, &text) {
                Ok(raw) => self.set(key, raw, Source::Variable(name), &origin),
                Err(why) => self.fail(key, None, &origin, why),
            }
        }
        let known: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
        for name in self.environment.keys().filter(|name| name.starts_with("DT_")) {
            if !known.contains(name) && !self.inputs.known_variables.contains(name) {
                let near = nearest(name, known.iter())
                    .map(|near| format!("; perhaps {near}"))
                    .unwrap_or_default();
                self.warnings.push(format!("unknown variable {name} is ignored{near}"));
            }
        }
    }

    fn flags(&mut self) {
        let inputs = self.inputs;
        for key in KEYS.iter().filter(|key| inputs.reads(key.path)) {
            let Some(flag) = inputs.flags.iter().find(|flag| flag.path == key.path) else {
                continue;
            };
            let origin = format!("flag --{}", flag.name);
            match Raw::from_flags(key, &flag.values) {
                Ok(raw) => self.set(key, raw, Source::Flag, &origin),
                Err(why) => self.fail(key, None, &origin, why),
            }
        }
    }

    /// The text of a variable that is set; one that is not UTF-8 is an error.
    fn variable(&mut self, key: &'static Key, name: &str) -> Option<String> {
        let text = self.environment.get(name)?.to_str().map(str::to_owned);
        if text.is_none() {
            self.fail(key, None, &format!("variable {name}"), "not UTF-8".to_owned());
        }
        text
    }

    /// The key's text that a variable of the original stands for, and its source: two variables share one key where
    /// host and port are set apart.
    fn convert(&self, original: &Original, text: &str) -> Result<(String, Source), String> {
        let alone = Source::Variable(original.variable.to_owned());
        let place = if original.path == "listen" {
            &self.draft.listen
        } else {
            &self.draft.advertise
        };
        let mut place = place
            .clone()
            .unwrap_or_else(|| HostPort::new("localhost", super::draft::ORIGINAL_PORT));
        match original.convert {
            Convert::Same => return Ok((text.to_owned(), alone)),
            // A unit is fine too; only the bare number is what the original takes.
            Convert::Seconds if text.ends_with(|c: char| c.is_ascii_digit()) => return Ok((format!("{text}s"), alone)),
            Convert::Seconds => return Ok((text.to_owned(), alone)),
            Convert::Host => place.host = parse_host(text)?,
            Convert::Port => place.port = parse_port(text)?,
        }
        let source = match self.settings.get(original.path).map(|setting| &setting.source) {
            Some(Source::Variable(other)) => Source::Variable(format!("{other},{}", original.variable)),
            _ => alone,
        };
        Ok((place.to_string(), source))
    }

    /// Checks a value and, where it is good, makes it the effective one.
    fn set(&mut self, key: &'static Key, raw: Raw, source: Source, origin: &str) {
        let done = match (&key.kind, &raw) {
            (Kind::Text(read) | Kind::Bare(read), Raw::Text(text)) => read(&mut self.draft, text),
            (Kind::List(read), Raw::List(items)) => read(&mut self.draft, items),
            (Kind::Map(read), Raw::Map(options)) => read(&mut self.draft, options),
            _ => Err("the wrong type".to_owned()),
        };
        if let Err(why) = done {
            return self.fail(key, raw.shown(), origin, why);
        }
        if let Raw::Map(options) = &raw {
            self.option_sources
                .extend(options.iter().map(|(name, _)| (name.clone(), source.clone())));
        }
        self.spread(key, &raw, &source);
        self.settings.insert(key.path, Setting { raw, source });
    }

    /// `interval` and `timeout` set those of every kind: show them as such.
    fn spread(&mut self, key: &Key, raw: &Raw, source: &Source) {
        if !matches!(key.path, "interval" | "timeout") || *raw == Raw::Text(String::new()) {
            return;
        }
        let own = |other: &&Key| {
            other
                .path
                .split_once('.')
                .is_some_and(|(kind, name)| name == key.path && kind.parse::<dt_probe::ProbeKind>().is_ok())
        };
        for key in KEYS.iter().filter(own) {
            self.settings.insert(
                key.path,
                Setting {
                    raw: raw.clone(),
                    source: source.clone(),
                },
            );
        }
    }

    pub(super) fn fail(&mut self, key: &'static Key, value: Option<String>, origin: &str, reason: String) {
        self.failed.insert(key.path);
        let value = value.filter(|_| !key.secret);
        let (key, accepted) = (key.path.to_owned(), key.accepted.to_owned());
        self.errors.push(ConfigError {
            key,
            value,
            origin: origin.to_owned(),
            reason,
            accepted,
        });
    }
}

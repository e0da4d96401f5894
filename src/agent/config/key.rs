//! What a key is: its name in the file, from which the names of its flag and of its variable follow, and how a value
//! is read. The keys themselves stand in the table of `keys.rs`.

use super::draft::Draft;

/// One key of the configuration. Flag, variable, help and documentation all come from here, so they can't differ.
#[derive(Debug)]
pub struct Key {
    /// Its dotted path in the TOML file.
    pub path: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// The default, written as in a variable; empty where there is none.
    pub default: &'static str,
    /// Which values are accepted.
    pub accepted: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// Why the default is what it is; empty where there is nothing to argue.
    pub why: &'static str,
    /// Left out of help and documentation: a switch for tests.
    pub hidden: bool,
    /// Never shown, neither as an effective value nor in an error.
    pub secret: bool,
    /// How its value looks and is read.
    pub(super) kind: Kind,
}

type ReadText = fn(&mut Draft, &str) -> Result<(), String>;
type ReadList = fn(&mut Draft, &[String]) -> Result<(), String>;
type ReadMap = fn(&mut Draft, &[(String, String)]) -> Result<(), String>;

/// How a value looks, and the function that checks it and puts it where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A string in TOML.
    Text(ReadText),
    /// An integer or a boolean in TOML.
    Bare(ReadText),
    /// An array of strings in TOML; commas separate the items elsewhere.
    List(ReadList),
    /// A table of strings in TOML; `name=value`, comma-separated, elsewhere. Layers add to one another.
    Map(ReadMap),
}

impl Key {
    /// The flag without its dashes: `icmp.interval` is `icmp-interval`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.path.replace(['.', '_'], "-")
    }

    /// The environment variable: `icmp.interval` is `DT_ICMP_INTERVAL`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("DT_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The variables of the Go original that set this key.
    pub fn originals(&self) -> impl Iterator<Item = &'static str> {
        let path = self.path;
        super::keys::ORIGINALS
            .iter()
            .filter(move |o| o.path == path)
            .map(|o| o.variable)
    }

    /// Whether the flag may be given several times.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        matches!(self.kind, Kind::List(_) | Kind::Map(_))
    }
}

/// A variable of the Go original (or of the ecosystem) and the key it stands for.
#[derive(Debug)]
pub struct Original {
    /// The variable.
    pub variable: &'static str,
    /// The key it sets.
    pub path: &'static str,
    /// How its text becomes the key's.
    pub(super) convert: Convert,
}

/// How the text of a variable of the original becomes that of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Convert {
    /// It is the key's text.
    Same,
    /// A bare number of seconds.
    Seconds,
    /// The host of a `host:port`; the port stays what it was.
    Host,
    /// The port of a `host:port`; the host stays what it was.
    Port,
}

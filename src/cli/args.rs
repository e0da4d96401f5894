//! The configuration's flags, made from its table of keys, for every command that takes them.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};
use dt_agent::config::{Flag, Inputs, KEYS, Key};

/// The variable of `--config`.
const CONFIG_VARIABLE: &str = "DT_CONFIG";

/// Which keys a command takes, and under which flags.
pub(crate) trait Keys: Clone + Send + Sync + 'static {
    /// The only keys; `None` for all of them.
    const ONLY: Option<&'static [&'static str]>;

    /// The key's flag without its dashes.
    fn flag(key: &Key) -> String {
        key.flag()
    }
}

/// All keys: the agent's own flags.
#[derive(Clone, Debug)]
pub(crate) struct All;

impl Keys for All {
    const ONLY: Option<&'static [&'static str]> = None;
}

/// What reading summary records from Kafka needs.
#[derive(Clone, Debug)]
pub(crate) struct Reading;

impl Keys for Reading {
    const ONLY: Option<&'static [&'static str]> = Some(&[
        "cluster",
        "kafka.bootstrap",
        "kafka.summary_topic",
        "kafka.options",
        "kafka.options_file",
        "log.level",
        "log.format",
    ]);

    /// There is one topic and one service here, so their flags need no long names.
    fn flag(key: &Key) -> String {
        match key.path {
            "kafka.bootstrap" => "bootstrap".to_owned(),
            "kafka.summary_topic" => "topic".to_owned(),
            _ => key.flag(),
        }
    }
}

/// `--config` and the flags of keys, as given.
#[derive(Clone, Debug)]
pub(crate) struct Settings<K = All> {
    /// The file of `--config`; [`Settings::inputs`] also looks at its variable.
    config: Option<PathBuf>,
    flags: Vec<Flag>,
    keys: PhantomData<K>,
}

impl<K: Keys> Settings<K> {
    /// Everything the configuration is made of: this command line, and the environment of the process.
    pub(crate) fn inputs(&self) -> Inputs {
        let variable = || {
            std::env::var_os(CONFIG_VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Inputs {
            file: self.config.clone().or_else(variable),
            flags: self.flags.clone(),
            known_variables: known_variables(),
            only: K::ONLY,
            ..Inputs::of_process()
        }
    }

    fn keys() -> impl Iterator<Item = &'static Key> {
        KEYS.iter()
            .filter(|key| K::ONLY.is_none_or(|only| only.contains(&key.path)))
    }
}

/// The `DT_` variables of all commands' options, besides those of the table of keys.
fn known_variables() -> BTreeSet<String> {
    fn walk(command: &Command, known: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
        known.extend(variables.map(str::to_owned));
        command.get_subcommands().for_each(|command| walk(command, known));
    }
    let mut known = BTreeSet::from([CONFIG_VARIABLE.to_owned()]);
    walk(&crate::Cli::command(), &mut known);
    known
}

/// An empty variable counts as not set, as for the agent's keys: compose files and charts leave such behind.
pub(crate) fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let set = arg.get_env().and_then(std::env::var_os);
            if set.is_some_and(|value| value.is_empty()) {
                arg.env(None)
            } else {
                arg
            }
        })
        .mut_subcommands(without_empty_variables)
}

impl<K: Keys> clap::Args for Settings<K> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("TOML file of configuration keys [env: {CONFIG_VARIABLE}]"));
        command.arg(config).args(Settings::<K>::keys().map(arg::<K>))
    }

    fn augment_args_for_update(command: Command) -> Command {
        <Settings<K> as clap::Args>::augment_args(command)
    }
}

fn arg<K: Keys>(key: &'static Key) -> Arg {
    let action = if key.is_repeatable() {
        ArgAction::Append
    } else {
        ArgAction::Set
    };
    // clap would read the variables by itself, as one layer with the flags and without the source of a value.
    let mut variables = vec![key.variable()];
    variables.extend(key.originals().map(str::to_owned));
    let default = if key.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", key.default)
    };
    let help = format!("{}{default} [env: {}]", key.help, variables.join(", "));
    let arg = Arg::new(key.path)
        .long(K::flag(key))
        .value_name(key.value)
        .action(action)
        .hide(key.hidden)
        .long_help(format!("{help}\nAccepted: {}", key.accepted))
        .help(help);
    if K::ONLY.is_none() {
        arg.help_heading(heading(key))
    } else {
        arg
    }
}

fn heading(key: &Key) -> &'static str {
    match key.path.split('.').next() {
        Some("icmp") => "ICMP probes",
        Some("tcp" | "method" | "source_ports" | "source_port_range") => "TCP probes",
        Some("grpc") => "gRPC pings",
        Some("zookeeper") => "ZooKeeper",
        Some("kafka") => "Kafka",
        Some("log") => "Logs",
        _ => "The agent",
    }
}

impl<K: Keys> FromArgMatches for Settings<K> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings<K>, clap::Error> {
        let flags = Settings::<K>::keys().filter_map(|key| {
            let values = matches.get_many::<String>(key.path)?.cloned().collect();
            Some(Flag {
                path: key.path,
                name: K::flag(key),
                values,
            })
        });
        let config = matches.get_one::<PathBuf>("config").cloned();
        Ok(Settings {
            config,
            flags: flags.collect(),
            keys: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Settings::from_arg_matches(matches)?;
        Ok(())
    }
}

//! The configuration's flags, made from its table of keys, for every command that takes them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};
use dt_agent::config::{Inputs, KEYS, Key};

/// The variable of `--config`.
const CONFIG_VARIABLE: &str = "DT_CONFIG";

/// `--config` and the flags of all keys, as given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The file of `--config`; [`Settings::inputs`] also looks at its variable.
    pub(crate) config: Option<PathBuf>,
    /// Path of a key and its flag's values.
    pub(crate) flags: Vec<(&'static str, Vec<String>)>,
}

impl Settings {
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
            ..Inputs::of_process()
        }
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

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("TOML file of any of the keys below [env: {CONFIG_VARIABLE}]"));
        command.arg(config).args(KEYS.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Settings::augment_args(command)
    }
}

fn flag(key: &'static Key) -> Arg {
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
    Arg::new(key.path)
        .long(key.flag())
        .value_name(key.value)
        .action(action)
        .hide(key.hidden)
        .help_heading(heading(key))
        .long_help(format!("{help}\nAccepted: {}", key.accepted))
        .help(help)
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

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        self.flags = KEYS
            .iter()
            .filter_map(|key| {
                let values: Vec<String> = matches.get_many::<String>(key.path)?.cloned().collect();
                Some((key.path, values))
            })
            .collect();
        Ok(())
    }
}

//! `dt config`: whether a configuration is good, and what it amounts to.

use std::process::ExitCode;

use clap::Subcommand;
use dt_agent::config::{AgentConfig, Membership, reference, show};
use dt_rpc::{Tls, TlsMode};

use crate::args::Settings;
use crate::out;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report everything that is wrong, at once; print nothing where all is good
    Check(Settings),
    /// Print the effective value of every key and where it came from: default, file, the variable's name, or flag
    Show(Settings),
    /// Print the documentation of every key
    #[command(hide = true)]
    Reference,
}

/// Runs `dt config`.
pub(crate) fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(settings) => match out::configuration(&settings.inputs()) {
            Ok(loaded) => check_files(&loaded.config),
            Err(code) => code,
        },
        ConfigCommand::Show(settings) => match out::configuration(&settings.inputs()) {
            Ok(loaded) => out::print(&(show(&loaded).join("\n") + "\n")),
            Err(code) => code,
        },
        ConfigCommand::Reference => out::print(&reference()),
    }
}

/// The peers file, the certificates and the credential are parts of the configuration that the agent would refuse to start without.
fn check_files(config: &AgentConfig) -> ExitCode {
    let mut wrong = Vec::new();
    match &config.membership {
        Membership::File(path) => wrong.extend(dt_membership::file::check(path).err().map(|error| error.to_string())),
        Membership::ZooKeeper(at) => {
            let login = at.login.as_ref().and_then(|login| login.check().err());
            wrong.extend(login.map(|error| error.to_string()));
        }
    }
    if config.grpc_tls.mode != TlsMode::Off {
        wrong.extend(Tls::load(config.grpc_tls.clone()).err().map(|error| error.to_string()));
    }
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    wrong.iter().for_each(|error| out::say(&format!("error: {error}")));
    ExitCode::from(out::USAGE)
}

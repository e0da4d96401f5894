//! The binary `dt`: subcommands and configuration, nothing else.

mod args;
mod config_cmd;
mod logging;
mod out;
mod plan;
mod registration;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Version and commit, as `--version` prints them.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("DT_BUILD_COMMIT"), ")");

/// Measure the latency between the nodes of a cluster, with kernel timestamps
#[derive(Debug, Parser)]
#[command(name = "dt", version = VERSION, arg_required_else_help = true, max_term_width = 120)]
#[command(after_help = "Exit status: 0 success, 1 failure at run time, 2 wrong usage or configuration.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print whom a node probes and why, from a peers file or live membership
    Plan(plan::Plan),
    /// Check the agent's configuration, or show every key's value and where it came from
    #[command(subcommand)]
    Config(config_cmd::ConfigCommand),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Plan(plan) => plan::run(&plan),
        Command::Config(command) => config_cmd::run(&command),
    }
}

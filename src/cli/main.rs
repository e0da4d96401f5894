//! The binary `dt`: subcommands and configuration, nothing else.

mod agent;
mod args;
mod collect;
mod config_cmd;
mod demo;
mod diagnose;
mod drain;
mod ending;
mod ends;
mod files;
mod health;
mod logging;
mod out;
mod ping;
mod plan;
mod records;
mod server;
mod systemd;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// Run the heartbeat agent of this node: register, discover, probe, aggregate, publish, answer gRPC
    Agent(agent::AgentArgs),
    /// Probe targets and print the percentiles of their round-trip delay, by kernel timestamps
    Ping(ping::Args),
    /// Run a whole mesh on this machine, with no services and no root needed, and show its heat map
    Demo(demo::DemoArgs),
    /// Read summary records from Kafka and show them as a heat map, JSON, metrics and findings
    Collect(collect::Collect),
    /// Show the live heat map, the worst pairs and what is at fault in the terminal
    Top(top::TopArgs),
    /// Say what is the matter with the network, once, from the last hour in Kafka or from a running collector
    Diagnose(diagnose::Diagnose),
    /// Read summary records from Kafka and print one JSON object a line, whatever their encoding
    Records(records::Records),
    /// Print whom a node probes and why, from a peers file or live membership
    Plan(plan::Plan),
    /// Take a running agent out of the mesh while it still answers, before it is stopped
    Drain(drain::Drain),
    /// Ask the agent of this host whether it is well: 0 or 1, for health checks of containers
    Health(health::Health),
    /// Check the agent's configuration, or show every key's value and where it came from
    #[command(subcommand)]
    Config(config_cmd::ConfigCommand),
}

impl Command {
    /// Whether it opens raw sockets.
    fn probes(&self) -> bool {
        matches!(self, Command::Agent(_) | Command::Ping(_) | Command::Demo(_))
    }
}

impl Command {
    /// Whether it goes on until it is told to end.
    fn goes_on(&self) -> bool {
        matches!(
            self,
            Command::Agent(_) | Command::Demo(_) | Command::Collect(_) | Command::Top(_) | Command::Records(_)
        )
    }
}

fn main() -> ExitCode {
    let matches = args::without_empty_variables(Cli::command()).get_matches();
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    if command.probes()
        && let Err(error) = dt_kernel::rights::raise_permitted()
    {
        // What needs it says so again, and what is done without it.
        out::say(&format!("warning: a permitted capability can't be raised: {error}"));
    }
    if command.goes_on()
        && let Err(what) = files::enough()
    {
        return out::failure(&what);
    }
    match command {
        Command::Agent(agent) => agent::run(&agent),
        Command::Ping(ping) => ping::run(&ping),
        Command::Demo(demo) => demo::run(&demo),
        Command::Collect(collect) => collect::run(&collect),
        Command::Top(top) => top::run(&top),
        Command::Diagnose(diagnose) => diagnose::run(&diagnose),
        Command::Records(records) => records::run(&records),
        Command::Plan(plan) => plan::run(&plan),
        Command::Drain(drain) => drain::run(&drain),
        Command::Health(health) => health::run(&health),
        Command::Config(command) => config_cmd::run(&command),
    }
}

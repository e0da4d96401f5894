//! `dt agent`: the heartbeat agent of this node, until SIGTERM, SIGINT or SIGHUP.

use std::process::ExitCode;

use clap::Args;
use dt_agent::config::AgentConfig;
use dt_agent::{Agent, Hooks, Order, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::Settings;
use crate::ends::Ends;
use crate::systemd::Systemd;
use crate::{ending, logging, out};

/// Options of `dt agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    settings: Settings,
}

/// Runs `dt agent`.
pub(crate) fn run(args: &AgentArgs) -> ExitCode {
    let loaded = match out::configuration(&args.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start(&loaded.config.log);
    // Before any other thread: what one thread frees the next one uses.
    dt_kernel::memory::keep_little_in_reserve();
    // Two workers: one may close a window of 10,000 peers while the other answers gRPC.
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(serve(loaded.config));
            // All is published that can be. What is blocked in a look-up of a name, and freeing a long backlog, must not
            // hold up the end.
            std::process::exit(code)
        }
        Err(error) => out::failure(&format!("starting the runtime: {error}")),
    }
}

/// Runs the agent; gives the exit code.
async fn serve(config: AgentConfig) -> i32 {
    let (Ok(mut ends), Ok(user1), Ok(user2)) = (
        Ends::catch(),
        signal(SignalKind::user_defined1()),
        signal(SignalKind::user_defined2()),
    ) else {
        out::say("error: signals can't be caught");
        return 1;
    };
    let (tell, orders) = mpsc::channel(1);
    tokio::spawn(forward(user1, Order::Toggle, tell.clone()));
    tokio::spawn(forward(user2, Order::Leave, tell));
    let (node, listen) = (config.node.clone(), config.listen.to_string());
    let mut ended = Box::pin(ends.come());
    let started = tokio::select! {
        // Looking up the names of addresses to listen on may take long.
        () = &mut ended => return 0,
        started = Agent::start(config, Hooks::default()) => started,
    };
    match started {
        Ok(agent) => {
            tracing::info!(node, listen, http = ?agent.http(), version = crate::VERSION, "agent started");
            let systemd = Systemd::of_process();
            let health = agent.health();
            let end = async {
                ended.await;
                ending::within_time();
                systemd.iter().for_each(Systemd::stopping);
            };
            let followed = async {
                match &systemd {
                    Some(systemd) => systemd.follow(health).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sound = agent.run(end, orders) => i32::from(!sound),
                never = followed => match never {},
            }
        }
        Err(error) => {
            out::say(&format!("error: {error}"));
            // The peers file is a part of the configuration.
            if matches!(error, StartError::PeersFile(_)) {
                out::USAGE.into()
            } else {
                1
            }
        }
    }
}

async fn forward(mut signals: Signal, order: Order, tell: mpsc::Sender<Order>) {
    while signals.recv().await.is_some() {
        if tell.send(order).await.is_err() {
            return;
        }
    }
}

//! `dt agent`: the heartbeat agent of this node, until SIGTERM, SIGINT or SIGHUP.

use std::process::ExitCode;

use clap::Args;
use dt_agent::config::AgentConfig;
use dt_agent::{Agent, Hooks, Order, Prepared, StartError};
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
    let (node, listen) = (loaded.config.node.clone(), loaded.config.listen.clone());
    let listen = listen.map_or("off".to_owned(), |listen| listen.to_string());
    let (mut prepared, mut signals) = match prepare(loaded.config) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    // There is this thread and the probers', and no other: all that begin from here on begin without rights.
    prepared.enter_sandbox();
    // Two workers: one may close a window of 10,000 peers while the other answers gRPC.
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(async {
                let started = tokio::select! {
                    () = signals.ends.come() => return 0,
                    started = Agent::start(prepared, Hooks::default()) => started,
                };
                match started {
                    Ok(agent) => {
                        tracing::info!(node, listen, http = ?agent.http(), version = crate::VERSION, "agent started");
                        serve(agent, signals).await
                    }
                    Err(error) => refused(&error),
                }
            });
            // All is published that can be. What is blocked in a look-up of a name, and freeing a long backlog, must not
            // hold up the end.
            std::process::exit(code)
        }
        Err(error) => out::failure(&format!("starting the runtime: {error}")),
    }
}

/// What a user and a supervisor send.
struct Signals {
    ends: Ends,
    orders: Vec<(Signal, Order)>,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            ends: Ends::catch()?,
            orders: vec![
                (signal(SignalKind::user_defined1())?, Order::Toggle),
                (signal(SignalKind::user_defined2())?, Order::Leave),
            ],
        })
    }
}

/// Opens the sockets, in a runtime of its own that has no thread left when it ends. The signals are caught from here on.
fn prepare(config: AgentConfig) -> Result<(Prepared, Signals), ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| out::failure(&format!("starting a runtime: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::catch().map_err(|_| out::failure("signals can't be caught"))?;
        let opened = tokio::select! {
            // Looking up the names of addresses to listen on may take long, and nobody waits for that.
            () = signals.ends.come() => std::process::exit(0),
            opened = Prepared::open(config, Vec::new()) => opened,
        };
        match opened {
            Ok(prepared) => Ok((prepared, signals)),
            Err(error) => Err(ExitCode::from(refused(&error) as u8)),
        }
    })
}

/// Says why there is no agent; gives the exit code.
fn refused(error: &StartError) -> i32 {
    out::say(&format!("error: {error}"));
    // These files are a part of the configuration.
    if matches!(error, StartError::PeersFile(_) | StartError::Tls(_)) {
        out::USAGE.into()
    } else {
        1
    }
}

/// Runs the agent until a signal; gives the exit code.
async fn serve(agent: Agent, mut signals: Signals) -> i32 {
    let (tell, orders) = mpsc::channel(1);
    for (signals, order) in std::mem::take(&mut signals.orders) {
        tokio::spawn(forward(signals, order, tell.clone()));
    }
    drop(tell);
    let systemd = Systemd::of_process();
    let health = agent.health();
    let end = async {
        signals.ends.come().await;
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

async fn forward(mut signals: Signal, order: Order, tell: mpsc::Sender<Order>) {
    while signals.recv().await.is_some() {
        if tell.send(order).await.is_err() {
            return;
        }
    }
}

//! `dt demo`: a whole mesh on this machine, with no services and no root needed: the agent's own code six times over,
//! real sockets between loopback addresses, and the page.

mod fault;
mod mesh;

use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dt_agent::Agent;
use dt_agent::config::{Flag, Inputs, load};
use dt_collect::diagnosis::DiagnosisConfig;
use dt_collect::http::{self, Site};
use dt_collect::{Matrix, MatrixConfig, Observer, Standing, View, metrics, terminal};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::fault::{Fault, Switch};
use self::mesh::Mesh;
use crate::ends::Ends;
use crate::{ending, files, logging, out};

/// The page is served once every pair has numbers, and after this long in any case.
const FIRST_NUMBERS: Duration = Duration::from_secs(6);
/// A terminal is drawn anew this often; where output goes elsewhere, the summary is printed less often.
const REDRAW: Duration = Duration::from_secs(2);
const REPRINT: Duration = Duration::from_secs(10);
/// How often the diagnosis looks: once for each window.
const LOOK: Duration = mesh::WINDOW;
/// The worst pairs listed in the summary.
const WORST: usize = 5;

/// Run a whole mesh on this machine, with no services and no root needed, and show its heat map
///
/// Six agents on loopback addresses in two zones probe one another by ICMP (where permitted), TCP and gRPC. Ends with
/// Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the page is served; loopback only
    #[arg(long, value_name = "HOST:PORT", env = "DT_DEMO_HTTP", hide_env_values = true, default_value = "127.0.0.1:8080", value_parser = loopback)]
    http: SocketAddr,

    /// Let the agents find one another through these ZooKeeper servers instead of a file
    #[arg(long, env = "DT_DEMO_ZOOKEEPER", hide_env_values = true, value_name = "SERVERS", value_parser = value_of("zookeeper.servers"))]
    zookeeper: Option<String>,

    /// Publish to these Kafka brokers as well
    #[arg(long, env = "DT_DEMO_KAFKA", hide_env_values = true, value_name = "BROKERS", value_parser = value_of("kafka.bootstrap"))]
    kafka: Option<String>,

    /// Bring a fault into the network between the agents, which the page then names
    #[arg(
        long,
        env = "DT_DEMO_FAULT",
        hide_env_values = true,
        value_name = "FAULT",
        value_enum
    )]
    fault: Option<Fault>,

    /// When the fault sets in, counted from the first numbers: until then the page shows what is usual
    #[arg(long, env = "DT_DEMO_FAULT_AFTER", hide_env_values = true, value_name = "DURATION", default_value = "15s", value_parser = dt_agent::config::duration::parse)]
    fault_after: Duration,

    /// What is logged
    #[arg(
        long,
        env = "DT_DEMO_LOG_LEVEL",
        hide_env_values = true,
        value_name = "LEVEL",
        default_value = "error"
    , value_parser = value_of("log.level"))]
    log_level: String,

    /// Kernel features to do without (for tests)
    #[arg(long, value_name = "LIST", env = "DT_KERNEL_OFF", default_value = "", hide = true)]
    kernel_off: String,
}

/// What the agent takes as the value of its key.
fn value_of(path: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| {
        let flag = Flag {
            path,
            name: path.to_owned(),
            values: vec![text.to_owned()],
        };
        let inputs = Inputs {
            flags: vec![flag],
            host_name: Some("demo".to_owned()),
            ..Inputs::default()
        };
        match load(&inputs) {
            Ok(_) => Ok(text.to_owned()),
            Err(wrong) => Err(wrong
                .errors
                .first()
                .map(|error| format!("{}; accepted: {}", error.reason, error.accepted))
                .unwrap_or_default()),
        }
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("the demo serves this machine only; accepted: 127.0.0.0/8 or [::1], with a port".to_owned()),
        Err(_) => Err("not an address with a port; accepted: 127.0.0.1:PORT or [::1]:PORT".to_owned()),
    }
}

/// Runs `dt demo`.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let level = args.log_level.clone();
    logging::start(&dt_agent::config::Log {
        level,
        ..dt_agent::config::Log::default()
    });
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => match runtime.block_on(demo(args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => out::failure(&message),
        },
        Err(error) => out::failure(&format!("starting the runtime: {error}")),
    }
}

async fn demo(args: &DemoArgs) -> Result<(), String> {
    let Ok(mut ends) = Ends::catch() else {
        return Err("signals can't be caught".to_owned());
    };
    // Bound first: a port that is taken should be heard of before anything is started.
    let listener = TcpListener::bind(args.http).await.map_err(|error| {
        format!(
            "serving the page on {}: {error}; choose another with --http 127.0.0.1:PORT",
            args.http
        )
    })?;
    let address = listener.local_addr().unwrap_or(args.http);
    let matrix = Arc::new(Matrix::new(MatrixConfig {
        window: mesh::WINDOW,
        ..MatrixConfig::default()
    }));
    let fault = args.fault.map(Switch::new);
    let mut mesh = Mesh::start(args, Arc::clone(&matrix), fault.as_ref()).await?;
    let observer = Observer::start(Arc::clone(&matrix), || Standing::LIVE, DiagnosisConfig::default(), LOOK);
    let notes = mesh.notes();
    matrix.set_notes(notes.clone());
    let mut ended = Box::pin(async move {
        ends.come().await;
        ending::within_time();
    });
    let complete = tokio::select! {
        () = &mut ended => None,
        complete = wait_for_numbers(&matrix, mesh.series()) => Some(complete),
    };
    if complete.is_some() {
        let (stop, stopped) = oneshot::channel::<()>();
        let site = Site::new(Arc::clone(&matrix))
            .findings(observer.subscribe())
            .metrics(metrics::of_matrix(&matrix, observer.subscribe()));
        let routes = |stopping| http::router(site, stopping);
        let door = http::door(files::limit());
        let page = tokio::spawn(http::serve(listener, door, routes, async { drop(stopped.await) }));
        tokio::select! {
            () = &mut ended => {}
            () = show(&matrix, &observer, address, &notes) => {}
            never = bring_in(args, fault, &matrix, &notes) => match never {},
        }
        let _ = stop.send(());
        let _ = page.await;
    }
    mesh.stop().await;
    Ok(())
}

/// Waits until every pair and kind has a record with a probe in it. True when that came about.
async fn wait_for_numbers(matrix: &Matrix, series: usize) -> bool {
    let until = Instant::now() + FIRST_NUMBERS;
    while Instant::now() < until {
        let numbers = matrix
            .rows(View::Recent, now_ms())
            .iter()
            .filter(|row| row.sent > 0)
            .count();
        if numbers >= series {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Lets the fault set in when it is time.
async fn bring_in(args: &DemoArgs, fault: Option<Arc<Switch>>, matrix: &Matrix, notes: &[String]) -> Infallible {
    if let (Some(switch), Some(fault)) = (fault, args.fault) {
        tokio::time::sleep(args.fault_after).await;
        switch.turn_on();
        let mut notes = notes.to_vec();
        notes.push(format!("A fault was brought in by --fault: {}.", fault.words()));
        matrix.set_notes(notes);
    }
    std::future::pending().await
}

/// Prints the summary again and again; ends only where nobody reads it any more.
async fn show(matrix: &Matrix, observer: &Observer, address: SocketAddr, notes: &[String]) {
    let watched = std::io::stdout().is_terminal();
    let mut again = interval(if watched { REDRAW } else { REPRINT });
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| width.0);
        let table = terminal::summary_table(matrix, now_ms(), WORST, width);
        let findings = terminal::findings(&observer.latest(), WORST);
        let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
        // Home and clear to the end, so that nothing flickers.
        let clear = if watched { "\x1b[H\x1b[J" } else { "" };
        let text = format!(
            "{clear}dt demo: {} agents on this machine, the page is at http://{address}\n{notes}\n{findings}\n{table}\n",
            mesh::NODES
        );
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            // Whoever read it has seen enough; the page goes on until a signal.
            drop(stdout);
            std::future::pending::<()>().await;
        }
    }
}

fn now_ms() -> u64 {
    dt_kernel::clock::wall().millis()
}

/// Ends the agents, all at the same time.
async fn shut_down(agents: Vec<Agent>) {
    let ends: Vec<_> = agents
        .into_iter()
        .map(|agent| tokio::spawn(agent.shut_down()))
        .collect();
    for end in ends {
        let _ = end.await;
    }
}

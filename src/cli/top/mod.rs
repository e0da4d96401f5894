//! `dt top`: the live heat map, the worst pairs and what is at fault, in the terminal.
//!
//! [`Source`](source::Source) gives looks, [`state::Top`] holds what is shown and what keys change in it, [`draw`] paints that.
//! [`live`] joins them on a terminal; where there is none [`once`] prints one plain summary.

mod desk;
mod draw;
mod environment;
#[cfg(test)]
mod fixture;
mod live;
mod logs;
mod model;
mod once;
mod screen;
mod signals;
mod source;
mod state;
mod times;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use dt_agent::config::{Loaded, duration};
use dt_collect::http::Token;
use dt_collect::{Level, MatrixConfig, View};
use dt_probe::ProbeKind;
use dt_sink::kafka::reader::{ReaderConfig, Start};

use self::environment::{Colour, Environment};
use self::model::{Metric, Want};
use self::source::{Kafka, Server, Source};
use self::state::Top;
use crate::args::{Reading, Settings};
use crate::server::Address;
use crate::{logging, out};

/// Views reach back an hour; the records of a minute are published within the next half.
const HOUR: Duration = Duration::from_secs(3_600);
const FOR_A_MINUTE: Duration = Duration::from_secs(120);

/// The options of `dt top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Reads Kafka without a group: nobody else's reading is affected. In large clusters let dt collect read it, and \
    show that by --url. Where standard output is no terminal, one plain summary is printed."
)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    settings: Settings<Reading>,
    /// Show what a running dt collect or dt demo serves, in place of reading Kafka
    #[arg(long, value_name = "http://HOST:PORT", env = "DT_TOP_URL", hide_env_values = true)]
    url: Option<Address>,
    /// The token that the server of --url asks for
    #[arg(long, value_name = "TOKEN", env = "DT_COLLECT_TOKEN", hide_env_values = true)]
    token: Option<Token>,
    /// Print one plain summary and end, on a terminal too
    #[arg(long, env = "DT_TOP_ONCE", hide_env_values = true)]
    once: bool,
    /// How far back to begin reading Kafka, up to 24h [default: 1h, with --once 2m]
    #[arg(long, value_name = "DURATION", env = "DT_TOP_SINCE", hide_env_values = true, value_parser = since)]
    since: Option<Duration>,
    /// The window of the agents: the finest that is kept apart of what Kafka has; 1s to 10m
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "DT_COLLECT_WINDOW", hide_env_values = true, value_parser = window)]
    window: Duration,
    /// What to show first: node, rack, zone or region
    #[arg(
        long,
        value_name = "LEVEL",
        env = "DT_TOP_LEVEL",
        hide_env_values = true,
        default_value = "node"
    )]
    level: Level,
    /// The span of time to show first: recent, 1m, 10m or 1h
    #[arg(
        long,
        value_name = "VIEW",
        env = "DT_TOP_VIEW",
        hide_env_values = true,
        default_value = "1m"
    )]
    view: View,
    /// The kind of probe to show first: icmp, tcp or grpc [default: the first there is]
    #[arg(long, value_name = "KIND", env = "DT_TOP_PROBE", hide_env_values = true)]
    probe: Option<ProbeKind>,
    /// The number to show first: p50, p99, p99.9, loss or host (delay)
    #[arg(
        long,
        value_name = "METRIC",
        env = "DT_TOP_METRIC",
        hide_env_values = true,
        default_value = "p99"
    )]
    metric: Metric,
    /// Colours for a dark or a light background, or none; auto looks at NO_COLOR, TERM and COLORFGBG
    #[arg(
        long,
        value_name = "WHICH",
        env = "DT_TOP_COLOR",
        hide_env_values = true,
        default_value = "auto"
    )]
    color: Colour,
    /// No characters but ASCII's; as it is where the locale has no UTF-8
    #[arg(long, env = "DT_TOP_ASCII", hide_env_values = true)]
    ascii: bool,
}

fn since(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(since) if since <= 24 * HOUR => Ok(since),
        Ok(_) => Err("out of range; accepted: up to 24h".into()),
        Err(why) => Err(format!("{why}; accepted: {}", duration::ACCEPTED)),
    }
}

fn window(text: &str) -> Result<Duration, String> {
    let window = duration::parse(text)?;
    let fits = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&window);
    fits.then_some(window).ok_or_else(|| "accepted: 1s to 10m".to_owned())
}

/// Runs `dt top`.
pub(crate) fn run(args: &TopArgs) -> ExitCode {
    let loaded = match out::configuration(&args.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let environment = Environment::of_process();
    // Before any thread is started: all of them are to hold these signals back.
    let signals = match signals::block() {
        Ok(signals) => signals,
        Err(error) => return out::failure(&format!("holding signals back: {error}")),
    };
    let (events, received) = live::events();
    let is_once = args.once || !environment.can_be_drawn_on();
    if is_once {
        logging::start_quiet(&loaded);
    } else {
        logs::start(&loaded, events.clone());
    }
    let source = match source(args, &loaded, is_once) {
        Ok(source) => source,
        Err(why) => return out::usage(&why),
    };
    if is_once {
        return once::run(source, signals, (events, received));
    }
    if let Source::Kafka(kafka) = &source
        && let Err(error) = kafka.diagnose()
    {
        return out::failure(&format!("starting a thread: {error}"));
    }
    let want = Want {
        view: args.view,
        level: args.level,
        probe: args.probe,
        pair: None,
    };
    let top = Top::new(&source.origin(), want, args.metric);
    match live::run(
        top,
        &environment.theme(args.color, args.ascii),
        source,
        signals,
        (events, received),
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => out::failure(&why),
    }
}

fn source(args: &TopArgs, loaded: &Loaded, is_once: bool) -> Result<Source, String> {
    if let Some(address) = &args.url {
        return Server::new(address.clone(), args.token.clone()).map(Source::Server);
    }
    let (cluster, kafka) = (loaded.config.cluster.clone(), loaded.config.kafka.clone());
    let since = args.since.unwrap_or(if is_once { FOR_A_MINUTE } else { HOUR });
    let options = kafka.all_options();
    let reading = ReaderConfig {
        bootstrap: kafka.bootstrap,
        topic: kafka.summary_topic,
        start: Start::Ago(since),
        client_id: "dt-top".to_owned(),
        options,
    };
    let matrix = MatrixConfig {
        window: args.window,
        cluster,
        ..MatrixConfig::default()
    };
    Kafka::start(reading, matrix).map(Source::Kafka)
}

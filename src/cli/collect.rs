//! `dt collect`: the summary records of Kafka as a page, its JSON, metrics and findings.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dt_collect::diagnosis::DiagnosisConfig;
use dt_collect::http::{self, Origin, Site, Token};
use dt_collect::service::{self, Collector, CollectorConfig};
use dt_collect::{MatrixConfig, Observer, TallyBounds, metrics};
use tokio::net::TcpListener;

use crate::args::{Reading, Settings};
use crate::ends::Ends;
use crate::{ending, files, logging, out};

/// Faults are looked for this often, and after each look at least four times as long as it took.
const LOOK: Duration = Duration::from_secs(5);

/// The options of `dt collect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Runs until SIGINT, SIGTERM or SIGHUP. Collectors of one group share the partitions of the topic. At the start, \
    and when partitions are shared out anew, the last hour is read again."
)]
pub(crate) struct Collect {
    #[command(flatten)]
    settings: Settings<Reading>,

    /// Where the page is served
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DT_COLLECT_HTTP",
        hide_env_values = true,
        default_value = "0.0.0.0:8080"
    )]
    http: SocketAddr,

    /// The consumer group
    #[arg(long, value_name = "NAME", env = "DT_COLLECT_GROUP", hide_env_values = true, default_value = "distributed-trace-collect", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: String,

    /// The window of the agents: the finest that is kept apart; 1s to 10m
    #[arg(long, value_name = "DURATION", env = "DT_COLLECT_WINDOW", hide_env_values = true, default_value = "10s", value_parser = window)]
    window: Duration,

    /// The topic in which collectors of one group share what they know of zones, so that each has the whole picture; off to keep
    /// to itself
    #[arg(long, value_name = "TOPIC", env = "DT_COLLECT_ROLLUP_TOPIC", hide_env_values = true, default_value = "distributedTrace.rollups", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    rollup_topic: String,

    /// Only who shows this token may read numbers: by `authorization: Bearer TOKEN`, or on the page
    #[arg(long, value_name = "TOKEN", env = "DT_COLLECT_TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// Let pages of this site read the numbers too (CORS), as https://HOST[:PORT]; may be given several times
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "DT_COLLECT_ALLOW_ORIGIN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    allow_origin: Vec<Origin>,

    /// At most so many series (ordered pair x kind of probe) are kept, some 8 kB each
    #[arg(long, value_name = "N", env = "DT_COLLECT_MAX_SERIES", hide_env_values = true, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    max_series: u32,

    /// At most so many nodes are shown on /metrics, each as source and as destination, some 100 series each; 0 for none
    #[arg(long, value_name = "N", env = "DT_COLLECT_METRICS_NODES", hide_env_values = true, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    metrics_nodes: u32,
}

fn window(text: &str) -> Result<Duration, String> {
    let window = dt_agent::config::duration::parse(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&window) {
        Ok(window)
    } else {
        Err("accepted: 1s to 10m".to_owned())
    }
}

/// Runs `dt collect`.
pub(crate) fn run(collect: &Collect) -> ExitCode {
    let inputs = collect.settings.inputs();
    // What this collector is called among others.
    let name = format!(
        "{}:{}",
        inputs.host_name.clone().unwrap_or_default(),
        std::process::id()
    );
    let loaded = match out::configuration(&inputs) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start(&loaded.config.log);
    let (cluster, kafka) = (loaded.config.cluster, loaded.config.kafka);
    let options = kafka.all_options();
    for (key, topic) in [
        ("kafka.summary_topic", &kafka.summary_topic),
        ("kafka.topic", &kafka.topic),
    ] {
        if *topic == collect.rollup_topic {
            return out::usage(&format!(
                "--rollup-topic = {:?}: the same as {key}; accepted: a topic that holds nothing else, or off",
                collect.rollup_topic
            ));
        }
    }
    let config = CollectorConfig {
        bootstrap: kafka.bootstrap,
        topic: kafka.summary_topic,
        group: collect.group.clone(),
        options,
        matrix: MatrixConfig {
            window: collect.window,
            max_series: collect.max_series as usize,
            cluster,
            tally: TallyBounds {
                nodes: collect.metrics_nodes as usize,
                ..TallyBounds::default()
            },
            ..MatrixConfig::default()
        },
        rollup: (collect.rollup_topic != "off").then(|| (collect.rollup_topic.clone(), name)),
    };
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(serve(collect, config)),
        Err(error) => out::failure(&format!("starting the runtime: {error}")),
    }
}

async fn serve(collect: &Collect, config: CollectorConfig) -> ExitCode {
    let Ok(mut ends) = Ends::catch() else {
        return out::failure("signals can't be caught");
    };
    let http = collect.http;
    // Bound first: a port that is taken should be heard of before anything is started.
    let listener = match TcpListener::bind(http).await {
        Ok(listener) => listener,
        Err(error) => {
            return out::failure(&format!(
                "serving the page on {http}: {error}; choose another with --http HOST:PORT"
            ));
        }
    };
    let (topic, group) = (config.topic.clone(), config.group.clone());
    let collector = match Collector::start(config) {
        Ok(collector) => Arc::new(collector),
        Err(error) => return out::usage(&error.to_string()),
    };
    let address = listener.local_addr().unwrap_or(http);
    tracing::info!(%address, topic, group, version = crate::VERSION, "collector started");
    let ended = async move {
        ends.come().await;
        ending::within_time();
    };
    let door = http::door(files::limit());
    let matrix = Arc::clone(collector.matrix());
    let observer = Observer::start(
        Arc::clone(&matrix),
        collector.standing(),
        DiagnosisConfig::default(),
        LOOK,
    );
    let rollup = collector.share().map(|share| Arc::clone(share.table()));
    let site = Site::new(matrix)
        .findings(observer.subscribe())
        .metrics(metrics::of_collector(
            &collector,
            observer.subscribe(),
            Arc::clone(&door),
        ))
        .rollup(rollup)
        .token(collect.token.clone())
        .origins(collect.allow_origin.clone());
    let routes = {
        let collector = Arc::clone(&collector);
        |stopping| http::router(site, stopping).merge(service::routes(collector))
    };
    http::serve(listener, door, routes, ended).await;
    // Leaving the group lets others take the partitions over at once.
    let left = tokio::task::spawn_blocking(move || collector.stop());
    let _ = tokio::time::timeout(Duration::from_secs(3), left).await;
    std::process::exit(0)
}

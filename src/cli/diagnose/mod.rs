//! `dt diagnose`: what is the matter with the network, once, from the records in Kafka or from a running collector.

mod collector;
mod kafka;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use dt_agent::config::duration;
use dt_collect::diagnosis::Findings;

use crate::args::{Reading, Settings};
use crate::server::Address;
use crate::{logging, out};

/// The options of `dt diagnose`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads Kafka without a group, or asks a collector. Exit status: 0 done, 1 no answer or, with --check, something \
    is the matter or can't be judged, 2 wrong usage or configuration."
)]
pub(crate) struct Diagnose {
    #[command(flatten)]
    settings: Settings<Reading>,
    /// Ask this collector in place of Kafka
    #[arg(
        long,
        value_name = "http://HOST:PORT",
        env = "DT_DIAGNOSE_URL",
        hide_env_values = true
    )]
    url: Option<Address>,
    /// The token that the collector asks for
    #[arg(long, value_name = "TOKEN", env = "DT_COLLECT_TOKEN", hide_env_values = true)]
    token: Option<dt_collect::http::Token>,
    /// Print one JSON object, as /api/v1/findings gives it
    #[arg(long, env = "DT_DIAGNOSE_JSON", hide_env_values = true)]
    json: bool,
    /// End with status 1 where something is the matter, or where not everything was judged
    #[arg(long, env = "DT_DIAGNOSE_CHECK", hide_env_values = true)]
    check: bool,
    /// How far back to read Kafka, 1m to 1h. What is usual is told by the past, so less makes slowness harder to see
    #[arg(long, value_name = "DURATION", default_value = "1h", env = "DT_DIAGNOSE_SINCE", hide_env_values = true, value_parser = since)]
    since: Duration,
    /// The window of the agents; 1s to 10m
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "DT_COLLECT_WINDOW", hide_env_values = true, value_parser = window)]
    window: Duration,
    /// How long reading, or the answer, may take, up to 1h
    #[arg(long, value_name = "DURATION", default_value = "1m", env = "DT_DIAGNOSE_TIMEOUT", hide_env_values = true, value_parser = patience)]
    timeout: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

fn since(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(60), HOUR, "1m to 1h")
}

fn window(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), Duration::from_secs(600), "1s to 10m")
}

fn patience(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), HOUR, "1ms to 1h")
}

fn between(text: &str, least: Duration, most: Duration, accepted: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    let fits = (least..=most).contains(&duration);
    fits.then_some(duration).ok_or_else(|| format!("accepted: {accepted}"))
}

/// Runs `dt diagnose`.
pub(crate) fn run(diagnose: &Diagnose) -> ExitCode {
    let loaded = match out::configuration(&diagnose.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start_quiet(&loaded);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out::failure(&format!("starting the runtime: {error}")),
    };
    let found = match &diagnose.url {
        Some(address) => runtime.block_on(collector::ask(address, diagnose.token.as_ref(), diagnose.timeout)),
        None => {
            let task = kafka::Task {
                since: diagnose.since,
                window: diagnose.window,
                patience: diagnose.timeout,
                cluster: loaded.config.cluster,
            };
            match kafka::start(loaded.config.kafka, task.since) {
                Ok(reader) => runtime.block_on(kafka::read(reader, &task)),
                Err(error) => return out::usage(&error.to_string()),
            }
        }
    };
    match found {
        Ok(findings) => show(diagnose, &findings),
        Err(why) => out::failure(&why),
    }
}

fn show(diagnose: &Diagnose, findings: &Findings) -> ExitCode {
    let shown = if diagnose.json {
        serde_json::to_string(findings).map(|json| json + "\n")
    } else {
        Ok(text::report(findings))
    };
    let printed = match shown {
        Ok(text) => out::print(&text),
        Err(error) => return out::failure(&error.to_string()),
    };
    if diagnose.check && (!findings.findings.is_empty() || findings.caveat().is_some()) {
        return ExitCode::FAILURE;
    }
    printed
}

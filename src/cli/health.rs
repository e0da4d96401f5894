//! `dt health`: asks the agent of this host whether it is well. What the image's HEALTHCHECK runs, where there is no shell.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use dt_agent::config::{HostPort, duration};
use dt_agent::request;
use http_body_util::Empty;
use hyper::{Request, StatusCode, header};

use crate::args::{Keys, Settings};
use crate::out;

/// The agent's reasons are a line each; whoever else answers may say more.
const LONGEST_ANSWER: usize = 4096;

/// The options of `dt health`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Asks where the agent of the same variables and file serves HTTP. Exit status: 0 well, 1 not well or no \
    answer, 2 wrong usage or configuration."
)]
pub(crate) struct Health {
    #[command(flatten)]
    settings: Settings<Http>,
    /// Ask /readyz (registered, each peer's first probe decided) in place of /livez (the probe thread turns)
    #[arg(long, env = "DT_HEALTH_READY", hide_env_values = true)]
    ready: bool,
    /// How long the answer may take, up to 1m
    #[arg(long, value_name = "DURATION", default_value = "4s", env = "DT_HEALTH_TIMEOUT", hide_env_values = true, value_parser = patience)]
    timeout: Duration,
}

/// Of the agent's keys only the address.
#[derive(Clone, Debug)]
pub(crate) struct Http;

impl Keys for Http {
    const ONLY: Option<&'static [&'static str]> = Some(&["http"]);
}

fn patience(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(patience) if !patience.is_zero() && patience <= Duration::from_secs(60) => Ok(patience),
        Ok(_) => Err("out of range; accepted: more than 0, up to 1m".into()),
        Err(why) => Err(format!("{why}; accepted: {}", duration::ACCEPTED)),
    }
}

/// Runs `dt health`.
pub(crate) fn run(health: &Health) -> ExitCode {
    let loaded = match out::configuration(&health.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let Some(served) = loaded.config.http else {
        return out::failure("the agent's HTTP is off, so nobody can be asked; accepted: --http HOST:PORT, or DT_HTTP");
    };
    if served.port == 0 {
        return out::usage("--http: port 0 is any port; accepted: the one that the agent serves on");
    }
    let address = reachable(served);
    let path = if health.ready { "/readyz" } else { "/livez" };
    let asking = async {
        match tokio::time::timeout(health.timeout, ask(&address, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {}", duration::format(health.timeout))),
        }
    };
    let answer = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(asking),
        Err(error) => return out::failure(&format!("starting the runtime: {error}")),
    };
    match answer {
        Ok((StatusCode::OK, said)) => out::print(&format!("{}\n", said.trim())),
        Ok((status, said)) => out::failure(&format!("http://{address}{path}: {status}: {}", said.trim())),
        Err(why) => out::failure(&format!("http://{address}{path}: {why}")),
    }
}

/// Where to reach on this host what is served on all addresses.
fn reachable(served: HostPort) -> HostPort {
    let host = match served.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(all)) if all.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(all)) if all.is_unspecified() => "::1".to_owned(),
        _ => served.host,
    };
    HostPort::new(host, served.port)
}

/// What a GET gives.
async fn ask(address: &HostPort, path: &str) -> Result<(StatusCode, String), String> {
    let stream = tokio::net::TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let (status, body) = request::answer(stream, request, LONGEST_ANSWER).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_by_loopback() {
        for (served, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("node:80", "node:80"),
        ] {
            assert_eq!(reachable(HostPort::parse(served).unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn patience_has_an_end() {
        assert_eq!(patience("1m"), Ok(Duration::from_secs(60)));
        for text in ["0", "61s", "4", ""] {
            assert!(patience(text).is_err_and(|why| why.contains("accepted")), "{text:?}");
        }
    }
}

//! The kill switch: one node that turns all probing off. Read by one-shot watches, which the client renews over a lost
//! connection without a gap and every server version has.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::watch;
use zookeeper_client::{Client, Error, OneshotWatcher};

use crate::data::shortened;
use crate::log_limit::LogLimit;
use crate::stats::Counters;

#[derive(Deserialize)]
struct Control {
    enabled: bool,
}

/// Follows the node at `path`. Where it is missing or unreadable, `switch` keeps its value.
pub(super) async fn follow(
    client: &Client,
    path: &str,
    switch: &watch::Sender<bool>,
    counters: &Counters,
) -> Infallible {
    let mut told = None;
    let mut lines = Lines::default();
    loop {
        match read(client, path, switch, &mut lines).await {
            Ok(watcher) => {
                let event = watcher.changed().await;
                counters.events.add(1);
                if event.session_state.is_terminated() {
                    return std::future::pending().await;
                }
            }
            // The connection's state is watched elsewhere.
            Err(Error::ConnectionLoss) => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => {
                counters.failures.add(1);
                let is_denied = error == Error::NoAuth;
                counters.denied.add(u64::from(is_denied));
                if told.as_ref() != Some(&error) {
                    let why = super::words(&error);
                    tracing::warn!(
                        path,
                        error = why,
                        "kill switch can't be read; the last known state stays"
                    );
                    told = Some(error);
                }
                let pause = if is_denied {
                    super::denied()
                } else {
                    Duration::from_secs(5)
                };
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Whether the data turns probing on.
pub(crate) fn decode(data: &[u8]) -> Result<bool, String> {
    let control: Control = serde_json::from_slice(data).map_err(|error| shortened(error.to_string()))?;
    Ok(control.enabled)
}

/// Lines about what others write into the node, as often as they like.
#[derive(Default)]
struct Lines {
    switched: LogLimit,
    malformed: LogLimit,
}

async fn read(
    client: &Client,
    path: &str,
    switch: &watch::Sender<bool>,
    lines: &mut Lines,
) -> Result<OneshotWatcher, Error> {
    loop {
        match client.get_and_watch_data(path).await {
            // Created by an agent, so that no stranger does; nobody has used it yet.
            Ok((data, _, watcher)) if data.is_empty() => return Ok(watcher),
            Ok((data, _, watcher)) => {
                take_over(path, &data, switch, lines);
                return Ok(watcher);
            }
            Err(Error::NoNode) => {
                let (stat, watcher) = client.check_and_watch_stat(path).await?;
                if stat.is_none() {
                    return Ok(watcher);
                }
                // Created in between: read it.
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the node says becomes the switch; what says nothing leaves it as it is.
fn take_over(path: &str, data: &[u8], switch: &watch::Sender<bool>, lines: &mut Lines) {
    let now = Instant::now();
    match decode(data) {
        Ok(enabled) => {
            let changed = switch.send_if_modified(|now| std::mem::replace(now, enabled) != enabled);
            if changed && let Some(held_back) = lines.switched.pass(now) {
                tracing::warn!(path, enabled, held_back, "kill switch");
            }
        }
        Err(error) => {
            if let Some(held_back) = lines.malformed.pass(now) {
                tracing::warn!(
                    path,
                    error,
                    held_back,
                    "kill switch is malformed; accepted: {{\"enabled\":true}} or {{\"enabled\":false}}; the last known state stays"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_that_is_thrown_without_end_is_obeyed_and_fills_no_log() {
        let (switch, on) = watch::channel(true);
        let mut lines = Lines::default();
        for n in 0..1_000 {
            let enabled = n % 2 == 1;
            let data = format!("{{\"enabled\":{enabled}}}");
            take_over("/control", data.as_bytes(), &switch, &mut lines);
            assert_eq!(*on.borrow(), enabled);
            take_over("/control", b"neither", &switch, &mut lines);
            assert_eq!(*on.borrow(), enabled);
        }
        // What is asked for an hour later counts what had no line.
        let later = Instant::now() + Duration::from_secs(3_600);
        for limit in [&mut lines.switched, &mut lines.malformed] {
            assert!(limit.pass(later).is_some_and(|held_back| held_back >= 980));
        }
    }
}

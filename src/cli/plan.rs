//! `dt plan`: whom a node probes and why, and what rate that makes. Nothing is probed and nothing registered.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use dt_agent::Allowed;
use dt_agent::config::{Loaded, Membership, Stretch, duration, stretch};
use dt_membership::zookeeper::{self, Login, ZooKeeperConfig};
use dt_membership::{Selected, View, file, pinglist};

use crate::args::Settings;
use crate::ends::Ends;
use crate::{logging, out};

/// The options of `dt plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of a peers file an agent probes every peer. With --max-peers this prints what would be probed \
    if the same nodes were found through ZooKeeper."
)]
pub(crate) struct Plan {
    #[command(flatten)]
    settings: Settings,
    /// Print one JSON object
    #[arg(long, env = "DT_PLAN_JSON", hide_env_values = true)]
    json: bool,
}

/// Runs `dt plan`.
pub(crate) fn run(plan: &Plan) -> ExitCode {
    let loaded = match out::configuration(&plan.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start_quiet(&loaded);
    let view = match members(&loaded) {
        Ok(view) => view,
        Err(code) => return code,
    };
    let config = &loaded.config;
    let limited = matches!(config.membership, Membership::ZooKeeper(_)) || loaded.is_set("max_peers");
    let chosen = pinglist(&config.node, &view, limited.then_some(config.max_peers));
    let rate = stretch(
        chosen.len(),
        config.probes().map(|(_, timing)| timing.interval),
        config.max_rate,
    );
    let text = if plan.json {
        json(&loaded, &view, &chosen, &rate).to_string() + "\n"
    } else {
        table(&loaded, &view, &chosen, &rate)
    };
    out::print(&text)
}

/// All other nodes of the membership.
fn members(loaded: &Loaded) -> Result<View, ExitCode> {
    let config = &loaded.config;
    let mut own = dt_agent::registration(config, "");
    if !loaded.is_set("advertise") && !loaded.is_set("listen") {
        // Nobody said which address this is: only the name tells the own entry.
        (own.address, own.port) = (String::new(), 0);
    }
    match &config.membership {
        Membership::File(path) => file::read(path, &own).map_err(|error| out::usage(&error.to_string())),
        Membership::ZooKeeper(at) => {
            if let Some(Err(error)) = at.login.as_ref().map(Login::check) {
                return Err(out::usage(&error.to_string()));
            }
            let at = at.joined_by(own);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| out::failure(&format!("can't start a runtime: {error}")))?;
            runtime.block_on(live(at))
        }
    }
}

/// Reads the live membership without joining it. A signal ends it: that is no failure.
async fn live(at: ZooKeeperConfig) -> Result<View, ExitCode> {
    // Long enough for a session on a busy ensemble and thousands of reads.
    const PATIENCE: Duration = Duration::from_secs(20);
    let servers = at.servers.clone();
    let Ok(mut ends) = Ends::catch() else {
        return Err(out::failure("can't listen for signals"));
    };
    let handle = zookeeper::start(at);
    // On this thread the membership's task has not run yet, so it never gets to register.
    handle.deregister(Duration::ZERO).await;
    let mut views = handle.view.clone();
    let found = tokio::select! {
        found = tokio::time::timeout(PATIENCE, views.wait_for(|view| view.generation > 0)) => {
            found.ok().and_then(Result::ok).map(|view| View::clone(&view))
        }
        () = ends.come() => return Err(ExitCode::SUCCESS),
    };
    let last_error = handle.status.borrow().last_error.clone();
    handle.close().await;
    found.ok_or_else(|| {
        let why = last_error.unwrap_or_else(|| format!("ZooKeeper at {servers} gave none"));
        out::failure(&format!("no membership within {}: {why}", duration::format(PATIENCE)))
    })
}

/// Says why an address may not be probed. Names are not looked up.
fn refused(loaded: &Loaded) -> impl Fn(&str) -> Option<String> + use<> {
    let allowed = Allowed::of(&loaded.config);
    move |address| allowed.as_ref()?.check(address.parse().ok()?).err()
}

fn json(loaded: &Loaded, view: &View, chosen: &[Selected], rate: &Stretch) -> serde_json::Value {
    let config = &loaded.config;
    let refused = refused(loaded);
    let peer = |Selected { member, why }: &Selected| {
        serde_json::json!({
            "node": member.node, "address": member.address, "port": member.port, "tcp_port": member.tcp_port,
            "zone": member.zone, "rack": member.rack, "region": member.region, "original": member.original,
            "why": why.to_string(), "refused": refused(&member.address),
        })
    };
    let kinds = config.probes().map(|(kind, timing)| {
        let stretched = rate.apply(timing.interval);
        serde_json::json!({
            "probe": kind.as_str(), "interval": duration::format(timing.interval),
            "stretched_interval_s": stretched.as_secs_f64(), "timeout": duration::format(timing.timeout),
        })
    });
    serde_json::json!({
        "node": config.node,
        "others": view.members.len(),
        "peers": chosen.iter().map(peer).collect::<Vec<_>>(),
        "probes": kinds.collect::<Vec<_>>(),
        "rate": {
            "wanted_per_s": rate.wanted, "max_per_s": config.max_rate, "stretch": rate.factor, "per_s": rate.rate(),
        },
    })
}

fn table(loaded: &Loaded, view: &View, chosen: &[Selected], rate: &Stretch) -> String {
    let config = &loaded.config;
    let mut text = format!(
        "{} probes {} of {} others\n",
        config.node,
        chosen.len(),
        view.members.len()
    );
    let refused = refused(loaded);
    let mut rows = vec![["NODE", "ADDRESS", "ZONE", "RACK", "WHY"].map(str::to_owned)];
    rows.extend(chosen.iter().map(|Selected { member, why }| {
        [
            member.node.to_string(),
            member.authority(),
            member.zone.to_string(),
            member.rack.to_string(),
            match refused(&member.address) {
                Some(refused) => format!("{why}, but not probed: {refused}"),
                None => why.to_string(),
            },
        ]
    }));
    let widths: [usize; 4] = std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    for row in rows.iter().filter(|_| !chosen.is_empty()) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        text.extend(cells);
        text.push_str(&row[4]);
        text.push('\n');
    }
    let intervals = |apply: &dyn Fn(Duration) -> Duration| {
        let parts: Vec<String> = config
            .probes()
            .map(|(kind, t)| format!("{kind} every {}", rounded(apply(t.interval))))
            .collect();
        parts.join(", ")
    };
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "{} peers x ({}) = {:.1} probes/s",
        chosen.len(),
        intervals(&|i| i),
        rate.wanted
    );
    let _ = if rate.factor > 1.0 {
        let (factor, cap) = (rate.factor, config.max_rate);
        let stretched = intervals(&|i| rate.apply(i));
        writeln!(
            text,
            "above max_rate = {cap}: intervals stretch by {factor:.2}, to {stretched}"
        )
    } else {
        writeln!(
            text,
            "within max_rate = {}: intervals stay as they are",
            config.max_rate
        )
    };
    text
}

/// To the microsecond: nobody reads further.
fn rounded(interval: Duration) -> String {
    let micros = (interval.as_nanos() + 500) / 1000;
    duration::format(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

//! Prometheus' blackbox_exporter: a server that makes one probe for each request. What the asking costs isn't counted.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dt_bench::cpu;
use dt_bench::place::Place;
use dt_bench::{Failure, Result, child, doing};

use crate::contenders::Cost;
use crate::others::{expect, is_installed};

/// As its makers and as Debian call it.
const NAMES: [&str; 2] = ["blackbox_exporter", "prometheus-blackbox-exporter"];
const MODULES: &str = "\
modules:
  icmp: { prober: icmp, timeout: 5s, icmp: { preferred_ip_protocol: ip4 } }
  tcp: { prober: tcp, timeout: 5s, tcp: { preferred_ip_protocol: ip4 } }
";
/// Nobody else is in this network namespace.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9115);
const WARM_UP: u32 = 200;
const PROBES: u32 = 2_000;

/// How it probes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Module {
    Icmp,
    Tcp,
}

/// `None` where it isn't installed, or `curl`, which asks it.
pub(crate) fn cost(place: &Place, module: Module) -> Result<Option<Cost>> {
    let Some(name) = NAMES.into_iter().find(|name| is_installed(name, "--version")) else {
        return Ok(None);
    };
    if !is_installed("curl", "--version") {
        return Ok(None);
    }
    let exporter = Exporter::start(name)?;
    exporter.probe(place, module, WARM_UP)?;
    let before = cpu::of_process(exporter.child.id())?;
    exporter.probe(place, module, PROBES)?;
    let used = cpu::of_process(exporter.child.id())? - before;
    Ok(Some(Cost {
        user: None,
        total: used.as_secs_f64() * 1e6 / f64::from(PROBES),
    }))
}

/// A running one. Killed when dropped.
struct Exporter {
    child: Child,
    // Read at the start, and removed when this goes.
    _modules: tempfile::NamedTempFile,
}

impl Exporter {
    fn start(name: &str) -> Result<Exporter> {
        let modules = tempfile::NamedTempFile::new().map_err(doing("make a file for blackbox_exporter's modules"))?;
        std::fs::write(modules.path(), MODULES).map_err(doing("write blackbox_exporter's modules"))?;
        let child = Command::new(name)
            .arg(format!("--config.file={}", modules.path().display()))
            .arg(format!("--web.listen-address={ADDRESS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(doing(&format!("run {name}")))?;
        let exporter = Exporter {
            child,
            _modules: modules,
        };
        for _ in 0..100 {
            if TcpStream::connect(ADDRESS).is_ok() {
                return Ok(exporter);
            }
            sleep(Duration::from_millis(100));
        }
        Err(Failure(format!("{name} doesn't answer on {ADDRESS}")))
    }

    /// So many probes one after another, over one connection.
    fn probe(&self, place: &Place, module: Module, count: u32) -> Result {
        let mut urls = String::new();
        for number in 0..count {
            let target = place.addresses.target(number);
            let query = match module {
                Module::Icmp => format!("module=icmp&target={target}"),
                Module::Tcp => format!("module=tcp&target={target}:{}", place.listener.accepting),
            };
            let _ = writeln!(urls, "url = \"http://{ADDRESS}/probe?{query}\"");
        }
        let (output, _) = child::run(Command::new("curl").args(["-s", "--max-time", "300", "-K", "-"]), &urls)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let succeeded = text.lines().filter(|line| *line == "probe_success 1").count();
        expect("blackbox_exporter", count.into(), succeeded as u64)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! What is broken, one after the other, and what it must be called.

use crate::lab::{FIRST_PORT, Lab, SLOW_NODE, SLOW_RACK};
use distributed_trace_tests::error::Result;
use distributed_trace_tests::fabric::{Break, Fabric};
use dt_collect::diagnosis::{FindingKind, Subject};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One fault.
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    /// What it must be called; `None` where nothing is to be said.
    pub(crate) expected: Option<(FindingKind, Subject)>,
    pub(crate) inject: for<'f> fn(&mut Lab<'f>) -> Result<Broken<'f>>,
    /// What dropping [`Broken`] leaves to be mended.
    pub(crate) mend: fn(&mut Lab<'_>) -> Result,
}

/// Holds while the fault lasts.
#[derive(Default)]
pub(crate) struct Broken<'f> {
    _breaks: Vec<Break<'f>>,
    _pulse: Option<Pulse>,
}

const REQUESTS: [&str; 2] = [
    "icmp type echo-request",
    "tcp dport 4000 tcp flags & (syn | ack) == syn",
];
const REPLIES: [&str; 2] = [
    "icmp type echo-reply",
    "tcp sport 4000 tcp flags & (syn | ack) == (syn | ack)",
];

/// `filter` on each of `packets`.
fn on(filter: &str, packets: &[&str], verdict: &str) -> Vec<String> {
    packets
        .iter()
        .map(|packet| format!("{filter} {packet} {verdict}"))
        .collect()
}

/// Both ways between two filters of addresses.
fn between(a: &str, b: &str, verdict: &str) -> Vec<String> {
    let one = |a: &str, b: &str| format!("ip saddr {a} ip daddr {b} {verdict}");
    vec![one(a, b), one(b, a)]
}

fn through(interface: &str, verdict: &str) -> Vec<String> {
    vec![
        format!("iifname {interface} {verdict}"),
        format!("oifname {interface} {verdict}"),
    ]
}

fn random(percent: u32) -> String {
    format!("numgen random mod 100 < {percent} drop")
}

fn address<'f>(lab: &Lab<'f>, node: usize) -> &'f str {
    &lab.fabric.nodes[node].address
}

fn forward<'f>(place: &'f distributed_trace_tests::namespaces::Namespace, rules: &[String]) -> Result<Broken<'f>> {
    Ok(Broken {
        _breaks: vec![Break::new(place, "forward", rules)?],
        _pulse: None,
    })
}

fn at_node<'f>(lab: &Lab<'f>, node: usize, hook: &str, rules: &[String]) -> Result<Broken<'f>> {
    Ok(Broken {
        _breaks: vec![Break::new(&lab.fabric.nodes[node].namespace, hook, rules)?],
        _pulse: None,
    })
}

fn nothing(_: &mut Lab<'_>) -> Result {
    Ok(())
}

fn subject(nodes: &[&str], racks: &[&str], zones: &[&str], ways: [Option<&str>; 2]) -> Subject {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Subject {
        nodes: owned(nodes),
        racks: owned(racks),
        zones: owned(zones),
        source: ways[0].map(str::to_owned),
        destination: ways[1].map(str::to_owned),
        port: None,
    }
}

const BOTH: [Option<&str>; 2] = [None, None];

/// The faults, in an order in which none depends on what another leaves in the minutes after it.
pub(crate) fn all() -> Vec<Fault> {
    let fault = |what, expected, inject, mend| Fault {
        what,
        expected,
        inject,
        mend,
    };
    let node = |name| subject(&[name], &[], &[], BOTH);
    let mut dead_flow = subject(&["n0", "n6"], &[], &[], [Some("n0"), Some("n6")]);
    dead_flow.port = Some(FIRST_PORT + 3);
    vec![
        fault(
            "one flow of eight from n0 to n6 is dead",
            Some((FindingKind::FlowBlackHole, dead_flow)),
            dead_flow_of_eight,
            nothing,
        ),
        fault(
            "n5 loses its power",
            Some((FindingKind::NodeDown, node("n5"))),
            node_down,
            |lab| lab.start_agent(5),
        ),
        fault(
            "n3's link loses 30 % either way",
            Some((FindingKind::NodeLink, node("n3"))),
            node_link,
            nothing,
        ),
        fault(
            "n2 is stopped again and again",
            Some((FindingKind::NodeSlow, node("n2"))),
            node_slow,
            nothing,
        ),
        fault(
            "rack z1/b loses half of what enters or leaves it",
            Some((FindingKind::Rack, subject(&[], &["z1/b"], &[], BOTH))),
            rack,
            nothing,
        ),
        fault(
            "rack z0/b loses its power",
            Some((FindingKind::Rack, subject(&[], &["z0/b"], &[], BOTH))),
            rack_down,
            |lab| {
                lab.start_agent(2)?;
                lab.start_agent(3)
            },
        ),
        fault(
            "60 % is lost between the zones z0 and z2",
            Some((FindingKind::ZonePair, subject(&[], &[], &["z0", "z2"], BOTH))),
            zone_pair,
            nothing,
        ),
        fault(
            "n8 hears no requests of n1",
            Some((
                FindingKind::OneDirection,
                subject(&["n1", "n8"], &[], &[], [Some("n1"), Some("n8")]),
            )),
            one_direction,
            nothing,
        ),
        fault(
            "70 % of the requests from zone z1 to z0 are lost",
            Some((
                FindingKind::OneDirection,
                subject(&[], &[], &["z0", "z1"], [Some("z1"), Some("z0")]),
            )),
            zone_one_direction,
            nothing,
        ),
        fault(
            "no large packet passes between the zones z1 and z2",
            Some((FindingKind::Mtu, subject(&[], &[], &["z1", "z2"], BOTH))),
            mtu,
            nothing,
        ),
        fault(
            "n7 answers no echo",
            Some((FindingKind::IcmpFiltered, node("n7"))),
            icmp_filtered,
            nothing,
        ),
        fault(
            "n8 takes no TCP of n3",
            Some((
                FindingKind::TcpFiltered,
                subject(&["n3", "n8"], &[], &[], [Some("n3"), Some("n8")]),
            )),
            tcp_filtered,
            nothing,
        ),
        fault(
            "n4 drops the answers to its own probes",
            Some((
                FindingKind::ProberAtFault,
                subject(&["n4"], &[], &[], [Some("n4"), None]),
            )),
            prober,
            nothing,
        ),
        fault(
            "n1 can't send",
            Some((
                FindingKind::ProberAtFault,
                subject(&["n1"], &[], &[], [Some("n1"), None]),
            )),
            cannot_send,
            nothing,
        ),
        fault(
            "the agent of n6 dies",
            Some((FindingKind::AgentDown, node("n6"))),
            agent_down,
            |lab| lab.start_agent(6),
        ),
        fault(
            "the records of n9 don't arrive",
            Some((FindingKind::NodeSilent, node("n9"))),
            silent,
            |lab| {
                lab.set_unheard(9, false);
                Ok(())
            },
        ),
        fault("n4 is taken out of the membership and stops", None, leave, |lab| {
            lab.start_agent(4)?;
            lab.write_peers(&[])
        }),
        fault(
            "60 % is lost between n0 and n9",
            Some((FindingKind::Pair, subject(&["n0", "n9"], &[], &[], BOTH))),
            pair,
            nothing,
        ),
        fault(
            "the link of rack z1/b takes 20 ms longer",
            Some((FindingKind::Rack, subject(&[], &["z1/b"], &[], BOTH))),
            rack_slow,
            |lab| {
                lab.fabric.line(SLOW_RACK)?.set_delay(Duration::ZERO);
                Ok(())
            },
        ),
        fault(
            "the link of n9 takes 20 ms longer",
            Some((FindingKind::NodeLink, node("n9"))),
            node_link_slow,
            |lab| {
                lab.fabric.line(SLOW_NODE)?.set_delay(Duration::ZERO);
                Ok(())
            },
        ),
        fault(
            "40 % is lost between all zones",
            Some((FindingKind::Spine, subject(&[], &[], &["z0", "z1", "z2"], BOTH))),
            spine,
            nothing,
        ),
        fault(
            "no records arrive at all",
            Some((FindingKind::CollectorBlind, Subject::default())),
            |lab| {
                lab.blind = true;
                Ok(Broken::default())
            },
            |lab| {
                lab.blind = false;
                Ok(())
            },
        ),
    ]
}

fn dead_flow_of_eight<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let (from, to) = (address(lab, 0), address(lab, 6));
    let rule = format!(
        "ip saddr {from} ip daddr {to} tcp dport 4000 tcp sport {} drop",
        FIRST_PORT + 3
    );
    forward(&lab.fabric.core, &[rule])
}

fn node_down<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.kill_agent(5);
    forward(lab.fabric.router_of(5), &through(&lab.fabric.nodes[5].port, "drop"))
}

fn node_link<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    forward(
        lab.fabric.router_of(3),
        &through(&lab.fabric.nodes[3].port, &random(30)),
    )
}

fn node_slow<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let pulse = lab.pid(2).map(Pulse::start).transpose()?;
    Ok(Broken {
        _pulse: pulse,
        ..Broken::default()
    })
}

fn rack<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    forward(&lab.fabric.racks[3], &through("uplink", &random(50)))
}

fn rack_down<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.kill_agent(2);
    lab.kill_agent(3);
    forward(&lab.fabric.racks[1], &["drop".to_owned()])
}

fn zone_pair<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let (a, b) = (Fabric::zone_net(0), Fabric::zone_net(2));
    forward(&lab.fabric.core, &between(&a, &b, &random(60)))
}

fn one_direction<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let from = format!("ip saddr {}", address(lab, 1));
    at_node(lab, 8, "input", &on(&from, &REQUESTS, "drop"))
}

fn zone_one_direction<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let way = format!("ip saddr {} ip daddr {}", Fabric::zone_net(1), Fabric::zone_net(0));
    forward(&lab.fabric.core, &on(&way, &REQUESTS, &random(70)))
}

fn mtu<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let (a, b) = (Fabric::zone_net(1), Fabric::zone_net(2));
    forward(&lab.fabric.core, &between(&a, &b, "meta length > 1300 drop"))
}

fn icmp_filtered<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    at_node(lab, 7, "input", &on("", &REQUESTS[..1], "drop"))
}

fn tcp_filtered<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let rule = format!("ip saddr {} tcp dport 4000 drop", address(lab, 3));
    at_node(lab, 8, "input", &[rule])
}

fn prober<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    at_node(lab, 4, "input", &on("", &REPLIES, &random(70)))
}

fn cannot_send<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    at_node(lab, 1, "output", &on("", &REQUESTS, &random(60)))
}

fn agent_down<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.kill_agent(6);
    Ok(Broken::default())
}

fn silent<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.set_unheard(9, true);
    Ok(Broken::default())
}

fn leave<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.write_peers(&[4])?;
    // The others read the file, which is looked at twice a second and has to be the same for one look.
    lab.look()?;
    lab.look()?;
    lab.stop_agent(4)?;
    Ok(Broken::default())
}

fn pair<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let (a, b) = (address(lab, 0), address(lab, 9));
    forward(&lab.fabric.core, &between(a, b, &random(60)))
}

fn rack_slow<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.fabric.line(SLOW_RACK)?.set_delay(Duration::from_millis(10));
    Ok(Broken::default())
}

fn node_link_slow<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    lab.fabric.line(SLOW_NODE)?.set_delay(Duration::from_millis(10));
    Ok(Broken::default())
}

fn spine<'f>(lab: &mut Lab<'f>) -> Result<Broken<'f>> {
    let zones: Vec<String> = (0..3).map(Fabric::zone_net).collect();
    let mut rules = between(&zones[0], &zones[1], &random(40));
    rules.extend(between(&zones[1], &zones[2], &random(40)));
    rules.extend(between(&zones[0], &zones[2], &random(40)));
    forward(&lab.fabric.core, &rules)
}

/// A process that gets three fifths of no time at all: as on a host that gives its processors to others.
struct Pulse {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    fn start(pid: u32) -> Result<Pulse> {
        let pid = Pid::from_raw(i32::try_from(pid)?);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let _ = kill(pid, Signal::SIGSTOP);
                std::thread::sleep(Duration::from_millis(60));
                let _ = kill(pid, Signal::SIGCONT);
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        Ok(Pulse {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! Findings in sentences.

use super::facts::Facts;
use super::finding::{FindingKind, Subject};
use super::name::{Name, Scene, Symptom};
use super::search::Cause;
use super::shape::Shape;

/// `0.5 %`, `7 %`, `100 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 && percent.fract() > 0.05 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// `214 us`, `1.30 ms`, `2.00 s`.
pub(super) fn duration(ns: u64) -> String {
    let ns = ns as f64;
    match ns {
        _ if ns < 1e6 => format!("{:.0} us", ns / 1e3),
        _ if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

/// `1 node`, `3 nodes`.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Where, as a part of a sentence.
pub(super) fn place(subject: &Subject, shape: Shape) -> String {
    let Subject {
        nodes,
        racks,
        zones,
        source,
        destination,
        ..
    } = subject;
    match (source, destination) {
        (Some(source), Some(destination)) => return format!("from {source} to {destination}"),
        (Some(source), None) => return format!("from {source}"),
        (None, Some(destination)) => return format!("to {destination}"),
        (None, None) => {}
    }
    let groups = |what: &str, names: &[String]| match names {
        [one] => format!("inside {what} {one}"),
        _ => format!("between {what}s {}", list(names)),
    };
    match nodes.as_slice() {
        [] if !racks.is_empty() => groups("rack", racks),
        [] if !zones.is_empty() => groups("zone", zones),
        [] => "everywhere".to_owned(),
        [one] if matches!(shape, Shape::Column(_)) => format!("to {one}"),
        [one] => format!("to and from {one}"),
        _ => format!("between {}", list(nodes)),
    }
}

/// One sentence that says what is the matter.
pub(super) fn summary(name: &Name, cause: &Cause, facts: &Facts, symptom: Symptom) -> String {
    let share = percent(cause.rate);
    let first = |names: &[String]| names.first().cloned().unwrap_or_default();
    let (node, rack, zone) = (
        first(&name.subject.nodes),
        first(&name.subject.racks),
        first(&name.subject.zones),
    );
    let what = match symptom {
        Symptom::Loss => format!("{share} of the probes fail"),
        Symptom::Delay => format!("{share} of the answers are late"),
    };
    let delay = symptom == Symptom::Delay;
    match name.kind {
        FindingKind::NodeDown if name.certainty < 1.0 => {
            format!("{node} is probably down: it answers nobody, and it has not been heard of since")
        }
        FindingKind::NodeDown => format!("{node} is down: it answers nobody, and its own records have stopped"),
        FindingKind::NodeLink => format!("The link of {node} is bad: {what}, to it and from it"),
        FindingKind::NodeSlow if facts.sources > 1 => format!("{node} is slow: {what} when others probe it"),
        FindingKind::NodeSlow => format!("{node} is slow: {what} when it probes others"),
        FindingKind::AgentDown => format!("The agent of {node} does not answer, though its host does"),
        FindingKind::ProberAtFault => {
            format!("{node} itself is at fault: {what} when it probes, and nobody else's of the same nodes")
        }
        FindingKind::Rack => format!("Rack {rack} is at fault: {what} that enter or leave it"),
        FindingKind::Zone => format!("Zone {zone} is at fault: {what} that enter or leave it"),
        FindingKind::Spine => format!("Between the zones {what}; inside them all is well"),
        FindingKind::OneDirection => format!("In one direction only, {}, {what}", place(&name.subject, cause.shape)),
        FindingKind::Mtu => format!(
            "Large echoes are lost {}: {share}, while other probes pass",
            place(&name.subject, cause.shape)
        ),
        FindingKind::IcmpFiltered => format!(
            "Of the echoes {} {share} are lost, while TCP passes",
            place(&name.subject, cause.shape)
        ),
        FindingKind::TcpFiltered if facts.mostly_refused() => {
            format!(
                "Of the TCP probes {} {share} are refused, while echoes pass",
                place(&name.subject, cause.shape)
            )
        }
        FindingKind::TcpFiltered => format!(
            "Of the TCP probes {} {share} are lost, while echoes pass",
            place(&name.subject, cause.shape)
        ),
        FindingKind::GrpcFailing => format!(
            "Of the calls {} {share} fail, while packets pass",
            place(&name.subject, cause.shape)
        ),
        _ if delay => format!("It is slow {}: {what}", place(&name.subject, cause.shape)),
        _ => format!("Packets are lost {}: {what}", place(&name.subject, cause.shape)),
    }
}

/// What every cause was found by.
pub(super) fn evidence(scene: &Scene<'_>, name: &Name, cause: &Cause, facts: &Facts) -> Vec<String> {
    let bad = match scene.symptom {
        Symptom::Loss => "failed",
        Symptom::Delay => "took too long",
    };
    let kinds = facts.kinds.iter().map(|(kind, n, k)| format!("{kind} {k} of {n}"));
    let mut evidence = vec![format!(
        "{} {bad}, from {} to {}",
        kinds.collect::<Vec<_>>().join(", "),
        count(facts.sources, "node"),
        count(facts.destinations, "node"),
    )];
    if scene.symptom == Symptom::Loss {
        let fates = [
            (facts.lost, "lost"),
            (facts.refused, "refused"),
            (facts.unreachable, "unreachable"),
        ];
        let fates = fates.into_iter().filter(|(number, _)| *number > 0);
        let fates: Vec<String> = fates.map(|(number, fate)| format!("{number} {fate}")).collect();
        if facts.refused + facts.unreachable > 0 {
            evidence.push(fates.join(", "));
        }
    }
    if cause.agreement < 0.995 {
        evidence.push(format!(
            "{} of it looks as this cause predicts",
            percent(cause.agreement)
        ));
    }
    match name.kind {
        FindingKind::Mtu => {
            let bytes = facts.payload.unwrap_or_default();
            evidence.push(format!("the lost echoes carry {bytes} bytes and more"));
            if name.certainty < 1.0 {
                evidence.push("no small echoes are sent there: a filter of ICMP would look the same".to_owned());
            }
        }
        FindingKind::ProberAtFault if name.certainty < 1.0 => {
            evidence.push("nobody else probes it or the same nodes: its link may be at fault".to_owned());
        }
        FindingKind::OneDirection => evidence.push("probes in the other direction pass".to_owned()),
        FindingKind::Rack | FindingKind::Zone if name.pattern == Some(super::Pattern::PodsetDown) => {
            evidence.push("no records come from any of its nodes".to_owned());
        }
        _ => {}
    }
    evidence
}

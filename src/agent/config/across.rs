//! What no key can check or decide alone.

use dt_membership::zookeeper::Access;
use dt_rpc::TlsMode;

use super::host_port::HostPort;
use super::key::Key;
use super::keys::key;
use super::load::{Layers, Setting};
use super::raw::{Raw, Source};

/// Completes and checks the draft once every layer is on it.
pub(super) fn check(layers: &mut Layers<'_>) {
    node(layers);
    membership(layers);
    listen(layers);
    advertise(layers);
    source_ports(layers);
    tls(layers);
    login(layers);
    topics(layers);
}

fn is_default(layers: &Layers<'_>, path: &str) -> bool {
    layers
        .settings
        .get(path)
        .is_none_or(|setting| setting.source == Source::Default)
}

/// Where the value of `key` came from, in words.
fn origin(layers: &Layers<'_>, key: &Key) -> String {
    match layers.settings.get(key.path).map(|setting| &setting.source) {
        Some(Source::Variable(name)) => format!("variable {name}"),
        Some(Source::Flag) => format!("flag --{}", key.flag()),
        Some(source) => source.to_string(),
        None => Source::Default.to_string(),
    }
}

fn fail(layers: &mut Layers<'_>, path: &str, reason: &str) {
    let Some(key) = key(path) else { return };
    let value = layers.settings.get(path).and_then(|setting| setting.raw.shown());
    let origin = origin(layers, key);
    layers.fail(key, value, &origin, reason.to_owned());
}

/// Replaces a default by what follows from other keys; its source stays `default`.
fn derive(layers: &mut Layers<'_>, path: &'static str, text: String) {
    layers.settings.insert(
        path,
        Setting {
            raw: Raw::Text(text),
            source: Source::Default,
        },
    );
}

fn node(layers: &mut Layers<'_>) {
    if layers.draft.node.is_empty() && !layers.failed.contains("node") {
        fail(layers, "node", "not set, and the host's name can't be found out");
    }
}

fn membership(layers: &mut Layers<'_>) {
    if layers.failed.contains("membership") || layers.failed.contains("peers") {
        return;
    }
    if layers.draft.peers.is_some() && is_default(layers, "membership") {
        layers.draft.file_membership = true;
        derive(layers, "membership", "file".to_owned());
    }
    match (layers.draft.file_membership, &layers.draft.peers) {
        (true, None) => fail(layers, "peers", "not set, but membership is file"),
        (false, Some(_)) => layers
            .warnings
            .push("peers is ignored: membership is zookeeper".to_owned()),
        _ => {}
    }
}

/// Others ping whoever registers, and probe his port.
fn listen(layers: &mut Layers<'_>) {
    let off = layers.draft.listen.is_none() && !layers.failed.contains("listen");
    if off && !layers.draft.file_membership && !layers.failed.contains("membership") {
        fail(
            layers,
            "listen",
            "membership is zookeeper, and whoever registers there has to answer",
        );
    }
}

/// Who says only where to listen is reached there. The original's variables are left their own meaning: it registers
/// `localhost` unless told otherwise.
fn advertise(layers: &mut Layers<'_>) {
    const ORIGINAL: &str = "REGISTER_";
    let of_original = |source: &Source| matches!(source, Source::Variable(name) if name.starts_with(ORIGINAL));
    let by_original = layers
        .settings
        .get("listen")
        .is_some_and(|setting| of_original(&setting.source));
    if !is_default(layers, "advertise") || is_default(layers, "listen") || by_original {
        return;
    }
    let Some(listen) = layers.draft.listen.clone() else {
        return;
    };
    let everywhere = listen
        .host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_unspecified());
    let advertise = if everywhere {
        HostPort::new("localhost", listen.port)
    } else {
        listen
    };
    derive(layers, "advertise", advertise.to_string());
    layers.draft.advertise = Some(advertise);
}

fn source_ports(layers: &mut Layers<'_>) {
    if layers.failed.contains("source_ports") || layers.failed.contains("source_port_range") {
        return;
    }
    let Some((first, last)) = layers.draft.source_port_range else {
        return;
    };
    let room = u32::from(last - first) + 1;
    if room < u32::from(layers.draft.source_ports) {
        let reason = format!(
            "holds {room} ports, fewer than source_ports = {}",
            layers.draft.source_ports
        );
        fail(layers, "source_port_range", &reason);
    }
}

fn tls(layers: &mut Layers<'_>) {
    let tls = &layers.draft.grpc_tls;
    if tls.mode == TlsMode::Off || layers.failed.contains("grpc.tls") {
        return;
    }
    let files = [
        ("grpc.tls_certificate", tls.certificate.as_os_str().is_empty()),
        ("grpc.tls_key", tls.key.as_os_str().is_empty()),
        ("grpc.tls_authorities", tls.authorities.as_os_str().is_empty()),
    ];
    let reason = format!("not set, but grpc.tls is {}", tls.mode);
    for (path, missing) in files {
        if missing {
            fail(layers, path, &reason);
        }
    }
}

fn login(layers: &mut Layers<'_>) {
    if ["zookeeper.auth", "zookeeper.auth_file", "zookeeper.acl"]
        .iter()
        .any(|path| layers.failed.contains(path))
    {
        return;
    }
    let has = (layers.draft.auth.given.is_some(), layers.draft.auth.file.is_some());
    match has {
        (true, true) => fail(
            layers,
            "zookeeper.auth_file",
            "zookeeper.auth is set, too: which is it?",
        ),
        (false, false) if layers.draft.zookeeper.access != Access::Open => {
            fail(
                layers,
                "zookeeper.acl",
                "neither zookeeper.auth nor zookeeper.auth_file is set",
            );
        }
        _ => {}
    }
}

/// What stands in the file counts as of now; the agent looks at it again and again.
pub(super) fn options_file(layers: &mut Layers<'_>) {
    let Some(path) = layers.draft.kafka.options_file.clone() else {
        return;
    };
    match dt_sink::kafka::read_options(&path) {
        Ok(options) => {
            let sources = options.keys().map(|name| (name.clone(), Source::OptionsFile));
            layers.option_sources.extend(sources);
            layers.draft.kafka.options_of_file = options;
        }
        Err(error) => fail(layers, "kafka.options_file", &error.to_string()),
    }
}

fn topics(layers: &mut Layers<'_>) {
    let failed = layers.failed.contains("kafka.topic") || layers.failed.contains("kafka.summary_topic");
    if !failed && layers.draft.kafka.topic == layers.draft.kafka.summary_topic {
        fail(layers, "kafka.summary_topic", "the same as kafka.topic");
    }
}

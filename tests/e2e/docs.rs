//! The documentation against the program: docs/monitoring.md names every metric and every warning, and none that isn't
//! there; and all links lead somewhere.

use distributed_trace_tests::agent::get;
use distributed_trace_tests::error::{Context, Result};
use distributed_trace_tests::guide;
use distributed_trace_tests::process::{Process, dt};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const GUIDE: &str = include_str!("../../docs/monitoring.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below `folder` with this ending.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).during(format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The metrics that agents and collectors show, as PromQL calls them.
fn shown() -> Result<BTreeSet<String>> {
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "[[peer]]\nnode = \"b\"\naddress = \"127.0.0.2\"\nport = 4000\n")?;
    // Nobody listens there: only the names of these metrics are of interest, and families have them before any value.
    let kafka = ["--kafka-bootstrap", "127.0.0.1:9"];
    let agent = [
        "agent",
        "--node",
        "a",
        "--listen",
        "127.0.0.1:0",
        "--sink",
        "kafka",
        "--metrics-peers",
        "true",
    ];
    let mut names = shown_by(Command::new(dt()?).args(agent).args(kafka).arg("--peers").arg(&peers))?;
    names.append(&mut shown_by(Command::new(dt()?).args([
        "collect",
        "--bootstrap",
        "127.0.0.1:9",
    ]))?);
    Ok(names)
}

/// Those of one command, which serves where it is told to.
fn shown_by(command: &mut Command) -> Result<BTreeSet<String>> {
    let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut process = Process::spawn("dt", command.args(["--http", &http]))?;
    let page = process.wait_for("/metrics", |_| {
        Ok(get(&http, "/metrics").ok().filter(|(status, _)| *status == 200))
    })?;
    process.terminate()?.expect_code(0)?;
    let types = page.1.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.filter_map(|line| match line.split_once(' ')? {
        // OpenMetrics' families of counters lack the suffix.
        (name, "counter") => Some(format!("{}_total", name.trim_end_matches("_total"))),
        (name, _) => Some(name.to_owned()),
    });
    Ok(names.collect())
}

/// The names of metrics in a text: `dt_` and what follows, but not names of crates.
fn named(text: &str) -> BTreeSet<String> {
    const CRATES: [&str; 13] = [
        "dt_agent",
        "dt_bench",
        "dt_collect",
        "dt_fuzz",
        "dt_kernel",
        "dt_membership",
        "dt_metrics",
        "dt_probe",
        "dt_record",
        "dt_rpc",
        "dt_serve",
        "dt_sink",
        "dt_test",
    ];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c));
    words
        .filter(|word| word.starts_with("dt_") && !CRATES.contains(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_is_explained_and_no_other() -> Result {
    let shown = shown()?;
    assert!(shown.len() > 50, "{shown:?}");
    let explained = named(GUIDE);
    let missing: Vec<_> = shown.difference(&explained).collect();
    assert!(missing.is_empty(), "not in docs/monitoring.md: {missing:?}");
    // Elsewhere a histogram may be meant by one of its series.
    let known = |name: &String| {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|series| name.strip_suffix(series));
        // A group of metrics is meant by what all of them begin with.
        let group = name.ends_with('_') && shown.iter().any(|shown| shown.starts_with(name.as_str()));
        shown.contains(name) || group || family.is_some_and(|family| shown.contains(family))
    };
    let mut texts = files(&root().join("docs"), ".md")?;
    texts.push(root().join("README.md"));
    for path in texts {
        let unknown: Vec<_> = named(&std::fs::read_to_string(&path)?)
            .into_iter()
            .filter(|name| !known(name))
            .collect();
        assert!(
            unknown.is_empty(),
            "{} names what is no metric: {unknown:?}",
            path.display()
        );
    }
    Ok(())
}

/// A source file without its tests, the line breaks inside of its texts undone.
fn source(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)?;
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut lines = Vec::new();
    let mut goes_on = false;
    for line in code.lines() {
        let line = if goes_on { line.trim_start() } else { line };
        goes_on = line.ends_with('\\');
        lines.push(format!(
            "{}{}",
            line.trim_end_matches('\\'),
            if goes_on { "" } else { "\n" }
        ));
    }
    Ok(lines.concat())
}

/// The texts of all warnings and errors in a source.
fn complaints(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for level in ["warn!(", "error!("] {
        for (at, _) in source.match_indices(level) {
            let mut texts = Vec::new();
            let (mut text, mut inside, mut escaped) = (String::new(), false, false);
            let mut depth = 1;
            for c in source[at + level.len()..].chars() {
                match c {
                    _ if escaped => {
                        text.push(c);
                        escaped = false;
                    }
                    '\\' if inside => escaped = true,
                    '"' if inside => {
                        texts.push(std::mem::take(&mut text));
                        inside = false;
                    }
                    '"' => inside = true,
                    _ if inside => text.push(c),
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            found.extend(texts.pop());
        }
    }
    found
}

#[test]
fn every_warning_is_explained_and_no_other() -> Result {
    let promised = guide::lines(GUIDE)?;
    assert!(promised.len() > 30, "{promised:?}");
    let ours = |path: &PathBuf| {
        !path
            .components()
            .skip_while(|part| part.as_os_str() != "src")
            .any(|part| part.as_os_str() == "tests")
            && !path.to_string_lossy().ends_with("_tests.rs")
    };
    let sources: Vec<String> = files(&root().join("src"), ".rs")?
        .iter()
        .filter(|path| ours(path))
        .map(|path| source(path))
        .collect::<Result<_>>()?;
    for line in &promised {
        assert!(
            sources.iter().any(|source| line.matches(source)),
            "nowhere in src: {line:?}"
        );
    }
    let mut seen = 0;
    for complaint in sources.iter().flat_map(|source| complaints(source)) {
        seen += 1;
        // Where the text is made elsewhere, the table names it as it is made there.
        if complaint.starts_with('{') && complaint.ends_with('}') {
            continue;
        }
        assert!(
            promised.iter().any(|line| line.matches(&complaint)),
            "not in docs/monitoring.md: {complaint:?}"
        );
    }
    assert!(seen > 30, "{seen}");
    Ok(())
}

/// The anchor that a heading has: small letters, digits and dashes for blanks.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of all links of a page, without those to other sites.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_link_leads_somewhere() -> Result {
    let mut pages = files(&root().join("docs"), ".md")?;
    pages.push(root().join("README.md"));
    let mut seen = 0;
    for path in pages {
        let page = std::fs::read_to_string(&path)?;
        for link in links(&page) {
            seen += 1;
            let (file, heading) = link
                .split_once('#')
                .map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap_or(&path).join(file),
            };
            assert!(target.exists(), "{}: no {link}", path.display());
            if let Some(heading) = heading {
                let text = std::fs::read_to_string(&target)?;
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{}: no heading {link}", path.display());
            }
        }
    }
    assert!(seen > 30, "{seen}");
    Ok(())
}

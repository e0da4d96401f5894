//! A `dt agent` of one node, with a file sink to read what it measured.

use crate::error::{Context, LabError, Result};
use crate::namespaces::Namespace;
use crate::ping::number;
use crate::process::{Finished, Process, dt};
use crate::scrape::Scrape;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Process,
    directory: tempfile::TempDir,
    records: PathBuf,
    /// Up to which byte the lines of that file were counted, and how many there were.
    counted: Cell<(u64, usize)>,
}

/// An agent to be started.
#[derive(Debug)]
pub struct Builder {
    command: Command,
    listen: String,
    http: String,
    node: String,
    directory: tempfile::TempDir,
}

impl Agent {
    /// An agent named `node` inside `namespace`, reachable for others at `address`:4000.
    ///
    /// # Errors
    /// Where there is no binary.
    pub fn builder(namespace: &Namespace, node: &str, address: &str) -> Result<Builder> {
        Agent::builder_of(namespace, &[], &dt()?, node, address)
    }

    /// As [`Agent::builder`], of another binary, and run by a program such as `setpriv` with these arguments.
    ///
    /// # Errors
    /// As [`Agent::builder`].
    pub fn builder_of(
        namespace: &Namespace,
        runner: &[&str],
        binary: &Path,
        node: &str,
        address: &str,
    ) -> Result<Builder> {
        let directory = tempfile::tempdir()?;
        let mut command = namespace.command("env");
        command.args(runner).arg(binary);
        for (name, _) in std::env::vars_os() {
            // What the test runner's surroundings say is no part of the test.
            if name.to_string_lossy().starts_with("DT_") {
                command.env_remove(name);
            }
        }
        command.arg("agent").args(["--node", node]);
        command.args(["--advertise", &format!("{address}:4000")]);
        command
            .arg("--sink")
            .arg(format!("file:{}", directory.path().join("records").display()));
        Ok(Builder {
            command,
            listen: "0.0.0.0:4000".to_owned(),
            http: "127.0.0.1:9464".to_owned(),
            node: node.to_owned(),
            directory,
        })
    }

    /// All whole lines of the file sink.
    ///
    /// # Errors
    /// Where one is not JSON.
    pub fn records(&self) -> Result<Vec<Value>> {
        read_records(&self.records)
    }

    /// Where the file sink writes.
    #[must_use]
    pub fn records_path(&self) -> &Path {
        &self.records
    }

    /// How many records there are, without reading what they say.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn count_records(&self) -> Result<usize> {
        let mut file = match std::fs::File::open(&self.records) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        // Asked again and again of a large file: only what is new is read, so that the agent keeps its processor.
        let (mut offset, mut lines) = self.counted.get();
        let mut fresh = Vec::new();
        file.seek(SeekFrom::Start(offset))?;
        offset += file.read_to_end(&mut fresh)? as u64;
        lines += fresh.iter().filter(|byte| **byte == b'\n').count();
        self.counted.set((offset, lines));
        Ok(lines)
    }

    /// Waits until `condition` gives a value for the records written by then; fails at once when the agent ends.
    ///
    /// # Errors
    /// The agent ended, or `what` never came.
    pub fn wait_for<T>(&mut self, what: &str, mut condition: impl FnMut(&[Value]) -> Result<Option<T>>) -> Result<T> {
        let path = self.records.clone();
        self.process.wait_for(what, |_| condition(&read_records(&path)?))
    }

    /// The answer of the agent's HTTP server to GET `path`: status and body.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn get(&self, namespace: &Namespace, path: &str) -> Result<(u16, String)> {
        namespace.enter(|| get("127.0.0.1:9464", path))?
    }

    /// One look at its metrics, whose books must balance.
    ///
    /// # Errors
    /// Where it does not answer, or they don't.
    pub fn scrape(&self, namespace: &Namespace) -> Result<Scrape> {
        let (_, page) = self.get(namespace, "/metrics")?;
        let scrape = Scrape::of(&page);
        scrape.balance().during(&page)?;
        Ok(scrape)
    }

    /// SIGTERM; what the process said and every record, the last partial window's included.
    ///
    /// # Errors
    /// Where it doesn't end, or something of it panicked, as where its books don't balance.
    pub fn terminate(self) -> Result<(Finished, Vec<Value>)> {
        self.process.signal(Signal::SIGTERM)?;
        self.finish()
    }

    /// As [`Agent::terminate`], of one that was told to end already.
    ///
    /// # Errors
    /// As [`Agent::terminate`].
    pub fn finish(self) -> Result<(Finished, Vec<Value>)> {
        let Agent {
            process,
            records,
            directory,
            ..
        } = self;
        let finished = process.finish()?;
        if ["panicked", "the books don't balance"]
            .iter()
            .any(|word| finished.stderr.contains(word))
        {
            return Err(LabError::new(format!("{finished}")));
        }
        let records = read_records(&records)?;
        drop(directory);
        Ok((finished, records))
    }
}

impl Builder {
    /// Adds arguments, separated by blanks.
    #[must_use]
    pub fn args(mut self, arguments: &str) -> Builder {
        self.command.args(arguments.split_whitespace());
        self
    }

    /// Where gRPC is answered, if not on all addresses.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Builder {
        address.clone_into(&mut self.listen);
        self
    }

    /// Where HTTP is answered, if not on loopback only.
    #[must_use]
    pub fn http(mut self, address: &str) -> Builder {
        address.clone_into(&mut self.http);
        self
    }

    /// The folder of its file sink.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Membership by this file.
    #[must_use]
    pub fn peers(mut self, file: &Path) -> Builder {
        self.command.args(["--membership", "file", "--peers"]).arg(file);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where that fails.
    pub fn start(mut self) -> Result<Agent> {
        self.command.args(["--listen", &self.listen, "--http", &self.http]);
        let process = Process::spawn(&self.node, &mut self.command)?;
        Ok(Agent {
            process,
            records: self.directory.path().join("records"),
            directory: self.directory,
            counted: Cell::default(),
        })
    }
}

fn read_records(path: &Path) -> Result<Vec<Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        // Not made yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LabError::from(error).during(format!("read {}", path.display()))),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).during(format!("{line:?}")))
        .collect()
}

/// A plain HTTP/1.0 GET.
///
/// # Errors
/// Where nobody answers or the answer has no status.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).during(format!("connect to {address}"))?;
    stream.set_read_timeout(Some(crate::process::DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Ok((
        status.ok_or_else(|| LabError::new(format!("no HTTP status in {head:?}")))?,
        body.to_owned(),
    ))
}

/// The text under `name`.
///
/// # Errors
/// Where there is none.
pub fn text<'a>(record: &'a Value, name: &str) -> Result<&'a str> {
    record[name]
        .as_str()
        .ok_or_else(|| LabError::new(format!("no text {name} in {record}")))
}

/// Records by destination and probe kind, each in the order they came.
///
/// # Errors
/// Where a record names neither.
pub fn by_pair(records: &[Value]) -> Result<BTreeMap<(String, String), Vec<&Value>>> {
    let mut pairs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records {
        let key = (text(record, "dst_node")?.to_owned(), text(record, "probe")?.to_owned());
        pairs.entry(key).or_default().push(record);
    }
    Ok(pairs)
}

/// The sum of one count over records.
///
/// # Errors
/// Where one lacks it.
pub fn total<'a>(records: impl IntoIterator<Item = &'a Value>, name: &str) -> Result<u64> {
    records
        .into_iter()
        .map(|record| number(record, name))
        .try_fold(0, |sum, count| Ok(sum + count?))
}

/// What holds for each record alone, and for all records of one life of an agent taken together: the fates sum up,
/// windows are aligned and follow each other without gap or repetition per pair, `seq` counts from 1.
///
/// # Errors
/// The first thing that doesn't hold, with the record.
pub fn check_records(records: &[Value], window_ms: u64) -> Result {
    for (index, record) in records.iter().enumerate() {
        let expect = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(LabError::new(format!("{what}: record {}: {record}", index + 1)))
            }
        };
        let count = |name: &str| number(record, name);
        let fates = ["received", "lost", "refused", "unreachable", "send_error"];
        let decided = fates
            .iter()
            .map(|fate| count(fate))
            .try_fold(0, |sum, n| Ok::<_, LabError>(sum + n?))?;
        expect(count("sent")? == decided, "sent is the sum of the five fates")?;
        expect(count("schema_version")? == 1, "schema_version is 1")?;
        let (start, end) = (count("window_start_ms")?, count("window_end_ms")?);
        expect(
            start % window_ms == 0 && end == start + window_ms,
            "the window is aligned",
        )?;
        expect(count("seq")? == index as u64 + 1, "seq counts from 1 without gaps")?;
        expect(record["boot_id"] == records[0]["boot_id"], "one life has one boot_id")?;
        let received = count("received")?;
        for name in ["min", "mean", "p50", "p90", "p99", "p999", "max"] {
            expect(
                record[format!("rtt_{name}_ns")].is_u64() == (received > 0),
                "rtt_* are null where nothing came",
            )?;
        }
        expect(
            text(record, "hdr")?.is_empty() == (received == 0),
            "hdr is empty where nothing came",
        )?;
        if let (Some(values), Some(counts)) = (record["bucket_ns"].as_array(), record["bucket_count"].as_array()) {
            expect(values.len() == counts.len(), "the bucket arrays are of one length")?;
            let sum: u64 = counts.iter().filter_map(Value::as_u64).sum();
            expect(sum == received, "the buckets hold what was received")?;
        }
    }
    for (pair, records) in by_pair(records)? {
        for two in records.windows(2) {
            let (before, after) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
            if before != after {
                return Err(LabError::new(format!(
                    "{pair:?}: a window ended at {before}, the next began at {after}"
                )));
            }
        }
    }
    Ok(())
}

//! Python's `hdrhistogram`: a decoder of histograms that is not ours.

use crate::error::{Context, LabError, Result};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SCRIPT: &str = r"
import json, sys
from hdrh.histogram import HdrHistogram
for line in sys.stdin:
    h = HdrHistogram.decode(line.strip())
    buckets = [[h.get_highest_equivalent_value(i.value_iterated_to), i.count_at_value_iterated_to]
               for i in h.get_recorded_iterator()]
    print(json.dumps({'count': h.get_total_count(), 'min': h.get_min_value(), 'max': h.get_max_value(),
                      'buckets': buckets}))
";

/// What the library found in one histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// All samples.
    pub count: u64,
    /// The highest equivalent value of each bucket that is not empty, ascending, and its count.
    pub buckets: Vec<(u64, u64)>,
}

impl Decoded {
    /// The value of nearest rank, `ceil(q * n)`.
    #[must_use]
    pub fn nearest_rank(&self, q: f64) -> Option<u64> {
        let rank = ((q * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.buckets.iter().find_map(|(value, count)| {
            seen += count;
            (seen >= rank).then_some(*value)
        })
    }
}

/// The Python that has the packages of `scripts/test --install`.
#[must_use]
pub fn interpreter() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .unwrap_or_default();
    cache.join("distributed-trace/python/bin/python")
}

/// Decodes base64 strings.
///
/// # Errors
/// Where Python or its library is missing, or refuses one.
pub fn decode(histograms: &[&str]) -> Result<Vec<Decoded>> {
    let python = interpreter();
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .during(format!(
            "start {}: install it by scripts/test --install",
            python.display()
        ))?;
    let mut stdin = child.stdin.take().ok_or_else(|| LabError::new("no pipe to python"))?;
    let lines = histograms.join("\n") + "\n";
    // From a thread, since python answers while it reads.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    writer
        .join()
        .map_err(|_| LabError::new("writing to python panicked"))?
        .during("write to python")?;
    if !output.status.success() {
        return Err(LabError::new("Python's hdrhistogram refused one of the strings"));
    }
    let text = String::from_utf8(output.stdout)?;
    let decoded: Vec<Decoded> = text.lines().map(parse).collect::<Result<_>>()?;
    if decoded.len() != histograms.len() {
        return Err(LabError::new(format!(
            "{} histograms sent, {} answers",
            histograms.len(),
            decoded.len()
        )));
    }
    Ok(decoded)
}

fn parse(line: &str) -> Result<Decoded> {
    let object: serde_json::Value = serde_json::from_str(line)?;
    let pairs = object["buckets"].as_array().into_iter().flatten();
    let buckets = pairs
        .filter_map(|pair| Some((pair[0].as_u64()?, pair[1].as_u64()?)))
        .collect();
    Ok(Decoded {
        count: object["count"].as_u64().unwrap_or_default(),
        buckets,
    })
}

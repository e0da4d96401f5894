//! A real Prometheus.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use axum::Router;
use distributed_trace_tests::agent::get;
use distributed_trace_tests::process::{Process, wait_for};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Serves `routes` as long as the runtime lives.
pub fn serve(routes: Router) -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, routes).await });
    (runtime, address)
}

pub struct Prometheus {
    _process: Process,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes a collector there and evaluates the rules in `rules`.
    pub fn start(scraped: SocketAddr, rules: &[&Path], options: &[&str]) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("prometheus.yml");
        let scrape = format!(
            "{{global: {{evaluation_interval: 1s}}, rule_files: {}, scrape_configs: [{{job_name: dt-collect, scrape_interval: 1s, scrape_timeout: 1s, \
            static_configs: [{{targets: ['{scraped}']}}]}}]}}",
            json!(rules)
        );
        std::fs::write(&configuration, scrape).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(options);
        let process = Process::spawn("prometheus (Debian: prometheus)", &mut command).unwrap();
        Prometheus {
            _process: process,
            address,
            _folder: folder,
        }
    }

    /// The one value of an instant query; `None` where it has none yet.
    pub fn query(&self, query: &str) -> Option<f64> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, body) = get(&self.address, &format!("/api/v1/query?query={escaped}")).ok()?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        assert_eq!(status, 200, "{query}: {body}");
        let results = answer["data"]["result"].as_array().unwrap();
        assert!(results.len() < 2, "{query}: {body}");
        results.first()?["value"][1].as_str().unwrap().parse().ok()
    }

    pub fn wait_for(&self, query: &str) -> f64 {
        wait_for(&format!("an answer to {query}"), || Ok(self.query(query))).unwrap()
    }
}

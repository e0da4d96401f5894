//! What a running `dt collect` or `dt demo` answers.

use std::sync::Arc;
use std::time::Duration;

use dt_collect::http::Token;
use dt_collect::{Level, View};
use dt_probe::ProbeKind;
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use super::first_table;
use super::wire::{Refusal, Status, WireTable};
use crate::server::{self, Address};
use crate::top::model::{Findings, Look, PairView, Picture, Table, Want};

/// One answer may take so long. A server makes a large heat map in a second or two.
const PATIENCE: Duration = Duration::from_secs(20);
/// A heat map of 1,000 x 1,000 nodes is 80 MB.
const LONGEST: usize = 256 << 20;

#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    token: Option<Token>,
    runtime: Runtime,
}

/// Why there is no answer.
enum Failed {
    /// 404: nothing of that name.
    Missing(String),
    Other(String),
}

impl Failed {
    fn words(self) -> String {
        match self {
            Failed::Missing(why) | Failed::Other(why) => why,
        }
    }
}

impl Server {
    pub(crate) fn new(address: Address, token: Option<Token>) -> Result<Server, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Server {
            address,
            token,
            runtime: runtime.map_err(|error| format!("starting the runtime: {error}"))?,
        })
    }

    pub(crate) fn origin(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn look(&mut self, want: &Want) -> Look {
        let map = first_table(want.probe, |probe| self.table(want.level, want.view, probe))?;
        let nodes = if want.level == Level::Node {
            Arc::clone(&map)
        } else {
            Arc::new(self.table(Level::Node, want.view, map.probe)?)
        };
        let findings = self.findings().map(Arc::new);
        let pair = match &want.pair {
            None => None,
            Some((source, destination)) => self.pair(source, destination, want.view)?,
        };
        let status: Status = self.get("/api/v1/status", &[]).map_err(Failed::words)?;
        Ok(Picture {
            map,
            nodes,
            findings,
            pair,
            news: status.news(),
            notes: status.notes,
        })
    }

    pub(crate) fn table(&self, level: Level, view: View, probe: ProbeKind) -> Result<Table, String> {
        let parameters = [
            ("level", level.as_str()),
            ("view", view.as_str()),
            ("probe", probe.as_str()),
        ];
        let path = "/api/v1/matrix";
        let table: WireTable = self.get(path, &parameters).map_err(Failed::words)?;
        let table = table.into_table(level, view, probe);
        table.map_err(|why| format!("{}{path}: {why}", self.address))
    }

    pub(crate) fn findings(&self) -> Result<Findings, String> {
        self.get("/api/v1/findings", &[]).map_err(Failed::words)
    }

    fn pair(&self, source: &str, destination: &str, view: View) -> Result<Option<PairView>, String> {
        let parameters = [
            ("source", source),
            ("destination", destination),
            ("view", view.as_str()),
        ];
        match self.get::<PairView>("/api/v1/pair", &parameters) {
            Ok(pair) => Ok(Some(PairView { view, ..pair })),
            Err(Failed::Missing(_)) => Ok(None),
            Err(failed) => Err(failed.words()),
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)]) -> Result<T, Failed> {
        let mut wanted = path.to_owned();
        if !parameters.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(parameters)
                .finish();
            wanted = format!("{path}?{query}");
        }
        let named = |why: String| format!("{}{path}: {why}", self.address);
        let asking = server::get(&self.address, self.token.as_ref(), &wanted, LONGEST, PATIENCE);
        let (status, body) = self.runtime.block_on(asking).map_err(|why| Failed::Other(named(why)))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|error| Failed::Other(named(format!("not the answer expected: {error}"))));
        }
        let refusal = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
        let why = refusal.map_or_else(|_| status.to_string(), |why| format!("{status}: {why}"));
        Err(if status == StatusCode::NOT_FOUND {
            Failed::Missing(named(why))
        } else {
            Failed::Other(named(why))
        })
    }
}

//! One request to the API server, with the rights that Kubernetes puts into the pod. Not by a client library of
//! Kubernetes: those bring hundreds of kinds of objects for the sake of one map of labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode, header};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::config::HostPort;
use crate::request;

/// Where a pod finds its token and the API server's authority.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The metadata alone: whole Node objects list every image on the node. Servers of long ago send the whole.
const ACCEPT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Far more than any Node object has.
const LONGEST_ANSWER: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod; accepted: kubernetes.node_labels = false elsewhere"
    )]
    NoPod,
    #[error("{0:?} can be no node of Kubernetes; accepted: the Node object's name as `node`")]
    NoNode(String),
    #[error("{path}: {why}; accepted: what automountServiceAccountToken puts there")]
    Credentials { path: String, why: String },
    #[error("the API server at {at}: {why}")]
    Talk { at: String, why: String },
    #[error(
        "the API server says {status}: {message}; accepted: a role that may `get` nodes, and the Node object's name as `node`"
    )]
    Refused { status: StatusCode, message: String },
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
}

/// The API server, as a pod knows it.
pub(super) struct Api {
    at: HostPort,
    credentials: PathBuf,
}

/// A Node object, or its metadata.
#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What the API server answers where it refuses.
#[derive(Deserialize)]
struct Status {
    message: String,
}

impl Api {
    /// By the variables that Kubernetes sets in every container.
    pub(super) fn of_this_pod() -> Result<Api, Problem> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = variable("KUBERNETES_SERVICE_HOST").ok_or(Problem::NoPod)?;
        let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
        Ok(Api {
            at: HostPort::new(&host, port.ok_or(Problem::NoPod)?),
            credentials: CREDENTIALS.into(),
        })
    }

    /// The labels of a Node.
    pub(super) async fn labels_of(&self, node: &str) -> Result<BTreeMap<String, String>, Problem> {
        // RFC 1123, as Kubernetes names its objects: so nothing in it can mean something in a path.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if node.starts_with('.') || !node.chars().all(allowed) {
            return Err(Problem::NoNode(node.to_owned()));
        }
        // Read each time: both are renewed while a pod runs.
        let token = read(&self.credentials.join("token"))?;
        let tls = authority(&self.credentials.join("ca.crt"))?;
        let body = self.get(&format!("/api/v1/nodes/{node}"), token.trim(), tls).await?;
        let object: Object = serde_json::from_slice(&body).map_err(|error| self.problem(error))?;
        Ok(object.metadata.labels)
    }

    async fn get(&self, path: &str, token: &str, tls: ClientConfig) -> Result<Bytes, Problem> {
        let name = ServerName::try_from(self.at.host.clone()).map_err(|error| self.problem(error))?;
        let request = Request::get(path)
            .header(header::HOST, self.at.to_string())
            .header(header::ACCEPT, ACCEPT)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(
                header::USER_AGENT,
                concat!("distributed-trace/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.problem(error))?;
        let stream = TcpStream::connect((self.at.host.as_str(), self.at.port)).await;
        let stream = stream.map_err(|error| self.problem(error))?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| self.problem(error))?;
        let answer = request::answer(stream, request, LONGEST_ANSWER).await;
        match answer.map_err(|error| self.problem(error))? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => Err(Problem::Refused {
                status,
                message: serde_json::from_slice(&body).map_or_else(|_| "nothing".to_owned(), |s: Status| s.message),
            }),
        }
    }

    fn problem(&self, why: impl ToString) -> Problem {
        Problem::Talk {
            at: self.at.to_string(),
            why: why.to_string(),
        }
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| credentials(path, error))
}

/// TLS that trusts nobody but the cluster's own authority.
fn authority(path: &Path) -> Result<ClientConfig, Problem> {
    let text = read(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| credentials(path, error))?;
        roots.add(certificate).map_err(|error| credentials(path, error))?;
    }
    if roots.is_empty() {
        return Err(credentials(path, "no certificate"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| credentials(path, error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn credentials(path: &Path, why: impl ToString) -> Problem {
    Problem::Credentials {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;

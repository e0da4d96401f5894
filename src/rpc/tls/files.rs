//! From PEM files to what rustls works with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Current, TlsConfig, follow};

/// The name of HTTP/2 in the handshake (RFC 9113, 3.2).
const H2: &[u8] = b"h2";
/// No certificate, key or list of authorities is longer.
const LONGEST: u64 = 4 << 20;

/// Why TLS can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that can't be read, or holds something else.
    #[error("{what} {path:?}: {why}; accepted: a PEM file with {wanted}", path = path.display())]
    File {
        /// What it is to be.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What it has to hold.
        wanted: &'static str,
    },
    /// Certificate and key are each good, and not for one another.
    #[error("the certificate {certificate:?} and the key {key:?}: {why}", certificate = certificate.display(), key = key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Current {
    pub(super) fn load(config: &TlsConfig) -> Result<Current, TlsError> {
        // Before the files are read: what changes meanwhile is then seen as a change.
        let versions = follow::versions(config);
        let provider = Arc::new(ring::default_provider());
        let chain = chain(&config.certificate)?;
        let key = key(&config.key)?;
        let roots = Arc::new(authorities(&config.authorities)?);
        let pair = |why: &dyn std::fmt::Display| TlsError::Pair {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            why: why.to_string(),
        };
        let server = server(config, &provider, &roots)?
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| pair(&error))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| pair(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| pair(&error))?;
        let (mut server, mut client) = (server, client);
        server.alpn_protocols = vec![H2.to_vec()];
        client.alpn_protocols = vec![H2.to_vec()];
        Ok(Current {
            server: Arc::new(server),
            client: Arc::new(client),
            versions,
        })
    }
}

type ServerBuilder = tokio_rustls::rustls::ConfigBuilder<ServerConfig, tokio_rustls::rustls::server::WantsServerCert>;

fn server(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
) -> Result<ServerBuilder, TlsError> {
    let wrong = |why: String| problem("the authorities", &config.authorities, AUTHORITIES, why);
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    if !config.verify_clients {
        return Ok(builder.with_no_client_auth());
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider)).build();
    Ok(builder.with_client_cert_verifier(verifier.map_err(|error| wrong(error.to_string()))?))
}

const CHAIN: &str = "this node's certificate, then those between it and an authority";
const KEY: &str = "one private key, not encrypted";
const AUTHORITIES: &str = "certificates of authorities";

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| problem("the certificate", path, CHAIN, why);
    let text = read(path).map_err(wrong)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error: pem::Error| wrong(error.to_string()))?;
    if chain.is_empty() {
        Err(wrong("no certificate in it".to_owned()))
    } else {
        Ok(chain)
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |why: String| problem("the key", path, KEY, why);
    let text = read(path).map_err(wrong)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong("no private key in it".to_owned()),
        error => wrong(error.to_string()),
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let wrong = |why: String| problem("the authorities", path, AUTHORITIES, why);
    let text = read(path).map_err(wrong)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        Err(wrong("no certificate in it".to_owned()))
    } else {
        Ok(roots)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LONGEST {
        return Err(format!("{length} bytes are more than {LONGEST}"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

fn problem(what: &'static str, path: &Path, wanted: &'static str, why: String) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        why,
        wanted,
    }
}

//! TLS for gRPC, both ways: what this node shows to others and whom it believes, from three PEM files that are read again
//! when they change.
//!
//! An agent is server and client alike, so one certificate serves for both, and one list of authorities.

mod files;
mod follow;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use files::TlsError;
use follow::Version;

/// How far TLS goes, in the order in which a running mesh goes through it: each step can be taken node by node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// Not at all, as the Go original.
    #[default]
    Off,
    /// Answers TLS and cleartext, pings in cleartext.
    Accept,
    /// Answers both, pings by TLS; agents of the Go original in cleartext.
    Use,
    /// Answers and pings by TLS only.
    Require,
}

impl TlsMode {
    /// Every value's word.
    pub const WORDS: [&'static str; 4] = ["off", "accept", "use", "require"];
}

impl FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<TlsMode, String> {
        match text {
            "off" => Ok(TlsMode::Off),
            "accept" => Ok(TlsMode::Accept),
            "use" => Ok(TlsMode::Use),
            "require" => Ok(TlsMode::Require),
            _ => Err(format!("{text:?} is none of {}", TlsMode::WORDS.join(", "))),
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TlsMode::WORDS[*self as usize])
    }
}

/// What TLS is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// How far it goes.
    pub mode: TlsMode,
    /// This node's certificate and those between it and an authority, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities whose certificates are believed, PEM.
    pub authorities: PathBuf,
    /// Whether callers have to show a certificate too.
    pub verify_clients: bool,
    /// The name that every peer's certificate bears; `None` where it bears the address that the peer registered.
    pub name: Option<String>,
}

/// TLS as the files are now. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<TlsConfig>,
    current: Arc<RwLock<Current>>,
    refused: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
struct Current {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// The files that they were made of.
    versions: [Version; 3],
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that can't be read or holds something else, by name; a key that isn't the certificate's.
    pub fn load(config: TlsConfig) -> Result<Tls, TlsError> {
        let current = Current::load(&config)?;
        Ok(Tls {
            config: Arc::new(config),
            current: Arc::new(RwLock::new(current)),
            refused: Arc::default(),
        })
    }

    /// What it is made of.
    #[must_use]
    pub fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// How often the files had changed and could not be used.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.now().server))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.now().client))
    }

    fn now(&self) -> Current {
        // Whoever writes only replaces it whole.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the files over as they are now.
    fn reload(&self) -> Result<(), TlsError> {
        let current = Current::load(&self.config)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }
}

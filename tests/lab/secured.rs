//! A broker that lets in who knows a password (SCRAM-SHA-512), by TLS alone.

use crate::certificates::{authority, certificate};
use crate::error::Result;
use crate::kafka::{Kafka, Options};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Who may come in.
pub const USER: &str = "agents";
/// What [`USER`] has to know.
pub const PASSWORD: &str = "open-sesame-512";
/// The broker's own user, whom it is to itself.
const BROKER: (&str, &str) = ("broker", "broker-password");
const MECHANISM: &str = "SCRAM-SHA-512";

/// The broker and the authority of its certificate, which is for 127.0.0.1 and not for `localhost`.
#[derive(Debug)]
pub struct Secured {
    /// The broker.
    pub kafka: Kafka,
    folder: TempDir,
}

impl Secured {
    /// Not started yet.
    ///
    /// # Errors
    /// Where openssl fails.
    ///
    /// # Panics
    /// As [`Kafka::new_stopped`].
    pub fn stopped() -> Result<Secured> {
        let folder = tempfile::tempdir()?;
        authority(folder.path(), "lab")?;
        certificate(folder.path(), "IP:127.0.0.1")?;
        let part = |name: &str| std::fs::read_to_string(folder.path().join(name));
        std::fs::write(folder.path().join("broker.pem"), part("tls.key")? + &part("tls.crt")?)?;
        // Somebody else's, of the same name.
        let other = folder.path().join("other");
        std::fs::create_dir(&other)?;
        authority(&other, "lab")?;
        let options = options(folder.path());
        Ok(Secured {
            kafka: Kafka::new_stopped(&options),
            folder,
        })
    }

    /// Running.
    ///
    /// # Errors
    /// As [`Secured::stopped`].
    ///
    /// # Panics
    /// As [`Kafka::start`].
    pub fn start() -> Result<Secured> {
        let mut secured = Secured::stopped()?;
        secured.kafka.start_again();
        Ok(secured)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// That of another authority, which bears the same name.
    #[must_use]
    pub fn another_authority(&self) -> PathBuf {
        self.folder.path().join("other/ca.crt")
    }

    /// The address under a name that its certificate isn't for.
    #[must_use]
    pub fn by_another_name(&self) -> String {
        self.kafka.bootstrap().replace("127.0.0.1", "localhost")
    }

    /// What a client has to set that knows this password.
    #[must_use]
    pub fn client(&self, password: &str) -> Vec<(String, String)> {
        client(&self.authority(), password)
    }
}

fn client(authority: &Path, password: &str) -> Vec<(String, String)> {
    let options = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", MECHANISM),
        ("sasl.username", USER),
        ("sasl.password", password),
        ("ssl.ca.location", &authority.to_string_lossy()),
    ];
    options
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn options(folder: &Path) -> Options {
    let at = folder.display();
    let (user, password) = BROKER;
    let properties = [
        (
            "listener.security.protocol.map",
            "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("sasl.enabled.mechanisms", MECHANISM.to_owned()),
        ("sasl.mechanism.inter.broker.protocol", MECHANISM.to_owned()),
        (
            "listener.name.client.scram-sha-512.sasl.jaas.config",
            format!(
                "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{user}\" password=\"{password}\";"
            ),
        ),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", format!("{at}/broker.pem")),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", format!("{at}/ca.crt")),
    ];
    Options {
        auto_create_topics: false,
        properties: properties.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        client: client(&folder.join("ca.crt"), PASSWORD),
        scram: [(USER, PASSWORD), BROKER]
            .map(|(user, password)| format!("{MECHANISM}=[name={user},password={password}]"))
            .to_vec(),
        ..Options::default()
    }
}

//! How sessions are authenticated: a user and a password, given or from a file, shown by one of two schemes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zookeeper_client::{Connector, SaslOptions};

/// No file with a credential is longer.
const LONGEST: u64 = 4096;

/// How the credential is shown to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// ZooKeeper's own `digest`: every server has it, none checks it but by the nodes' access lists, and the password crosses
    /// the network as it is.
    #[default]
    Digest,
    /// SASL DIGEST-MD5: the servers have to know the user, and the password doesn't cross the network.
    Sasl,
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Scheme, String> {
        match text {
            "digest" => Ok(Scheme::Digest),
            "sasl" => Ok(Scheme::Sasl),
            _ => Err("unknown scheme".to_owned()),
        }
    }
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl FromStr for Credential {
    type Err = String;

    /// The error never holds the text.
    fn from_str(text: &str) -> Result<Credential, String> {
        let (user, password) = text.split_once(':').ok_or("no ':' in it")?;
        if user.is_empty() || password.is_empty() {
            return Err("user or password is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("a control character in it".to_owned());
        }
        Ok(Credential {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// Where the credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the configuration.
    Given(Credential),
    /// From this file: `USER:PASSWORD` on its first line, and nothing else. Read anew for each session.
    File(PathBuf),
}

/// How sessions are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// How the credential is shown.
    pub scheme: Scheme,
    /// Where it comes from.
    pub source: Source,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
#[error("the ZooKeeper credential {path:?}: {why}; accepted: a file with USER:PASSWORD and nothing else", path = path.display())]
pub struct LoginError {
    path: PathBuf,
    why: String,
}

impl Login {
    /// Whether there is a credential now.
    ///
    /// # Errors
    /// A file that can't be read or holds something else; its content is not in the error.
    pub fn check(&self) -> Result<(), LoginError> {
        self.read().map(drop)
    }

    pub(super) fn read(&self) -> Result<Credential, LoginError> {
        match &self.source {
            Source::Given(credential) => Ok(credential.clone()),
            Source::File(path) => read(path).map_err(|why| LoginError {
                path: path.clone(),
                why,
            }),
        }
    }

    /// Has the sessions of `connector` authenticated.
    pub(super) fn with(&self, connector: Connector, credential: &Credential) -> Connector {
        let Credential { user, password } = credential;
        match self.scheme {
            Scheme::Digest => connector.with_auth("digest", format!("{user}:{password}").as_bytes()),
            Scheme::Sasl => connector.with_sasl(SaslOptions::digest_md5(user.clone(), password.clone())),
        }
    }
}

fn read(path: &Path) -> Result<Credential, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LONGEST {
        return Err(format!("{length} bytes are more than {LONGEST}"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8".to_owned())?;
    text.trim_end_matches(['\r', '\n']).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_user_and_a_password_and_never_shown() {
        let good: Credential = "dt:pass:word".parse().unwrap();
        assert_eq!((good.user.as_str(), good.password.as_str()), ("dt", "pass:word"));
        assert!(!format!("{good:?}").contains("word"), "{good:?}");
        for bad in ["", "dt", ":x", "dt:", "dt:a\nb", "dt:secret\u{7}"] {
            let why = bad.parse::<Credential>().unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_file_holds_it_on_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth");
        let login = Login {
            scheme: Scheme::Digest,
            source: Source::File(path.clone()),
        };
        assert!(login.check().unwrap_err().to_string().contains("auth"));
        for (text, good) in [
            ("dt:secret\n", true),
            ("dt:secret\r\n", true),
            ("dt:secret\nmore:secret\n", false),
            ("\n", false),
            (&"x".repeat(5000), false),
        ] {
            std::fs::write(&path, text).unwrap();
            let read = login.check();
            assert_eq!(read.is_ok(), good, "{text:?}");
            assert!(!format!("{read:?} {login:?}").contains("secret"));
        }
    }
}

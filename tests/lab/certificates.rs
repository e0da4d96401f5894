//! Certificates that openssl makes: an authority, and what it vouches for.

use crate::error::Result;
use crate::process::{Finished, Process};
use std::path::Path;
use std::process::Command;

/// Runs openssl in `folder`.
///
/// # Errors
/// Where it fails, with what it says.
pub fn openssl(folder: &Path, arguments: &str) -> Result<Finished> {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split_whitespace());
    Process::run("openssl", &mut command)?.expect_code(0)
}

/// Makes an authority: `ca.key` and `ca.crt`.
///
/// # Errors
/// Where openssl fails.
pub fn authority(folder: &Path, name: &str) -> Result {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN={name}"
        ),
    )
    .map(drop)
}

/// Makes the certificate and key of whoever is called `names`, as `IP:10.9.0.1`: made aside, then put in place as `tls.crt` and
/// `tls.key`.
///
/// # Errors
/// Where openssl fails, or the folder has no authority.
pub fn certificate(folder: &Path, names: &str) -> Result {
    std::fs::write(folder.join("san"), format!("subjectAltName={names}\n"))?;
    openssl(
        folder,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout new.key -out new.csr -subj /CN=agent",
    )?;
    openssl(
        folder,
        "x509 -req -in new.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile san -out new.crt",
    )?;
    for file in ["crt", "key"] {
        std::fs::rename(folder.join(format!("new.{file}")), folder.join(format!("tls.{file}")))?;
    }
    Ok(())
}

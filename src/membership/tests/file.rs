//! The peers file, replaced in the ways that operators, editors and Kubernetes do it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{eventually, sees, until};
use dt_membership::{FileError, Handle, Registration, file};

fn own() -> Registration {
    Registration {
        node: "a".into(),
        address: "10.0.0.1".into(),
        port: 4000,
        tcp_port: 4000,
        ..Registration::default()
    }
}

fn peer(node: &str, last: u8) -> String {
    format!("[[peer]]\nnode = \"{node}\"\naddress = \"10.0.0.{last}\"\nport = 4000\nzone = \"z\"\nrack = \"r\"\n")
}

/// Waits for the error that the status shows.
async fn complains(handle: &Handle) -> String {
    let status = until("an error is shown", &handle.status, |status| {
        status.last_error.is_some()
    })
    .await;
    status.last_error.unwrap()
}

#[tokio::test]
async fn a_file_is_followed_and_a_broken_one_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers.toml");
    fs::write(&path, peer("b", 2) + &peer("c", 3)).unwrap();
    let handle = file::start(&path, own()).unwrap();
    // At once, and ready.
    assert_eq!(handle.view.borrow().members.len(), 2);
    assert_eq!(handle.view.borrow().generation, 1);
    assert!(handle.status.borrow().registered && *handle.probing_enabled.borrow());
    // Written in place.
    fs::write(&path, peer("b", 2)).unwrap();
    sees(&handle, &["b"]).await;
    // Replaced by rename, as editors do.
    let new = directory.path().join("peers.toml~");
    fs::write(&new, peer("b", 2) + &peer("d", 4)).unwrap();
    fs::rename(&new, &path).unwrap();
    sees(&handle, &["b", "d"]).await;
    // Broken: the last good list stays, and the error names the line.
    fs::write(&path, peer("e", 5) + "[[peer]]\nnode = \"x\"\n").unwrap();
    let error = complains(&handle).await;
    assert!(error.contains("line 7") && error.contains("address"), "{error}");
    assert_eq!(handle.stats().refused_files, 1);
    sees(&handle, &["b", "d"]).await;
    // Mended.
    fs::write(&path, peer("e", 5)).unwrap();
    sees(&handle, &["e"]).await;
    assert_eq!(handle.stats().refused_files, 1, "one version is refused once");
    until("no error is left", &handle.status, |status| status.last_error.is_none()).await;
    // Removed, and back.
    fs::remove_file(&path).unwrap();
    assert!(complains(&handle).await.contains("can't be read"));
    sees(&handle, &["e"]).await;
    fs::write(&path, peer("f", 6)).unwrap();
    sees(&handle, &["f"]).await;
    // Nobody is a valid list.
    fs::write(&path, "").unwrap();
    sees(&handle, &[]).await;
    handle.close().await;
}

#[tokio::test]
async fn a_config_map_swap_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let version = |name: &str, text: &str| {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("peers.toml"), text).unwrap();
    };
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(Path::new(to), directory.path().join(from)).unwrap();
    version("..1", &peer("b", 2));
    link("..1", "..data");
    link("..data/peers.toml", "peers.toml");
    let handle = file::start(directory.path().join("peers.toml"), own()).unwrap();
    sees(&handle, &["b"]).await;
    version("..2", &peer("c", 3));
    link("..2", "..tmp");
    fs::rename(directory.path().join("..tmp"), directory.path().join("..data")).unwrap();
    fs::remove_dir_all(directory.path().join("..1")).unwrap();
    sees(&handle, &["c"]).await;
    assert_eq!(handle.stats().refused_files, 0);
}

#[tokio::test]
async fn the_same_content_again_is_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers.toml");
    fs::write(&path, peer("b", 2)).unwrap();
    let handle = file::start(&path, own()).unwrap();
    fs::write(&path, peer("b", 2)).unwrap();
    fs::write(
        directory.path().join("next"),
        "# a comment\n".to_owned() + &peer("b", 2),
    )
    .unwrap();
    fs::rename(directory.path().join("next"), &path).unwrap();
    eventually("the second version is read", || handle.stats().loaded_files >= 2).await;
    assert_eq!(handle.view.borrow().generation, 1);
}

#[tokio::test]
async fn a_broken_file_at_the_start_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers.toml");
    let error = file::start(&path, own()).unwrap_err();
    assert!(
        matches!(error, FileError::Read { .. }) && error.to_string().contains("peers.toml"),
        "{error}"
    );
    fs::write(&path, "[[peer]]\nnode = 1\nport = 0\ncolor = \"red\"\n").unwrap();
    let error = file::start(&path, own()).unwrap_err();
    let FileError::Content { faults, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(faults.len(), 4, "{error}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(file::start(&path, own()).is_err());
    assert!(file::start(directory.path(), own()).is_err());
}

#[test]
fn ones_own_entry_is_left_out_by_name_and_by_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers.toml");
    fs::write(&path, peer("a", 9) + &peer("other", 1) + &peer("b", 2)).unwrap();
    let view = file::read(&path, &own()).unwrap();
    assert_eq!(
        view.members.iter().map(|member| member.key()).collect::<Vec<_>>(),
        ["b"]
    );
}

#[tokio::test]
async fn ten_thousand_peers_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers.toml");
    let text: String = (0..10_000)
        .map(|n| {
            format!(
                "[[peer]]\nnode=\"n{n:05}\"\naddress=\"127.1.{}.{}\"\n",
                n / 256,
                n % 256
            )
        })
        .collect();
    fs::write(&path, text).unwrap();
    let handle = file::start(&path, own()).unwrap();
    assert_eq!(handle.view.borrow().members.len(), 10_000);
}

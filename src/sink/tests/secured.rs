//! A broker that lets in who knows the password (SCRAM-SHA-512), by TLS alone: whoever may, writes and reads; for whoever may
//! not, records wait, and what is said is something that an operator can act on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{assert_complete, config, pair, publisher, read_until_sent, stats, summary, until};
use distributed_trace_tests::secured::{PASSWORD, Secured};
use dt_sink::kafka::reader::{Reader, ReaderConfig, Start};
use dt_sink::{KafkaConfig, Trouble};

/// A client with these options, each under topics of its own.
fn client(secured: &Secured, test: &str, options: Vec<(String, String)>) -> KafkaConfig {
    KafkaConfig {
        options: options.into_iter().collect(),
        ..config(&secured.kafka, test)
    }
}

fn reader(secured: &Secured, config: &KafkaConfig) -> Reader {
    Reader::start(ReaderConfig {
        bootstrap: secured.kafka.bootstrap().to_owned(),
        topic: config.summary_topic.clone(),
        start: Start::Beginning,
        client_id: "test".to_owned(),
        options: secured.client(PASSWORD).into_iter().collect(),
    })
    .unwrap()
}

/// Replaces a file as Kubernetes does: by another of the same name.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_writes_and_for_who_may_not_records_wait() {
    let secured = Secured::start().unwrap();
    let pairs: Vec<_> = (0..10).map(|n| pair("a", &format!("n{n}"))).collect();

    let good = client(&secured, "good", secured.client(PASSWORD));
    let publisher = self::publisher(&good, "b00f");
    for window in 0..3 {
        publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    let records = read_until_sent(&mut reader(&secured, &good), 10 * 3 * 3).await;
    assert_complete(&records, &pairs, 0..3);
    until("the acknowledgements", || stats(&publisher).published == 30).await;
    assert_eq!(stats(&publisher).trouble, None);

    let wrong_password = client(&secured, "password", secured.client("hush-hush"));
    let mut wrong_authority = client(&secured, "authority", secured.client(PASSWORD));
    let other = secured.another_authority();
    wrong_authority
        .options
        .insert("ssl.ca.location".to_owned(), other.to_string_lossy().into_owned());
    let wrong_name = KafkaConfig {
        bootstrap: secured.by_another_name(),
        ..client(&secured, "name", secured.client(PASSWORD))
    };
    let mut cleartext = client(&secured, "cleartext", secured.client(PASSWORD));
    cleartext
        .options
        .insert("security.protocol".to_owned(), "sasl_plaintext".to_owned());
    for (config, trouble, words) in [
        (wrong_password, Some(Trouble::Credentials), "invalid credentials"),
        (wrong_authority, Some(Trouble::Tls), "certificate verify failed"),
        (wrong_name, Some(Trouble::Tls), "certificate verify failed"),
        // The broker hangs up on whoever speaks no TLS.
        (cleartext, Some(Trouble::Unreachable), ""),
    ] {
        let publisher = self::publisher(&config, "b00f");
        publisher.window(pairs.iter().map(|pair| summary(pair, 0)).collect());
        until(&format!("{trouble:?} of {}", config.summary_topic), || {
            let stats = stats(&publisher);
            stats.trouble == trouble && stats.last_error.is_some_and(|error| error.contains(words))
        })
        .await;
        let waiting = stats(&publisher);
        let held = (
            waiting.backlog_records,
            waiting.published,
            waiting.dropped,
            waiting.connected,
        );
        assert_eq!(held, (10, 0, 0, false), "{}", config.summary_topic);
        assert!(!waiting.last_error.unwrap().contains("hush"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_in_the_files_is_taken_over_without_a_restart() {
    let secured = Secured::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, authority) = (folder.path().join("options"), folder.path().join("ca.crt"));
    fs::copy(secured.another_authority(), &authority).unwrap();
    let mut given = secured.client("overridden by the file");
    given.retain(|(name, _)| name != "ssl.ca.location");
    given.push(("ssl.ca.location".to_owned(), authority.to_string_lossy().into_owned()));
    fs::write(&file, "# the secret\nsasl.password = former\n").unwrap();
    let config = KafkaConfig {
        options_file: Some(file.clone()),
        ..client(&secured, "followed", given)
    };
    let publisher = self::publisher(&config, "b00f");
    let pairs: Vec<_> = (0..10).map(|n| pair("a", &format!("n{n}"))).collect();
    let publish = |window| publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    publish(0);
    let trouble = |wanted| stats(&publisher).trouble == Some(wanted);
    until("the wrong authority", || trouble(Trouble::Tls)).await;
    replace(&authority, &fs::read_to_string(secured.authority()).unwrap());
    until("the wrong password", || trouble(Trouble::Credentials)).await;
    // What is no file of options leaves the last good ones in force.
    replace(&file, "sasl.password\n");
    until("the refused file", || stats(&publisher).options_refused == 1).await;
    publish(1);
    replace(&file, &format!("sasl.password = {PASSWORD}\n"));
    until("what waited", || stats(&publisher).published == 20).await;
    // While records go.
    replace(&file, &format!("linger.ms = 7\nsasl.password = {PASSWORD}\n"));
    let mut window = 2;
    until("a client that took over from one at work", || {
        publish(window);
        window += 1;
        stats(&publisher).options_renewed == 3
    })
    .await;
    let records = read_until_sent(&mut reader(&secured, &config), 10 * window * 3).await;
    assert_complete(&records, &pairs, 0..window);
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert_eq!(
        (stats.published, stats.dropped, stats.options_refused),
        (10 * window, 0, 1)
    );
}

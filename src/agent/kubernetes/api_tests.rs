//! Against a server with a certificate of its own, on loopback.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What a pod has, and a server that answers each request with the same bytes and keeps what it was asked.
struct Stand {
    api: Api,
    credentials: tempfile::TempDir,
    asked: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Stand {
    async fn new(answer: impl Into<Vec<u8>>) -> Stand {
        let answer = answer.into();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, asked) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                let _ = tell.send(String::from_utf8(request).unwrap());
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("token"), "secret\n").unwrap();
        std::fs::write(credentials.path().join("ca.crt"), authority.pem()).unwrap();
        Stand {
            api: Api {
                at: HostPort::new("127.0.0.1", port),
                credentials: credentials.path().into(),
            },
            credentials,
            asked,
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn one_get_of_its_own_node() {
    let body = r#"{"kind":"PartialObjectMetadata","metadata":{"name":"n-1","labels":{"a/b":"c","d":""}},"more":[1]}"#;
    let mut stand = Stand::new(http("200 OK", body)).await;
    let labels = stand.api.labels_of("n-1.example").await.unwrap();
    assert_eq!(labels["a/b"], "c");
    assert_eq!(labels.len(), 2);
    let asked = stand.asked.recv().await.unwrap();
    assert!(
        asked.starts_with("GET /api/v1/nodes/n-1.example HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("authorization: Bearer secret\r\n"), "{asked}");
    assert!(asked.contains("as=PartialObjectMetadata"), "{asked}");
}

#[tokio::test]
async fn a_node_without_labels_has_none() {
    let stand = Stand::new(http("200 OK", r#"{"metadata":{}}"#)).await;
    assert!(stand.api.labels_of("n").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_refused_says_why_and_what_to_do() {
    let body = r#"{"kind":"Status","message":"nodes \"n\" is forbidden","code":403}"#;
    let stand = Stand::new(http("403 Forbidden", body)).await;
    let problem = stand.api.labels_of("n").await.unwrap_err().to_string();
    assert!(problem.contains("403 Forbidden: nodes \"n\" is forbidden"), "{problem}");
    assert!(problem.contains("accepted: a role"), "{problem}");
    let stand = Stand::new(http("503 Service Unavailable", "<html>")).await;
    let problem = stand.api.labels_of("n").await.unwrap_err().to_string();
    assert!(problem.contains("503 Service Unavailable: nothing"), "{problem}");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let stand = Stand::new(http("200 OK", r#"{"metadata":{}}"#)).await;
    let mut other = Stand::new(http("200 OK", r#"{"metadata":{}}"#)).await;
    let api = Api {
        at: other.api.at.clone(),
        credentials: stand.credentials.path().into(),
    };
    let problem = api.labels_of("n").await.unwrap_err();
    assert!(problem.to_string().contains("certificate"), "{problem}");
    assert!(other.asked.try_recv().is_err(), "the token was not shown");
}

#[tokio::test]
async fn garbage_is_a_problem_and_no_more() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
        "x".repeat(LONGEST_ANSWER + 1)
    );
    let answers = [
        http("200 OK", "[]"),
        http("200 OK", r#"{"metadata":{"labels":{"a":1}}}"#),
        http("200 OK", ""),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_owned(),
        "SSH-2.0-x\r\n".to_owned(),
        String::new(),
        endless,
    ];
    for answer in answers {
        let stand = Stand::new(answer.clone()).await;
        let problem = stand.api.labels_of("n").await.unwrap_err();
        assert!(matches!(problem, Problem::Talk { .. }), "{problem}");
    }
}

#[tokio::test]
async fn what_a_pod_lacks_is_named() {
    let stand = Stand::new(http("200 OK", "")).await;
    for node in ["../../secrets", "a/b", "A", "a b", ".", "n?x"] {
        let problem = stand.api.labels_of(node).await.unwrap_err();
        assert!(matches!(&problem, Problem::NoNode(name) if name == node), "{problem}");
    }
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(stand.credentials.path().join("ca.crt"), text).unwrap();
        let problem = stand.api.labels_of("n").await.unwrap_err().to_string();
        assert!(problem.contains("ca.crt: "), "{problem}");
    }
    std::fs::remove_file(stand.credentials.path().join("token")).unwrap();
    let problem = stand.api.labels_of("n").await.unwrap_err().to_string();
    assert!(
        problem.contains("token: ") && problem.contains("automountServiceAccountToken"),
        "{problem}"
    );
}

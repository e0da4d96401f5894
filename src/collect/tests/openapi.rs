//! The running server held against the description of its interface: each path, each status, each field.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::collections::BTreeSet;

use dt_collect::http::Site;
use serde_json::{Value, json};
use support::hour::{findings, hour};
use support::mesh::mesh;
use support::server::Server;

/// The description, with every object closed: a field that it doesn't name is a mistake here, while readers are told to expect
/// more fields.
fn description() -> Value {
    let text = include_str!("../http/openapi.json");
    let mut document: Value = serde_json::from_str(text).unwrap();
    close(&mut document["components"]);
    document
}

fn close(value: &mut Value) {
    if value["type"] == "object" && value.get("properties").is_some() {
        value["additionalProperties"] = json!(false);
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(close),
        Value::Array(entries) => entries.iter_mut().for_each(close),
        _ => {}
    }
}

/// What the description says of an answer, by reference where it does.
fn described<'a>(document: &'a Value, path: &str, status: &str) -> &'a Value {
    let response = &document["paths"][path]["get"]["responses"][status];
    assert!(response.is_object(), "{path} answers {status}, which isn't described");
    match response["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    }
}

fn check(document: &Value, path: &str, status: &str, body: &Value) {
    let schema = &described(document, path, status)["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{path} {status} has no schema");
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(body)
        .take(5)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{path} {status}: {wrong:#?}");
}

#[test]
fn every_answer_is_as_described() {
    let document = description();
    let open = Server::of(Site::new(hour()).findings(findings()));
    // Waiting, stale and dead pairs, no ICMP, no findings.
    let odd = Server::start(mesh());
    let shut = Server::of(Site::new(mesh()).token(Some("s3cret".parse().unwrap())));
    let mut seen = BTreeSet::new();
    let mut hold = |server: &Server, path: &str, query: &str, status: &str| {
        let (head, body) = server.get(&format!("{path}{query}"));
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}{query}: {head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        check(&document, path, status, &serde_json::from_str(&body).unwrap());
        seen.insert((path.to_owned(), status.to_owned()));
    };
    for server in [&open, &odd] {
        hold(server, "/api/v1/status", "", "200");
        hold(server, "/api/v1/openapi.json", "", "200");
        for view in ["", "?view=1m", "?view=10m", "?view=1h"] {
            hold(server, "/api/v1/zones", view, "200");
        }
        for view in ["", "?view=recent", "?view=1m", "?view=10m", "?view=1h"] {
            hold(server, "/api/v1/pairs", view, "200");
            for level in ["node", "rack", "zone", "region"] {
                let query = format!("{}&level={level}", if view.is_empty() { "?view=1m" } else { view });
                for probe in ["icmp", "tcp", "grpc"] {
                    hold(server, "/api/v1/matrix", &format!("{query}&probe={probe}"), "200");
                }
            }
        }
    }
    for view in ["", "&view=recent", "&view=1h"] {
        hold(
            &open,
            "/api/v1/pair",
            &format!("?source=node-01&destination=node-09{view}"),
            "200",
        );
        for other in ["node-2", "node-5"] {
            hold(
                &odd,
                "/api/v1/pair",
                &format!("?source=node-1&destination={other}{view}"),
                "200",
            );
        }
    }
    hold(&open, "/api/v1/findings", "", "200");
    hold(&odd, "/api/v1/findings", "", "404");
    hold(&odd, "/api/v1/pair", "?source=node-1&destination=node-1", "404");
    hold(&odd, "/api/v1/pair", "?source=node-1", "400");
    hold(&odd, "/api/v1/matrix", "?probe=udp", "400");
    hold(&odd, "/api/v1/zones", "?view=recent", "400");
    for path in [
        "/api/v1/status",
        "/api/v1/pairs",
        "/api/v1/findings",
        "/api/v1/openapi.json",
    ] {
        hold(&odd, path, "?nonsense=1", "400");
    }
    let paths = document["paths"].as_object().unwrap();
    for path in paths.keys() {
        hold(&shut, path, "", "401");
    }

    // Nothing is described that was not seen, but the stream of events and its being full.
    for (path, operations) in paths {
        for status in operations["get"]["responses"].as_object().unwrap().keys() {
            let is_stream = path == "/api/v1/events" && status != "401";
            assert!(
                is_stream || seen.contains(&(path.clone(), status.clone())),
                "{path} {status} is described and never came"
            );
        }
    }
}

#[test]
fn parameters_are_as_described() {
    let document = description();
    let server = Server::start(mesh());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            let reference = parameter["$ref"].as_str().unwrap().trim_start_matches('#');
            let parameter = document.pointer(reference).unwrap();
            let name = parameter["name"].as_str().unwrap();
            // An empty value, so that it is read, and the answer tells what is accepted, or is known by its name.
            let (_, body) = server.get(&format!("{path}?{name}=%3F"));
            assert!(!body.contains("unknown parameter"), "{path} {name}: {body}");
            for accepted in parameter["schema"]["enum"].as_array().into_iter().flatten() {
                assert!(body.contains(accepted.as_str().unwrap()), "{path} {name}: {body}");
            }
        }
    }
}

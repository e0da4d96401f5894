//! One handler for each path: parameters in, a body out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use dt_probe::ProbeKind;
use serde::ser::{SerializeSeq, Serializer};

use super::Shared;
use super::body::{Body, Packer, json};
use super::error::ApiError;
use super::files::OPENAPI;
use super::matrix::MatrixBody;
use super::pair::PairBody;
use super::parameters::Parameters;
use super::status::StatusBody;
use super::whole;
use crate::clock::now_ms;
use crate::grouped::{Level, Part};
use crate::rollup::Whole;
use crate::row::PairRow;
use crate::view::View;

type Site = State<Arc<Shared>>;

/// A matrix with more cells isn't made. A thousand nodes that all probe one another are some 40 MB of JSON, 10 where it is compressed.
const MOST_CELLS: usize = 1_000_000;

pub(super) async fn pairs(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    let view: View = Parameters::read(&uri, &["view"])?.get("view")?;
    let matrix = Arc::clone(&shared.matrix);
    let write = move |packer: &mut Packer| {
        let mut json = serde_json::Serializer::new(packer);
        let mut array = json.serialize_seq(None)?;
        let mut write = |rows: Vec<PairRow>| rows.iter().try_for_each(|row| array.serialize_element(row));
        matrix.each_source(view, now_ms(), &mut write)?;
        array.end()
    };
    shared.bodies.get_packed(format!("pairs {view}"), &headers, write).await
}

pub(super) async fn matrix(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    let given = Parameters::read(&uri, &["level", "view", "probe", "from", "to"])?;
    let (level, view): (Level, View) = (given.get("level")?, given.get("view")?);
    let probe: ProbeKind = given.need("probe")?;
    let part = Part {
        from: given.may("from")?,
        to: given.may("to")?,
    };
    let what = format!("matrix {level} {view} {} {part:?}", probe.as_str());
    let (matrix, rollup) = (Arc::clone(&shared.matrix), shared.rollup.clone());
    let make = move || {
        let now_ms = now_ms();
        let rollup = rollup.filter(|_| level == Level::Zone);
        let whole = rollup.and_then(|table| whole::zones(&table, &matrix, view, probe, &part, now_ms));
        let grouped = whole.or_else(|| matrix.grouped_part(level, view, probe, &part, MOST_CELLS, now_ms));
        let grouped = grouped.ok_or_else(|| {
            ApiError::parameter(format!(
                "these are more than {MOST_CELLS} cells: choose a part by \"from\" and \"to\", or a coarser \"level\""
            ))
        })?;
        json(&MatrixBody::from(grouped))
    };
    shared.bodies.get(what, &headers, make).await
}

pub(super) async fn zones(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    let view: View = Parameters::read(&uri, &["view"])?.get("view")?;
    if view == View::Recent {
        return Err(ApiError::parameter(
            "parameter \"view\": zones are shared over 1m, 10m, 1h",
        ));
    }
    let (matrix, rollup) = (Arc::clone(&shared.matrix), shared.rollup.clone());
    let make = move || {
        let whole = match rollup {
            Some(table) => table.whole(view, now_ms()),
            None => Whole::of(&matrix, view, now_ms()),
        };
        json(&whole)
    };
    shared.bodies.get(format!("zones {view}"), &headers, make).await
}

pub(super) async fn pair(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    let given = Parameters::read(&uri, &["source", "destination", "view"])?;
    let view: View = given.get("view")?;
    let (source, destination): (String, String) = (given.need("source")?, given.need("destination")?);
    let body = PairBody::new(&shared.matrix, &source, &destination, view, now_ms());
    let unknown = || {
        let error = format!("nothing is known between {source:?} and {destination:?}");
        ApiError::new(StatusCode::NOT_FOUND, error)
    };
    Body::of(&body.ok_or_else(unknown)?, &headers)
}

pub(super) async fn findings(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    Parameters::read(&uri, &[])?;
    let none = || ApiError::new(StatusCode::NOT_FOUND, "this server doesn't look for faults");
    let found = shared.findings.as_ref().ok_or_else(none)?.borrow().clone();
    Body::of(&*found, &headers)
}

pub(super) async fn status(State(shared): Site, headers: HeaderMap, uri: Uri) -> Result<Body, ApiError> {
    Parameters::read(&uri, &[])?;
    let matrix = Arc::clone(&shared.matrix);
    let (diagnosis, rollup) = (shared.findings.is_some(), shared.rollup.clone());
    let make = move || {
        let now_ms = now_ms();
        let share = rollup.and_then(|table| whole::note(&table, &matrix, now_ms));
        json(&StatusBody::new(&matrix, share, diagnosis, now_ms))
    };
    shared.bodies.get("status".to_owned(), &headers, make).await
}

pub(super) async fn openapi(headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    Parameters::read(&uri, &[])?;
    Ok(OPENAPI.respond(&headers))
}

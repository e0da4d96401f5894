//! The parameters of a request. Unknown ones are refused: who writes `veiw=1h` should hear of it.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;

use super::error::ApiError;

#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads those of `uri`, each of which must be among `accepted` and given once.
    pub(crate) fn read(uri: &Uri, accepted: &[&str]) -> Result<Self, ApiError> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::parameter(format!("the query can't be read: {error}")))?;
        for (at, (name, _)) in given.iter().enumerate() {
            if !accepted.contains(&name.as_str()) {
                let list = if accepted.is_empty() {
                    "none".to_owned()
                } else {
                    accepted.join(", ")
                };
                return Err(ApiError::parameter(format!(
                    "unknown parameter {name:?}; accepted: {list}"
                )));
            }
            if given.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(ApiError::parameter(format!("parameter {name:?} is given twice")));
            }
        }
        Ok(Self(given))
    }

    /// The value of `name`; `T`'s default where it isn't given.
    pub(crate) fn get<T: FromStr<Err: Display> + Default>(&self, name: &str) -> Result<T, ApiError> {
        match self.text(name) {
            Some(text) => parsed(name, text),
            None => Ok(T::default()),
        }
    }

    /// The value of `name`, which needn't be given.
    pub(crate) fn may<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| parsed(name, text)).transpose()
    }

    /// The value of `name`, which must be given.
    pub(crate) fn need<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ApiError> {
        match self.text(name) {
            Some(text) => parsed(name, text),
            None => Err(ApiError::parameter(format!("parameter {name:?} is missing"))),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error| ApiError::parameter(format!("parameter {name:?}: {error}")))
}

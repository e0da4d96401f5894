//! One error for all of the laboratory: a sentence that says what was tried and what came of it.

use std::fmt;

/// What went wrong in a test's surroundings or in what it checks. Shown whole when a test returns it.
pub struct LabError(String);

/// What a test and every part of the laboratory return.
pub type Result<T = ()> = std::result::Result<T, LabError>;

impl LabError {
    /// An error that says `what`.
    pub fn new(what: impl Into<String>) -> LabError {
        LabError(what.into())
    }

    /// The same error, with the operation that failed named before it.
    #[must_use]
    pub fn during(self, operation: impl fmt::Display) -> LabError {
        LabError(format!("{operation}: {}", self.0))
    }
}

// Not `std::error::Error` itself, so that every such error converts by `?`; the test harness prints `Debug`, hence no
// quotes and no escapes there.
impl<E: std::error::Error> From<E> for LabError {
    fn from(error: E) -> LabError {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        LabError(text)
    }
}

impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the operation that failed.
pub trait Context<T> {
    /// `operation` is put before the error's text.
    ///
    /// # Errors
    /// The error as it was, with the operation named.
    fn during(self, operation: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<LabError>> Context<T> for std::result::Result<T, E> {
    fn during(self, operation: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().during(operation))
    }
}

/// Fails the test by returning a [`LabError`] with the formatted text.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => {
        return Err($crate::error::LabError::new(format!($($text)*)))
    };
}

//! For fuzzing, behind the feature of the same name: what a message of ours consists of.

use dt_record::SummaryRecord;

use crate::config::Encoding;
use crate::kafka::headers_of;

/// The headers that a record travels with, in order.
#[must_use]
pub fn headers(record: &SummaryRecord) -> Vec<(String, Vec<u8>)> {
    headers_of(record, Encoding::Json)
}

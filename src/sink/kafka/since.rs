//! Where to begin in partitions so that what was written since some time ago is read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

/// The first offset of each of `partitions` whose message was written so long `ago` or later; the end where there is none.
/// Waits up to `patience` for each answer.
pub(super) fn offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    ago: Duration,
    patience: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let since = SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH);
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let mut times = TopicPartitionList::new();
    for element in partitions.elements() {
        times.add_partition_offset(element.topic(), element.partition(), Offset::Offset(since))?;
    }
    let found = consumer.offsets_for_times(times, patience)?;
    let mut offsets = TopicPartitionList::new();
    for element in found.elements() {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Offset::Offset(offset),
            // Nothing so young. The end is taken as a number now: its name would be resolved at some later moment, and
            // skip what is written until then.
            _ => {
                let (_, end) = consumer.fetch_watermarks(element.topic(), element.partition(), patience)?;
                Offset::Offset(end)
            }
        };
        offsets.add_partition_offset(element.topic(), element.partition(), offset)?;
    }
    Ok(offsets)
}

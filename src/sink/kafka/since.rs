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
    look_up(partitions, since, |times| consumer.offsets_for_times(times, patience))
}

/// `ask` answers one request for offsets by time, as [`Consumer::offsets_for_times`] does.
fn look_up(
    partitions: &TopicPartitionList,
    since_ms: i64,
    mut ask: impl FnMut(TopicPartitionList) -> Result<TopicPartitionList, KafkaError>,
) -> Result<TopicPartitionList, KafkaError> {
    // The ends come first, and as numbers: of an end that is looked up after nothing young was found, or resolved from its name
    // at some later moment, what was written in between lies before it and is never read.
    let ends = ask(all_at(partitions, Offset::End)?)?;
    let found = ask(all_at(partitions, Offset::Offset(since_ms))?)?;
    let mut offsets = TopicPartitionList::new();
    for element in found.elements() {
        element.error()?;
        let (topic, partition) = (element.topic(), element.partition());
        let offset = match element.offset() {
            Offset::Offset(offset) => Offset::Offset(offset),
            // Nothing so young.
            _ => {
                let end = ends.find_partition(topic, partition);
                match end.map(|end| end.error().map(|()| end.offset())).transpose()? {
                    Some(Offset::Offset(end)) => Offset::Offset(end),
                    _ => Offset::Beginning,
                }
            }
        };
        offsets.add_partition_offset(topic, partition, offset)?;
    }
    Ok(offsets)
}

/// `partitions`, each with `time`: milliseconds since 1970, or the name of an end.
fn all_at(partitions: &TopicPartitionList, time: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut times = TopicPartitionList::new();
    for element in partitions.elements() {
        times.add_partition_offset(element.topic(), element.partition(), time)?;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A topic into whose partitions a message is written after each request. Each message of `old` is too old.
    fn while_written_to(old: &[i64]) -> Vec<(i32, Offset)> {
        let mut partitions = TopicPartitionList::new();
        for number in 0..old.len() {
            partitions.add_partition("t", i32::try_from(number).unwrap());
        }
        let mut written = 0;
        let found = look_up(&partitions, 1_000, |times| {
            let mut answer = TopicPartitionList::new();
            for (element, old) in times.elements().iter().zip(old) {
                let offset = match element.offset() {
                    Offset::End => Offset::Offset(old + written),
                    Offset::Offset(1_000) if written == 0 => Offset::End,
                    Offset::Offset(1_000) => Offset::Offset(*old),
                    other => panic!("{other:?}"),
                };
                answer.add_partition_offset("t", element.partition(), offset)?;
            }
            written += 1;
            Ok(answer)
        });
        let found = found.unwrap();
        found
            .elements()
            .iter()
            .map(|element| (element.partition(), element.offset()))
            .collect()
    }

    #[test]
    fn what_is_written_while_it_is_looked_up_is_read() {
        // The first message that is young enough is the one after the old ones.
        assert_eq!(
            while_written_to(&[0, 7]),
            [(0, Offset::Offset(0)), (1, Offset::Offset(7))]
        );
    }

    #[test]
    fn where_nothing_is_young_enough_the_end_of_before_is_taken() {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition("t", 0);
        let mut end = 5;
        let found = look_up(&partitions, 1_000, |times| {
            let mut answer = TopicPartitionList::new();
            let offset = match times.elements()[0].offset() {
                Offset::End => Offset::Offset(end),
                // A message that is written now is not among those the answer is about.
                _ => Offset::End,
            };
            end += 1;
            answer.add_partition_offset("t", 0, offset)?;
            Ok(answer)
        });
        assert_eq!(found.unwrap().elements()[0].offset(), Offset::Offset(5));
    }

    #[test]
    fn an_end_that_is_not_told_is_the_beginning_and_an_error_is_one() {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition("t", 0);
        let found = look_up(&partitions, 1_000, |times| all_at(&times, Offset::Invalid));
        assert_eq!(found.unwrap().elements()[0].offset(), Offset::Beginning);
        assert!(look_up(&partitions, 1_000, |_| Err(KafkaError::NoMessageReceived)).is_err());
    }
}

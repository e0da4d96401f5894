"""Reads all summary records of a topic and merges them by pair: counts, p50 and p99 in nanoseconds.

    pip install confluent-kafka hdrhistogram
    python3 consumer.py BOOTSTRAP [TOPIC]
"""

import json
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from hdrh.histogram import HdrHistogram

TYPE = b"distributed_trace.v1.SummaryRecord"


def records(bootstrap, topic):
    """Every summary record that is there now, once; ends at the end."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        # Partitions are assigned by hand, so the group is only a name.
        "group.id": "distributed-trace-example",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    left, seen = set(partitions), set()
    while left:
        message = consumer.poll(30)
        if message is None:
            raise SystemExit(f"nothing comes from {bootstrap}")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            left.discard(message.partition())
            continue
        headers = dict(message.headers() or [])
        # Foreign messages and tombstones are none of ours; a repeat has the same id.
        if headers.get("ce_type") != TYPE or message.value() is None or headers["ce_id"] in seen:
            continue
        seen.add(headers["ce_id"])
        yield json.loads(message.value())
    consumer.close()


def nearest_rank(histogram, percent):
    """As in the records themselves: the smallest value that so many per cent of the samples do not exceed."""
    samples = histogram.get_total_count()
    # The library rounds the rank; this asks for exactly the one that is meant.
    rank = -(-percent * samples // 100)
    return histogram.get_value_at_percentile(100 * rank / samples)


def main():
    bootstrap, topic = (*sys.argv[1:], "distributedTrace.summaries")[:2]
    totals = {}
    for record in records(bootstrap, topic):
        # Empty where nothing was received.
        if record["hdr"]:
            pair = (record["src_node"], record["dst_node"], record["probe"])
            total = totals.setdefault(pair, HdrHistogram(1, 60_000_000_000, 2))
            total.add(HdrHistogram.decode(record["hdr"]))
    for (src, dst, probe), total in sorted(totals.items()):
        p50, p99 = nearest_rank(total, 50), nearest_rank(total, 99)
        print(f"{src} -> {dst} {probe} n={total.get_total_count()} p50={p50} p99={p99}")


if __name__ == "__main__":
    main()

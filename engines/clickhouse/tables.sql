-- Tables and views for the summary records of distributed-trace. Run this file first, then kafka.sql.
--
--     arrived (keeps nothing) ─┬─► records    each record once, 7 days
--                              └─► rejected   what is no summary record, 7 days
--     records ─┬─► pair_minutes   each pair of nodes, kind of probe and minute, 14 days
--              └─► zone_minutes   each pair of zones, kind of probe and minute, 400 days
--
-- Delivery is at least once, by the agents and by the Kafka engine alike. A view that adds up what is inserted would count
-- a repeat twice; here repeats fall together in `records`, and the views by minute are made anew from it, for each minute
-- of which something came since. So repeats, late records and a stop at any moment leave the same numbers.

CREATE DATABASE IF NOT EXISTS distributed_trace;

-- What a Kafka message says, and whence it came. `hdr` is left out: the buckets say the same.
CREATE TABLE IF NOT EXISTS distributed_trace.arrived
(
    schema_version UInt32,
    cluster String,
    agent_version String,
    boot_id String,
    seq UInt64,
    window_start_ms UInt64,
    window_end_ms UInt64,
    src_node String,
    src_ip String,
    src_zone String,
    src_rack String,
    src_region String,
    dst_node String,
    dst_ip String,
    dst_port UInt16,
    dst_zone String,
    dst_rack String,
    dst_region String,
    probe String,
    method String,
    payload_bytes Nullable(UInt32),
    sent UInt64,
    received UInt64,
    lost UInt64,
    refused UInt64,
    unreachable UInt64,
    send_error UInt64,
    late UInt64,
    duplicate UInt64,
    skipped UInt64,
    receive_drops UInt64,
    rtt_min_ns Nullable(UInt64),
    rtt_mean_ns Nullable(UInt64),
    rtt_p50_ns Nullable(UInt64),
    rtt_p90_ns Nullable(UInt64),
    rtt_p99_ns Nullable(UInt64),
    rtt_p999_ns Nullable(UInt64),
    rtt_max_ns Nullable(UInt64),
    host_delay_p50_ns Nullable(UInt64),
    host_delay_p99_ns Nullable(UInt64),
    host_delay_max_ns Nullable(UInt64),
    timestamp_tx String,
    timestamp_rx String,
    timestamp_fallbacks UInt64,
    flows UInt32,
    worst_flow_port Nullable(UInt16),
    worst_flow_lost Nullable(UInt64),
    bucket_ns Array(UInt64),
    bucket_count Array(UInt64),
    -- Why it is no summary record that can be added up; '' where it is one.
    refusal String,
    kafka_topic String,
    kafka_partition UInt64,
    kafka_offset UInt64,
    kafka_type String,
    kafka_message String,
    kafka_error String
)
ENGINE = Null;

-- Each record once: its key ends in (boot_id, seq), and a repeat is the same in all that stands before them.
CREATE TABLE IF NOT EXISTS distributed_trace.records
(
    -- The minute that the window's last millisecond lies in.
    minute DateTime('UTC') CODEC(Delta, ZSTD),
    inserted_at DateTime('UTC') CODEC(Delta, ZSTD),
    cluster LowCardinality(String),
    agent_version LowCardinality(String),
    boot_id LowCardinality(String),
    seq UInt64 CODEC(Delta, ZSTD),
    window_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    window_end DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    src_node LowCardinality(String),
    src_ip LowCardinality(String),
    src_zone LowCardinality(String),
    src_rack LowCardinality(String),
    src_region LowCardinality(String),
    dst_node LowCardinality(String),
    dst_ip LowCardinality(String),
    dst_port UInt16,
    dst_zone LowCardinality(String),
    dst_rack LowCardinality(String),
    dst_region LowCardinality(String),
    probe LowCardinality(String),
    method LowCardinality(String),
    payload_bytes Nullable(UInt32),
    sent UInt64 CODEC(T64, ZSTD),
    received UInt64 CODEC(T64, ZSTD),
    lost UInt64 CODEC(T64, ZSTD),
    refused UInt64 CODEC(T64, ZSTD),
    unreachable UInt64 CODEC(T64, ZSTD),
    send_error UInt64 CODEC(T64, ZSTD),
    late UInt64 CODEC(T64, ZSTD),
    duplicate UInt64 CODEC(T64, ZSTD),
    skipped UInt64 CODEC(T64, ZSTD),
    receive_drops UInt64 CODEC(T64, ZSTD),
    rtt_min_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_mean_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_p50_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_p90_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_p99_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_p999_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    host_delay_p50_ns Nullable(UInt64) CODEC(T64, ZSTD),
    host_delay_p99_ns Nullable(UInt64) CODEC(T64, ZSTD),
    host_delay_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    timestamp_tx LowCardinality(String),
    timestamp_rx LowCardinality(String),
    timestamp_fallbacks UInt64 CODEC(T64, ZSTD),
    flows UInt32,
    worst_flow_port Nullable(UInt16),
    worst_flow_lost Nullable(UInt64),
    bucket_ns Array(UInt64) CODEC(T64, ZSTD),
    bucket_count Array(UInt64) CODEC(T64, ZSTD),
    -- What came since some moment is found without reading days.
    INDEX by_arrival inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(minute)
ORDER BY (minute, cluster, src_node, dst_node, probe, boot_id, seq)
TTL minute + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS distributed_trace.rejected
(
    inserted_at DateTime('UTC'),
    refusal LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt64,
    kafka_offset UInt64,
    kafka_type String,
    kafka_message String,
    kafka_error String
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(inserted_at)
ORDER BY (kafka_topic, kafka_partition, kafka_offset)
TTL inserted_at + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS distributed_trace.arrived_to_rejected TO distributed_trace.rejected AS
SELECT now() AS inserted_at, refusal, kafka_topic, kafka_partition, kafka_offset, kafka_type, kafka_message, kafka_error
FROM distributed_trace.arrived
WHERE refusal != '';

CREATE MATERIALIZED VIEW IF NOT EXISTS distributed_trace.arrived_to_records TO distributed_trace.records AS
SELECT
    toStartOfMinute(fromUnixTimestamp64Milli(toInt64(window_end_ms) - 1, 'UTC')) AS minute,
    now() AS inserted_at,
    fromUnixTimestamp64Milli(toInt64(window_start_ms), 'UTC') AS window_start,
    fromUnixTimestamp64Milli(toInt64(window_end_ms), 'UTC') AS window_end,
    * EXCEPT (schema_version, window_start_ms, window_end_ms, refusal, kafka_topic, kafka_partition, kafka_offset, kafka_type,
        kafka_message, kafka_error)
FROM distributed_trace.arrived
WHERE refusal = '';

-- The distribution of each row is a map from the highest value of a bucket, nanoseconds, to its count. Maps add exactly, by
-- sumMap, over minutes, nodes and zones alike; percentiles are asked of the sum, see nearestRank below.
CREATE TABLE IF NOT EXISTS distributed_trace.pair_minutes
(
    minute DateTime('UTC') CODEC(Delta, ZSTD),
    refreshed_at DateTime('UTC') CODEC(Delta, ZSTD),
    cluster LowCardinality(String),
    src_node LowCardinality(String),
    dst_node LowCardinality(String),
    probe LowCardinality(String),
    src_zone LowCardinality(String),
    src_rack LowCardinality(String),
    src_region LowCardinality(String),
    dst_zone LowCardinality(String),
    dst_rack LowCardinality(String),
    dst_region LowCardinality(String),
    records UInt64 CODEC(T64, ZSTD),
    sent UInt64 CODEC(T64, ZSTD),
    received UInt64 CODEC(T64, ZSTD),
    lost UInt64 CODEC(T64, ZSTD),
    refused UInt64 CODEC(T64, ZSTD),
    unreachable UInt64 CODEC(T64, ZSTD),
    send_error UInt64 CODEC(T64, ZSTD),
    late UInt64 CODEC(T64, ZSTD),
    duplicate UInt64 CODEC(T64, ZSTD),
    skipped UInt64 CODEC(T64, ZSTD),
    rtt_min_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    host_delay_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    buckets Map(UInt64, UInt64) CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(refreshed_at)
PARTITION BY toDate(minute)
ORDER BY (minute, cluster, src_node, dst_node, probe)
TTL minute + INTERVAL 14 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS distributed_trace.zone_minutes
(
    minute DateTime('UTC') CODEC(Delta, ZSTD),
    refreshed_at DateTime('UTC') CODEC(Delta, ZSTD),
    cluster LowCardinality(String),
    src_zone LowCardinality(String),
    dst_zone LowCardinality(String),
    probe LowCardinality(String),
    pairs UInt64 CODEC(T64, ZSTD),
    records UInt64 CODEC(T64, ZSTD),
    sent UInt64 CODEC(T64, ZSTD),
    received UInt64 CODEC(T64, ZSTD),
    lost UInt64 CODEC(T64, ZSTD),
    refused UInt64 CODEC(T64, ZSTD),
    unreachable UInt64 CODEC(T64, ZSTD),
    send_error UInt64 CODEC(T64, ZSTD),
    late UInt64 CODEC(T64, ZSTD),
    duplicate UInt64 CODEC(T64, ZSTD),
    skipped UInt64 CODEC(T64, ZSTD),
    rtt_min_ns Nullable(UInt64) CODEC(T64, ZSTD),
    rtt_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    host_delay_max_ns Nullable(UInt64) CODEC(T64, ZSTD),
    buckets Map(UInt64, UInt64) CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(refreshed_at)
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, cluster, src_zone, dst_zone, probe)
TTL minute + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

-- Every minute: the minutes of which records came since the last time, counted anew from all their records, and put over
-- what was there of them. "Since" reaches back one minute further, for rows that had their `inserted_at` but could not be
-- seen yet, and at most to what `records` still holds whole.
CREATE MATERIALIZED VIEW IF NOT EXISTS distributed_trace.refresh_pair_minutes
REFRESH EVERY 1 MINUTE APPEND TO distributed_trace.pair_minutes AS
SELECT
    minute, now() AS refreshed_at, cluster, src_node, dst_node, probe,
    argMax(src_zone, window_end) AS src_zone,
    argMax(src_rack, window_end) AS src_rack,
    argMax(src_region, window_end) AS src_region,
    argMax(dst_zone, window_end) AS dst_zone,
    argMax(dst_rack, window_end) AS dst_rack,
    argMax(dst_region, window_end) AS dst_region,
    count() AS records,
    sum(sent) AS sent, sum(received) AS received, sum(lost) AS lost, sum(refused) AS refused,
    sum(unreachable) AS unreachable, sum(send_error) AS send_error,
    sum(late) AS late, sum(duplicate) AS duplicate, sum(skipped) AS skipped,
    min(rtt_min_ns) AS rtt_min_ns, max(rtt_max_ns) AS rtt_max_ns, max(host_delay_max_ns) AS host_delay_max_ns,
    sumMap(mapFromArrays(bucket_ns, bucket_count)) AS buckets
FROM distributed_trace.records FINAL
WHERE minute IN (
    SELECT minute FROM distributed_trace.records
    WHERE minute >= now() - INTERVAL 6 DAY AND inserted_at >= (
        SELECT greatest(max(refreshed_at), toDateTime(60)) - INTERVAL 1 MINUTE FROM distributed_trace.pair_minutes WHERE minute >= now() - INTERVAL 1 HOUR))
GROUP BY minute, cluster, src_node, dst_node, probe
SETTINGS optimize_aggregation_in_order = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS distributed_trace.refresh_zone_minutes
REFRESH EVERY 1 MINUTE APPEND TO distributed_trace.zone_minutes AS
SELECT
    minute, now() AS refreshed_at, cluster, src_zone, dst_zone, probe,
    uniqExact(src_node, dst_node) AS pairs,
    count() AS records,
    sum(sent) AS sent, sum(received) AS received, sum(lost) AS lost, sum(refused) AS refused,
    sum(unreachable) AS unreachable, sum(send_error) AS send_error,
    sum(late) AS late, sum(duplicate) AS duplicate, sum(skipped) AS skipped,
    min(rtt_min_ns) AS rtt_min_ns, max(rtt_max_ns) AS rtt_max_ns, max(host_delay_max_ns) AS host_delay_max_ns,
    sumMap(mapFromArrays(bucket_ns, bucket_count)) AS buckets
FROM distributed_trace.records FINAL
WHERE minute IN (
    SELECT minute FROM distributed_trace.records
    WHERE minute >= now() - INTERVAL 6 DAY AND inserted_at >= (
        SELECT greatest(max(refreshed_at), toDateTime(60)) - INTERVAL 1 MINUTE FROM distributed_trace.zone_minutes WHERE minute >= now() - INTERVAL 1 HOUR))
GROUP BY minute, cluster, src_zone, dst_zone, probe;

-- The value at quantile q of such a map by nearest rank, ceil(q * n), as the records' own percentiles; NULL of an empty one.
CREATE FUNCTION IF NOT EXISTS nearestRank AS (buckets, q) ->
    if(empty(buckets), NULL, mapKeys(buckets)[arrayFirstIndex(
        below -> below >= ceil(q * arraySum(mapValues(buckets))), arrayCumSum(mapValues(buckets)))]);

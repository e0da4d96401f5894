-- The Kafka topic's way into the tables of tables.sql, which has to be run before. Set the three names to what is yours:
-- the brokers, the topic, and the consumer group. Reading begins as soon as the view stands, at the topic's beginning for a
-- new group. TLS, SASL and further options of librdkafka stand in the server's configuration, under <kafka>.

CREATE TABLE IF NOT EXISTS distributed_trace.topic
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
    bucket_count Array(UInt64)
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'distributedTrace.summaries',
    kafka_group_name = 'distributed_trace_clickhouse',
    kafka_format = 'JSONEachRow',
    -- Up to the number of partitions, over all servers of the group.
    kafka_num_consumers = 1,
    -- What can't be read comes with its error instead of stopping the rest.
    kafka_handle_error_mode = 'stream',
    -- Fields are only ever added, and what doesn't apply is null.
    input_format_skip_unknown_fields = 1,
    input_format_null_as_default = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS distributed_trace.topic_to_arrived TO distributed_trace.arrived AS
SELECT
    *,
    _headers.value[indexOf(_headers.name, 'ce_type')] AS kafka_type,
    multiIf(
        _error != '', 'unreadable',
        kafka_type != 'distributed_trace.v1.SummaryRecord', 'foreign',
        schema_version = 0 OR boot_id = '' OR src_node = '' OR dst_node = '' OR probe = '', 'incomplete',
        window_end_ms <= window_start_ms OR window_end_ms > 4e12, 'impossible window',
        length(bucket_ns) != length(bucket_count), 'buckets of two lengths',
        '') AS refusal,
    _topic AS kafka_topic,
    _partition AS kafka_partition,
    _offset AS kafka_offset,
    _raw_message AS kafka_message,
    _error AS kafka_error
FROM distributed_trace.topic;

-- Delay and loss of each pair of zones, minute by minute: from the topic of the summary records to one of its own.
-- Set the two brokers and the two topics to what is yours.

SET 'table.local-time-zone' = 'UTC';
SET 'execution.checkpointing.interval' = '1 min';
-- A partition in which nothing comes holds the others up no longer than this.
SET 'table.exec.source.idle-timeout' = '1 min';

CREATE TEMPORARY FUNCTION merge_hdr AS 'distributedtrace.MergeHistograms';

-- Fields that aren't named are skipped, and so are messages that can't be read.
CREATE TEMPORARY TABLE summaries (
    `cluster` STRING,
    boot_id STRING,
    seq BIGINT,
    window_end_ms BIGINT,
    src_node STRING,
    src_zone STRING,
    dst_node STRING,
    dst_zone STRING,
    probe STRING,
    sent BIGINT,
    received BIGINT,
    lost BIGINT,
    refused BIGINT,
    unreachable BIGINT,
    send_error BIGINT,
    rtt_min_ns BIGINT,
    rtt_max_ns BIGINT,
    hdr STRING,
    headers MAP<STRING, BYTES> METADATA VIRTUAL,
    -- The last millisecond of the window: what ends with a minute counts in it.
    last_moment AS TO_TIMESTAMP_LTZ(window_end_ms - 1, 3),
    -- A record may come half a minute late. A node whose clock is ahead must not make all others late: time never runs ahead
    -- of this machine's clock.
    WATERMARK FOR last_moment AS LEAST(last_moment, CURRENT_ROW_TIMESTAMP()) - INTERVAL '30' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = 'distributedTrace.summaries',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'distributed_trace_flink',
    'scan.startup.mode' = 'group-offsets',
    'properties.auto.offset.reset' = 'earliest',
    'format' = 'json',
    'json.ignore-parse-errors' = 'true'
);

-- One message for each group; the same key again where the job was restarted, hence a topic that may be compacted.
CREATE TEMPORARY TABLE zone_minutes (
    window_start_ms BIGINT,
    window_end_ms BIGINT,
    `cluster` STRING,
    src_zone STRING,
    dst_zone STRING,
    probe STRING,
    records BIGINT,
    sent BIGINT,
    received BIGINT,
    lost BIGINT,
    refused BIGINT,
    unreachable BIGINT,
    send_error BIGINT,
    rtt_min_ns BIGINT,
    rtt_p50_ns BIGINT,
    rtt_p90_ns BIGINT,
    rtt_p99_ns BIGINT,
    rtt_p999_ns BIGINT,
    rtt_max_ns BIGINT,
    hdr STRING,
    unreadable BIGINT,
    PRIMARY KEY (window_start_ms, `cluster`, src_zone, dst_zone, probe) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = 'distributedTrace.zoneMinutes',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'key.format' = 'json',
    'value.format' = 'json'
);

INSERT INTO zone_minutes
WITH once AS (
    -- Delivery is at least once: of repeats, which have the same window, the first counts.
    SELECT * FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, boot_id, seq ORDER BY last_moment) AS repetition
        FROM TABLE(TUMBLE(TABLE summaries, DESCRIPTOR(last_moment), INTERVAL '1' MINUTE))
        WHERE DECODE(headers['ce_type'], 'UTF-8') = 'distributed_trace.v1.SummaryRecord'
            AND boot_id <> '' AND src_node <> '' AND dst_node <> ''
            -- Always so; NULL, and not so, where one of them could not be read.
            AND sent = received + lost + refused + unreachable + send_error
    ) WHERE repetition = 1
), merged AS (
    SELECT
        window_start, window_end, `cluster`, src_zone, dst_zone, probe,
        COUNT(*) AS records,
        SUM(sent) AS sent, SUM(received) AS received, SUM(lost) AS lost, SUM(refused) AS refused,
        SUM(unreachable) AS unreachable, SUM(send_error) AS send_error,
        MIN(rtt_min_ns) AS rtt_min_ns, MAX(rtt_max_ns) AS rtt_max_ns,
        merge_hdr(hdr) AS sum_of_hdr
    FROM once
    GROUP BY window_start, window_end, `cluster`, src_zone, dst_zone, probe
)
SELECT
    TIMESTAMPDIFF(MINUTE, TIMESTAMP '1970-01-01 00:00:00', window_start) * CAST(60000 AS BIGINT),
    TIMESTAMPDIFF(MINUTE, TIMESTAMP '1970-01-01 00:00:00', window_end) * CAST(60000 AS BIGINT),
    `cluster`, src_zone, dst_zone, probe,
    records, sent, received, lost, refused, unreachable, send_error, rtt_min_ns,
    m.sum_of_hdr.p50_ns, m.sum_of_hdr.p90_ns, m.sum_of_hdr.p99_ns, m.sum_of_hdr.p999_ns, rtt_max_ns,
    m.sum_of_hdr.hdr, m.sum_of_hdr.unreadable
FROM merged AS m;

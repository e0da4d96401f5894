-- Questions to the tables of tables.sql; some have parameters. Delays are nanoseconds. `failed_percent` is the share of the probes that left their
-- host and got no answer in time, whatever the reason, as on dt's page.

-- Pairs of zones by minute.
SELECT
    m.minute, m.cluster, m.src_zone, m.dst_zone, m.probe, m.pairs, m.sent, m.received, m.lost,
    100 * (m.lost + m.refused + m.unreachable) / nullIf(m.sent - m.send_error, 0) AS failed_percent,
    m.rtt_min_ns,
    nearestRank(m.buckets, 0.5) AS p50_ns,
    nearestRank(m.buckets, 0.9) AS p90_ns,
    nearestRank(m.buckets, 0.99) AS p99_ns,
    nearestRank(m.buckets, 0.999) AS p999_ns,
    m.rtt_max_ns
FROM distributed_trace.zone_minutes AS m FINAL
WHERE m.minute >= now() - INTERVAL 1 HOUR
ORDER BY m.minute, m.cluster, m.src_zone, m.dst_zone, m.probe;

-- Pairs of zones over a day: the maps of all minutes are added, then asked.
SELECT
    m.cluster, m.src_zone, m.dst_zone, m.probe,
    sum(m.sent) AS sent, sum(m.received) AS received, sum(m.lost) AS lost,
    100 * sum(m.lost + m.refused + m.unreachable) / nullIf(sum(m.sent - m.send_error), 0) AS failed_percent,
    min(m.rtt_min_ns) AS rtt_min_ns,
    nearestRank(sumMap(m.buckets), 0.5) AS p50_ns,
    nearestRank(sumMap(m.buckets), 0.9) AS p90_ns,
    nearestRank(sumMap(m.buckets), 0.99) AS p99_ns,
    nearestRank(sumMap(m.buckets), 0.999) AS p999_ns,
    max(m.rtt_max_ns) AS rtt_max_ns
FROM distributed_trace.zone_minutes AS m FINAL
WHERE m.minute >= now() - INTERVAL 1 DAY
GROUP BY m.cluster, m.src_zone, m.dst_zone, m.probe
ORDER BY m.cluster, m.src_zone, m.dst_zone, m.probe;

-- Pairs of zones in any span: that of a cell of dt collect (start_ms and end_ms of /api/v1/zones) has the cell's numbers.
-- clickhouse-client --param_from=START_MS --param_to=END_MS.
SELECT
    r.cluster, r.src_zone, r.dst_zone, r.probe,
    sum(r.sent) AS sent, sum(r.received) AS received, sum(r.lost) AS lost,
    100 * sum(r.lost + r.refused + r.unreachable) / nullIf(sum(r.sent - r.send_error), 0) AS failed_percent,
    min(r.rtt_min_ns) AS rtt_min_ns,
    nearestRank(sumMap(mapFromArrays(r.bucket_ns, r.bucket_count)), 0.5) AS p50_ns,
    nearestRank(sumMap(mapFromArrays(r.bucket_ns, r.bucket_count)), 0.9) AS p90_ns,
    nearestRank(sumMap(mapFromArrays(r.bucket_ns, r.bucket_count)), 0.99) AS p99_ns,
    nearestRank(sumMap(mapFromArrays(r.bucket_ns, r.bucket_count)), 0.999) AS p999_ns,
    max(r.rtt_max_ns) AS rtt_max_ns
FROM distributed_trace.records AS r FINAL
WHERE r.minute >= toStartOfMinute(fromUnixTimestamp64Milli({from:Int64})) AND r.minute <= fromUnixTimestamp64Milli({to:Int64})
    AND r.window_start >= fromUnixTimestamp64Milli({from:Int64}) AND r.window_end <= fromUnixTimestamp64Milli({to:Int64})
GROUP BY r.cluster, r.src_zone, r.dst_zone, r.probe
ORDER BY r.cluster, r.src_zone, r.dst_zone, r.probe;

-- The heat map of zones: a line for each source and kind of probe, in it the p99 to each destination. For racks or regions
-- the same of pair_minutes.
SELECT cluster, probe, src_zone, CAST(groupArray((dst_zone, p99_ns)), 'Map(String, Nullable(UInt64))') AS p99_ns_to
FROM
(
    SELECT m.cluster, m.probe, m.src_zone, m.dst_zone, nearestRank(sumMap(m.buckets), 0.99) AS p99_ns
    FROM distributed_trace.zone_minutes AS m FINAL
    WHERE m.minute >= now() - INTERVAL 1 HOUR
    GROUP BY m.cluster, m.probe, m.src_zone, m.dst_zone
    ORDER BY m.dst_zone
)
GROUP BY cluster, probe, src_zone
ORDER BY cluster, probe, src_zone;

-- The worst pairs by p99. The greatest host delay beside it: how long the source made its own programs wait.
SELECT
    m.cluster, m.src_node, m.dst_node, m.probe, sum(m.received) AS received,
    nearestRank(sumMap(m.buckets), 0.5) AS p50_ns,
    nearestRank(sumMap(m.buckets), 0.99) AS p99_ns,
    max(m.host_delay_max_ns) AS host_delay_max_ns
FROM distributed_trace.pair_minutes AS m FINAL
WHERE m.minute >= now() - INTERVAL 1 HOUR
GROUP BY m.cluster, m.src_node, m.dst_node, m.probe
ORDER BY p99_ns DESC, m.cluster, m.src_node, m.dst_node, m.probe
LIMIT 20;

-- The worst pairs by failed probes.
SELECT
    m.cluster, m.src_node, m.dst_node, m.probe,
    sum(m.sent) AS sent, sum(m.lost) AS lost, sum(m.refused) AS refused, sum(m.unreachable) AS unreachable,
    100 * (lost + refused + unreachable) / nullIf(sum(m.sent - m.send_error), 0) AS failed_percent
FROM distributed_trace.pair_minutes AS m FINAL
WHERE m.minute >= now() - INTERVAL 1 HOUR
GROUP BY m.cluster, m.src_node, m.dst_node, m.probe
HAVING failed_percent > 0
ORDER BY failed_percent DESC, sent DESC, m.cluster, m.src_node, m.dst_node, m.probe
LIMIT 20;

-- One pair over time: clickhouse-client --param_src=a --param_dst=b.
SELECT
    m.minute, m.probe, m.sent, m.received, m.lost,
    nearestRank(m.buckets, 0.5) AS p50_ns,
    nearestRank(m.buckets, 0.99) AS p99_ns,
    m.rtt_max_ns
FROM distributed_trace.pair_minutes AS m FINAL
WHERE m.minute >= now() - INTERVAL 6 HOUR AND m.src_node = {src:String} AND m.dst_node = {dst:String}
ORDER BY m.probe, m.minute;

-- Silent pairs: no record for 3 windows, and the half window within which a node publishes is over too.
SELECT
    r.cluster, r.src_node, r.dst_node, r.probe,
    max(r.window_end) AS last,
    min(r.window_end - r.window_start) AS width
FROM distributed_trace.records AS r
WHERE r.minute >= now() - INTERVAL 1 HOUR
GROUP BY r.cluster, r.src_node, r.dst_node, r.probe
HAVING last + 3.5 * width < now64(3)
ORDER BY r.cluster, r.src_node, r.dst_node, r.probe;

-- Own drops: hosts whose own socket buffers dropped packets. A record has its host's total of the window: the maximum counts.
SELECT cluster, src_node, sum(drops) AS drops
FROM
(
    SELECT r.cluster, r.src_node, max(r.receive_drops) AS drops
    FROM distributed_trace.records AS r
    WHERE r.minute >= now() - INTERVAL 1 HOUR
    GROUP BY r.cluster, r.src_node, r.window_start
)
GROUP BY cluster, src_node
HAVING drops > 0
ORDER BY drops DESC;

-- Missing records: `seq` has no gaps within one run of an agent. What is on its way is missing for some seconds.
SELECT r.cluster, r.src_node, r.boot_id, max(r.seq) - min(r.seq) + 1 - uniqExact(r.seq) AS missing
FROM distributed_trace.records AS r
WHERE r.minute >= now() - INTERVAL 1 HOUR
GROUP BY r.cluster, r.src_node, r.boot_id
HAVING missing > 0
ORDER BY missing DESC;

-- Records without buckets: their delays can't be merged. Their agent has kafka.buckets = false.
SELECT r.cluster, r.src_node, count() AS records, sum(r.received) AS samples
FROM distributed_trace.records AS r FINAL
WHERE r.minute >= now() - INTERVAL 1 HOUR AND r.received != arraySum(r.bucket_count)
GROUP BY r.cluster, r.src_node
ORDER BY samples DESC;

-- Rejected messages: what was no summary record, by reason, with one of each.
SELECT refusal, count() AS messages, any(kafka_message) AS message, any(kafka_error) AS error
FROM distributed_trace.rejected FINAL
GROUP BY refusal
ORDER BY refusal;

-- Refreshes: where there is an exception, the tables by minute are not kept up.
SELECT view, status, last_success_time, exception
FROM system.view_refreshes
WHERE database = 'distributed_trace'
ORDER BY view;

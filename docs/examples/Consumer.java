// Reads all summary records of a topic and merges them by pair: counts, p50 and p99 in nanoseconds.
//
//     java -cp 'lib/*' Consumer.java BOOTSTRAP [TOPIC]
//
// lib: org.apache.kafka:kafka-clients, org.hdrhistogram:HdrHistogram, com.fasterxml.jackson.core:jackson-databind.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Consumer {
    private static final String TYPE = "distributed_trace.v1.SummaryRecord";

    public static void main(String[] args) throws Exception {
        String topic = args.length > 1 ? args[1] : "distributedTrace.summaries";
        ObjectMapper json = new ObjectMapper();
        Set<String> seen = new HashSet<>();
        Map<String, Histogram> totals = new TreeMap<>();
        Map<String, Object> options = Map.of("bootstrap.servers", args[0], "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(options, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            // Partitions are assigned by hand, so no group is needed.
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> message : consumer.poll(Duration.ofSeconds(1))) {
                    // Foreign messages and tombstones are none of ours; a repeat has the same id.
                    if (!TYPE.equals(header(message, "ce_type")) || message.value() == null
                            || !seen.add(header(message, "ce_id"))) {
                        continue;
                    }
                    JsonNode record = json.readTree(message.value());
                    String histogram = record.get("hdr").asText();
                    // Empty where nothing was received.
                    if (!histogram.isEmpty()) {
                        String pair = record.get("src_node").asText() + " -> " + record.get("dst_node").asText()
                                + " " + record.get("probe").asText();
                        totals.computeIfAbsent(pair, p -> new Histogram(1, 60_000_000_000L, 2))
                                .add(Histogram.fromString(histogram));
                    }
                }
            }
        }
        totals.forEach((pair, total) -> System.out.printf("%s n=%d p50=%d p99=%d%n", pair, total.getTotalCount(),
                total.getValueAtPercentile(50), total.getValueAtPercentile(99)));
    }

    private static String header(ConsumerRecord<byte[], byte[]> message, String name) {
        var header = message.headers().lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }
}

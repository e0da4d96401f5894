package distributedtrace;

import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.zip.DataFormatException;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramIterationValue;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.types.Row;

/**
 * Adds up the {@code hdr} of summary records, exactly, by HdrHistogram's own library. Gives how many samples the sum has, its
 * percentiles by nearest rank in nanoseconds (NULL of no samples), the sum itself in the form of {@code hdr}, to be added
 * further, and how many strings were no histogram.
 */
@FunctionHint(
        output = @DataTypeHint("ROW<samples BIGINT NOT NULL, p50_ns BIGINT, p90_ns BIGINT, p99_ns BIGINT, p999_ns BIGINT, "
                + "hdr STRING NOT NULL, unreadable BIGINT NOT NULL> NOT NULL"))
public class MergeHistograms extends AggregateFunction<Row, MergeHistograms.Sum> {
    /** A sum as Flink keeps it: the histogram in its own encoding, null while there is none. */
    public static class Sum {
        public byte[] histogram;
        public long unreadable;
    }

    @Override
    public Sum createAccumulator() {
        return new Sum();
    }

    /** One record's string. Empty and null ones hold nothing. */
    public void accumulate(Sum sum, String hdr) {
        if (hdr == null || hdr.isEmpty()) {
            return;
        }
        try {
            Histogram histogram = Histogram.decodeFromCompressedByteBuffer(ByteBuffer.wrap(Base64.getDecoder().decode(hdr)), 0);
            add(sum, histogram);
        } catch (DataFormatException | RuntimeException e) {
            // A foreign message must not stop the job, whatever is in it.
            sum.unreadable++;
        }
    }

    /** Sums of the same group, counted apart. */
    public void merge(Sum sum, Iterable<Sum> others) {
        for (Sum other : others) {
            sum.unreadable += other.unreadable;
            if (other.histogram != null) {
                add(sum, decode(other.histogram));
            }
        }
    }

    @Override
    public Row getValue(Sum sum) {
        if (sum.histogram == null) {
            return Row.of(0L, null, null, null, null, "", sum.unreadable);
        }
        Histogram histogram = decode(sum.histogram);
        ByteBuffer buffer = ByteBuffer.allocate(histogram.getNeededByteBufferCapacity());
        int length = histogram.encodeIntoCompressedByteBuffer(buffer);
        byte[] bytes = new byte[length];
        buffer.flip().get(bytes);
        return Row.of(
                histogram.getTotalCount(),
                histogram.getValueAtPercentile(50),
                histogram.getValueAtPercentile(90),
                histogram.getValueAtPercentile(99),
                histogram.getValueAtPercentile(99.9),
                Base64.getEncoder().encodeToString(bytes),
                sum.unreadable);
    }

    private static void add(Sum sum, Histogram more) {
        Histogram total = more;
        if (sum.histogram != null) {
            Histogram before = decode(sum.histogram);
            boolean finer = more.getNumberOfSignificantValueDigits() > before.getNumberOfSignificantValueDigits();
            total = finer ? more : before;
            Histogram other = finer ? before : more;
            // It grows where the other reaches higher.
            total.setAutoResize(true);
            if (other.getNumberOfSignificantValueDigits() == total.getNumberOfSignificantValueDigits()) {
                total.add(other);
            } else {
                // Nothing gets coarser, and a bucket stands for its highest value, as everywhere. The library's add would take
                // the lowest.
                for (HistogramIterationValue bucket : other.recordedValues()) {
                    total.recordValueWithCount(bucket.getValueIteratedTo(), bucket.getCountAddedInThisIterationStep());
                }
            }
        }
        ByteBuffer buffer = ByteBuffer.allocate(total.getNeededByteBufferCapacity());
        int length = total.encodeIntoByteBuffer(buffer);
        sum.histogram = new byte[length];
        buffer.flip().get(sum.histogram);
    }

    private static Histogram decode(byte[] histogram) {
        return Histogram.decodeFromByteBuffer(ByteBuffer.wrap(histogram), 0);
    }
}

package bench;

import java.util.Arrays;
import java.util.Locale;

/** Durations in ns of several threads, and their percentiles by the rule that the load generator in Go has. */
final class Latencies {
    private long[] durations = new long[1 << 10];
    private int count;

    synchronized void add(long nanos) {
        if (count == durations.length) {
            durations = Arrays.copyOf(durations, 2 * count);
        }
        durations[count++] = nanos;
    }

    /** In ms; null where there are none. */
    synchronized String json() {
        if (count == 0) {
            return "null";
        }
        Arrays.sort(durations, 0, count);
        return String.format(
                Locale.ROOT, "{\"p50\": %.6f, \"p99\": %.6f, \"p999\": %.6f}", at(0.5), at(0.99), at(0.999));
    }

    private double at(double share) {
        return durations[Math.min((int) (share * count), count - 1)] / 1e6;
    }
}

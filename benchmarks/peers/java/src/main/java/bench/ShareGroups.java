package bench;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;
import org.apache.kafka.common.config.ConfigResource;

/**
 * What the benchmark asks of share groups:
 *
 * <pre>
 * earliest BROKERS GROUP                            a new group begins with what is there already
 * drain BROKERS GROUP TOPIC MESSAGES CONSUMERS BATCH implicit|explicit
 * settled BROKERS GROUP                             fails unless Kafka has all acks, asked after the clock has stopped
 * </pre>
 *
 * Whatever goes wrong is an exception, with exit code 1.
 */
public final class ShareGroups {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    public static void main(String[] given) throws Exception {
        switch (given[0]) {
            case "earliest" -> earliest(given[1], given[2]);
            case "drain" -> new Drain(given).run();
            case "settled" -> settled(given[1], given[2]);
            default -> throw new IllegalArgumentException("earliest, drain or settled, not " + given[0]);
        }
    }

    /** Where a group begins is an option of the group, kept by the broker; a consumer has no say in it. */
    private static void earliest(String brokers, String group) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        var option = new ConfigEntry("share.auto.offset.reset", "earliest");
        var change = List.of(new AlterConfigOp(option, AlterConfigOp.OpType.SET));
        try (Admin admin = admin(brokers)) {
            admin.incrementalAlterConfigs(Map.of(resource, change)).all().get();
        }
    }

    /**
     * An ack that rides on a fetch has no answer that a consumer sees. The lag is what Kafka has no final ack of; the
     * start of a partition would not do, it is moved with the next write of the group's state only.
     */
    private static void settled(String brokers, String group) throws Exception {
        long until = System.nanoTime() + PATIENCE.toNanos();
        try (Admin admin = admin(brokers)) {
            while (true) {
                var asked = Map.of(group, new ListShareGroupOffsetsSpec());
                var partitions = admin.listShareGroupOffsets(asked).all().get().get(group);
                if (!partitions.isEmpty() && partitions.values().stream().allMatch(ShareGroups::isSettled)) {
                    return;
                }
                if (System.nanoTime() > until) {
                    throw new IllegalStateException("not everything is acked according to Kafka: " + partitions);
                }
                Thread.sleep(20);
            }
        }
    }

    private static boolean isSettled(SharePartitionOffsetInfo partition) {
        return partition != null && partition.lag().orElse(-1L) == 0;
    }

    private static Admin admin(String brokers) {
        var properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        return Admin.create(properties);
    }
}

package bench;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ShareGroupDescription;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;

/**
 * What the benchmark asks of share groups:
 *
 * <pre>
 * earliest BROKERS GROUP                            a new group begins with what is there already
 * drain BROKERS GROUP TOPIC MESSAGES CONSUMERS BATCH implicit|explicit UNCOUNTED plain|stamped
 * joined BROKERS GROUP PARTITIONS CONSUMERS         waits until the group has that many members, each with its partitions
 * settled BROKERS GROUP                             fails unless Kafka has all acks, asked after the clock has stopped
 * </pre>
 *
 * Whatever goes wrong is an exception, with exit code 1.
 */
public final class ShareGroups {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final Duration PATIENCE_TO_JOIN = Duration.ofSeconds(60);

    public static void main(String[] given) throws Exception {
        switch (given[0]) {
            case "earliest" -> earliest(given[1], given[2]);
            case "drain" -> new Drain(given).run();
            case "joined" -> joined(given[1], given[2], Integer.parseInt(given[3]), Integer.parseInt(given[4]));
            case "settled" -> settled(given[1], given[2]);
            default -> throw new IllegalArgumentException("earliest, drain joined or settled, not " + given[0]);
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

    private static void joined(String brokers, String group, int partitions, int consumers) throws Exception {
        long until = System.nanoTime() + PATIENCE_TO_JOIN.toNanos();
        try (Admin admin = admin(brokers)) {
            while (true) {
                var description = describe(admin, group);
                if (description != null && description.groupState() == GroupState.STABLE) {
                    var members = description.members();
                    var assigned = new HashSet<TopicPartition>();
                    members.forEach(member -> assigned.addAll(member.assignment().topicPartitions()));
                    var idle = members.stream().anyMatch(member -> member.assignment().topicPartitions().isEmpty());
                    if (members.size() == consumers && assigned.size() == partitions && !idle) {
                        return;
                    }
                }
                if (System.nanoTime() > until) {
                    throw new IllegalStateException("not all consumers have joined: " + description);
                }
                Thread.sleep(100);
            }
        }
    }

    /** Null until the first member has joined. */
    private static ShareGroupDescription describe(Admin admin, String group) throws Exception {
        try {
            return admin.describeShareGroups(List.of(group)).describedGroups().get(group).get();
        } catch (ExecutionException error) {
            if (error.getCause() instanceof GroupIdNotFoundException) {
                return null;
            }
            throw error;
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

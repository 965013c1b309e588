package bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Consumers of one share group, each in a thread of its own, that take and ack until every message came.
 *
 * <p>Prints "first" with the first message that counts and "last" with the last ack, at which the parent reads the CPU
 * clocks and then ends the input, then one JSON document: of all after the messages that are not counted, the first ones.
 * Of messages that say when they were produced it says how long that was before they came.
 */
final class Drain {
    private static final Duration WAIT = Duration.ofSeconds(1);
    /** Nothing came at all for so long: give up. */
    private static final long PATIENCE = Duration.ofSeconds(60).toNanos();

    private final String brokers;
    private final String group;
    private final String topic;
    private final int messages;
    private final String batch;
    private final String acks;
    private final boolean explicit;
    private final int uncounted;
    private final boolean stamped;
    private final Latencies handOuts = new Latencies();
    private final Latencies commits = new Latencies();
    private final List<KafkaShareConsumer<byte[], byte[]>> consumers = new ArrayList<>();
    private final AtomicIntegerArray arrivals;
    private final AtomicInteger fresh = new AtomicInteger();
    private final AtomicInteger duplicates = new AtomicInteger();
    private final AtomicBoolean begun = new AtomicBoolean();
    private final AtomicReference<Exception> fault = new AtomicReference<>();
    private volatile long lastArrival;
    private volatile long first;

    Drain(String[] given) {
        brokers = given[1];
        group = given[2];
        topic = given[3];
        messages = Integer.parseInt(given[4]);
        int count = Integer.parseInt(given[5]);
        batch = given[6];
        acks = given[7];
        explicit = acks.equals("explicit");
        uncounted = Integer.parseInt(given[8]);
        stamped = given[9].equals("stamped");
        arrivals = new AtomicIntegerArray(messages);
        for (int number = 0; number < count; number++) {
            consumers.add(new KafkaShareConsumer<>(properties()));
        }
    }

    private Properties properties() {
        var properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        properties.put("group.id", group);
        properties.put("share.acknowledgement.mode", acks);
        properties.put("max.poll.records", batch);
        properties.put("key.deserializer", ByteArrayDeserializer.class);
        properties.put("value.deserializer", ByteArrayDeserializer.class);
        return properties;
    }

    void run() throws Exception {
        long began = System.nanoTime();
        lastArrival = began;
        var threads = new ArrayList<Thread>();
        for (var consumer : consumers) {
            var thread = new Thread(() -> consume(consumer));
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
        long last = System.nanoTime();
        say("last");
        System.in.readAllBytes();
        if (fault.get() != null) {
            throw fault.get();
        }
        say(String.format(
                Locale.ROOT,
                "{\"messages\": %d, \"duplicates\": %d, \"seconds\": %.6f, \"until_first\": %.6f,"
                        + " \"hand_out\": %s, \"ack\": %s}",
                fresh.get() - uncounted, duplicates.get(), (last - first) / 1e9, (first - began) / 1e9,
                handOuts.json(), commits.json()));
        for (var consumer : consumers) {
            consumer.close();
        }
    }

    private void consume(KafkaShareConsumer<byte[], byte[]> consumer) {
        try {
            consumer.subscribe(List.of(topic));
            while (fresh.get() < messages && fault.get() == null) {
                take(consumer);
            }
            // What the last poll brought is not acked yet where acks are implicit.
            commit(consumer);
        } catch (Exception error) {
            fault.compareAndSet(null, error);
        }
    }

    private void take(KafkaShareConsumer<byte[], byte[]> consumer) {
        ConsumerRecords<byte[], byte[]> records;
        try {
            records = consumer.poll(WAIT);
        } catch (WakeupException allIsHere) {
            return;
        }
        if (records.isEmpty()) {
            if (System.nanoTime() - lastArrival > PATIENCE) {
                throw new IllegalStateException("nothing came: " + fresh + " of " + messages + " so far");
            }
            return;
        }
        boolean counted = count(records);
        if (explicit) {
            long asked = System.nanoTime();
            for (ConsumerRecord<byte[], byte[]> record : records) {
                consumer.acknowledge(record);
            }
            commit(consumer);
            if (counted) {
                commits.add(System.nanoTime() - asked);
            }
        }
    }

    /** Answers whether any of these is no warm-up. */
    private boolean count(ConsumerRecords<byte[], byte[]> records) {
        long now = unixNanos();
        lastArrival = System.nanoTime();
        int firstTime = 0;
        boolean counted = false;
        for (ConsumerRecord<byte[], byte[]> record : records) {
            var value = ByteBuffer.wrap(record.value());
            int number = (int) value.getLong();
            if (arrivals.getAndIncrement(number) == 0) {
                firstTime++;
            }
            if (number >= uncounted) {
                counted = true;
                if (stamped) {
                    handOuts.add(now - value.getLong());
                }
            }
        }
        if (counted && !begun.getAndSet(true)) {
            first = lastArrival;
            say("first");
        }
        duplicates.addAndGet(records.count() - firstTime);
        if (fresh.addAndGet(firstTime) == messages) {
            // The others wait for messages that do not come.
            consumers.forEach(KafkaShareConsumer::wakeup);
        }
        return counted;
    }

    private static long unixNanos() {
        var now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }

    private static void commit(KafkaShareConsumer<byte[], byte[]> consumer) {
        while (true) {
            try {
                for (var outcome : consumer.commitSync().values()) {
                    if (outcome.isPresent()) {
                        throw outcome.get();
                    }
                }
                return;
            } catch (WakeupException again) {
                // Meant for a poll that had just ended.
            }
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}

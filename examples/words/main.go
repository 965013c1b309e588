// A service in Go that counts the words of the lines in a topic, in batches, and writes the counts down when it ends.
//
//	go run . -workers 127.0.0.1:6066 -out words.json
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	fanout "github.com/nanoservice/fanout/clients/go"
)

// place names a message, however often it comes.
type place struct {
	partition int32
	offset    int64
}

// counts are those of this process. A message may be delivered twice: each place counts once.
type counts struct {
	mutex sync.Mutex
	seen  map[place]bool
	words map[string]int
}

func (counts *counts) add(_ context.Context, batch *fanout.Batch) error {
	counts.mutex.Lock()
	defer counts.mutex.Unlock()
	for _, message := range batch.Messages {
		at := place{message.Partition, message.Offset}
		if counts.seen[at] {
			continue
		}
		counts.seen[at] = true
		for _, word := range strings.Fields(string(message.Value)) {
			counts.words[strings.ToLower(word)]++
		}
	}
	return nil
}

func run() error {
	workers := flag.String("workers", "127.0.0.1:6066", "HOST:PORT, several joined by commas")
	out := flag.String("out", "words.json", "where the counts go")
	flag.Parse()
	client, err := fanout.New(strings.Split(*workers, ","), fanout.Options{})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	counted := &counts{seen: map[place]bool{}, words: map[string]int{}}
	if err := client.WorkBatches(ctx, 100, 2, counted.add); err != nil {
		return err
	}
	text, err := json.MarshalIndent(counted.words, "", "  ")
	if err != nil {
		return err
	}
	fmt.Printf("%d lines, %d different words\n", len(counted.seen), len(counted.words))
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(1)
	}
}

// A handler that does what its messages say, for the tests that all client libraries share: see
// tests/support/handlers of the repository.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	fanout "github.com/nanoservice/fanout/clients/go"
)

// said is what a message says.
type said struct {
	N     int             `json:"n"`
	For   float64         `json:"for"`
	Then  json.RawMessage `json:"then"`
	Delay *float64        `json:"delay"`
}

func (said said) then(count int) string {
	var one string
	if json.Unmarshal(said.Then, &one) == nil && one != "" {
		return one
	}
	var each []string
	if json.Unmarshal(said.Then, &each) == nil && len(each) > 0 {
		return each[min(count, len(each))-1]
	}
	return "ok"
}

func handle(_ context.Context, message fanout.Message) error {
	var said said
	if err := json.Unmarshal(message.Value, &said); err != nil {
		return err
	}
	tell("begin", said, message)
	time.Sleep(time.Duration(said.For * float64(time.Second)))
	then := said.then(message.DeliveryCount)
	tell(then, said, message)
	switch then {
	case "fail":
		return errors.New("as it was told")
	case "nack":
		delay := time.Duration(-1)
		if said.Delay != nil {
			delay = time.Duration(*said.Delay * float64(time.Second))
		}
		return &fanout.Nack{Reason: "as it was told", Delay: delay}
	case "reject":
		return &fanout.Reject{Reason: "as it was told"}
	}
	return nil
}

func handleAll(ctx context.Context, batch *fanout.Batch) error {
	for _, message := range batch.Messages {
		err := handle(ctx, message)
		var nack *fanout.Nack
		var reject *fanout.Reject
		switch {
		case errors.As(err, &nack):
			batch.Nack(message, nack.Reason, nack.Delay)
		case errors.As(err, &reject):
			batch.Reject(message, reject.Reason)
		case err != nil:
			batch.Nack(message, err.Error(), -1)
		}
	}
	return nil
}

func tell(what string, said said, message fanout.Message) {
	fmt.Printf("{\"event\": %q, \"n\": %d, \"count\": %d}\n", what, said.N, message.DeliveryCount)
}

func run() error {
	workers := flag.String("workers", "", "addresses, joined by commas")
	name := flag.String("name", "", "of this client")
	token := flag.String("token", "", "sent to the workers")
	concurrency := flag.Int("concurrency", 1, "handlers at once")
	batch := flag.Int("batch", 1, "messages of one handler")
	ackWait := flag.Float64("ack-wait", 30, "seconds of a lease")
	flag.Parse()
	client, err := fanout.New(strings.Split(*workers, ","), fanout.Options{
		Name:    *name,
		Token:   *token,
		AckWait: time.Duration(*ackWait * float64(time.Second)),
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if *batch > 1 {
		return client.WorkBatches(ctx, *batch, *concurrency, handleAll)
	}
	return client.Work(ctx, *concurrency, handle)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lastWords is how long what is settled at the end may take to be answered.
const lastWords = 5 * time.Second

const stops = "this client stops"

// Work has messages handled, by concurrency handlers at once, until ctx ends; then those that are being handled are
// brought to an end, for which they have Options.Drain, and settled. The context of a handler ends only after that.
//
// It returns nil once ctx has ended, and an error where the cluster refuses what it is asked.
func (client *Client) Work(ctx context.Context, concurrency int, handle func(context.Context, Message) error) error {
	one := func(ctx context.Context, batch *Batch) error { return handle(ctx, batch.Messages[0]) }
	return client.WorkBatches(ctx, 1, concurrency, one)
}

// WorkBatches is Work with up to size messages at once, 1 to 1000; see Batch for those that fail by themselves.
func (client *Client) WorkBatches(
	ctx context.Context, size, concurrency int, handle func(context.Context, *Batch) error,
) error {
	if size < 1 || size > 1000 {
		return errors.New("a batch has 1 to 1000 messages")
	}
	if concurrency < 1 {
		return errors.New("at least one handler has to run")
	}
	// Handlers and settles outlive ctx.
	all, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := &work{client: client, size: size, handle: handle}
	work.held = newHeld(client.options.AckWait, client.extend, func(err error) {
		client.options.Logger.Warn("fanout: leases could not be extended, their messages may be delivered again", "why", err)
	})
	keeping := make(chan struct{})
	go func() { defer close(keeping); work.held.keep(all) }()

	var slots sync.WaitGroup
	failures := make(chan error, concurrency)
	for range concurrency {
		slots.Add(1)
		go func() {
			defer slots.Done()
			if err := work.slot(ctx, all); err != nil {
				failures <- err
				stop(err)
			}
		}()
	}
	ended := make(chan struct{})
	go func() { slots.Wait(); close(ended) }()
	<-ctx.Done()
	select {
	case <-ended:
	case <-time.After(client.options.Drain):
		end(fmt.Errorf("handlers had %v to end", client.options.Drain))
		<-ended
	}
	end(nil)
	<-keeping
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	client.leave(last)
	close(failures)
	return <-failures
}

type work struct {
	client *Client
	held   *held
	size   int
	handle func(context.Context, *Batch) error
}

// slot pulls, handles what it was given, and pulls again with what became of that riding along. It waits with a request
// of its own, which costs a worker little; so a message is handed to whoever is free, and none lies here while its lease
// runs.
func (work *work) slot(ctx, all context.Context) error {
	some := newUnsettled(work.client.lost)
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(all), lastWords)
		defer cancel()
		if failed := work.client.settle(last, some); failed != nil {
			work.client.options.Logger.Warn("fanout: not everything could be settled, it may be delivered again",
				"messages", some.len(), "why", failed)
		}
	}()
	for ctx.Err() == nil {
		asked := pullOf{most: work.size, wait: work.client.options.Wait, name: receiveID()}
		batch, err := work.client.pull(ctx, asked, some)
		switch {
		case err != nil && ctx.Err() != nil:
			work.giveBackWhatWasLost(all, asked, some)
			return nil
		case err != nil:
			return err
		case len(batch.Messages) > 0:
			work.held.take(batch.Messages)
			some.add(work.run(all, batch), batch)
		}
	}
	return nil
}

// giveBackWhatWasLost asks for the answer that may have been on its way when its request was given up.
func (work *work) giveBackWhatWasLost(ctx context.Context, asked pullOf, some *unsettled) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	asked.repeat, asked.wait = true, 0
	lost, err := work.client.pull(ctx, asked, some)
	if err != nil {
		work.client.options.Logger.Warn("fanout: what was on its way here may be delivered later", "why", err)
		return
	}
	some.add(nacked(lost.Messages, stops, 0), nil)
}

// run has messages handled, and answers what becomes of them. A handler that panics has failed, and takes the process
// with it as it would anywhere.
func (work *work) run(ctx context.Context, batch *Batch) settle {
	defer work.held.end(batch.Messages)
	err := work.handle(ctx, batch)
	if err != nil && ctx.Err() != nil {
		return nacked(batch.Messages, stops, 0)
	}
	if err != nil {
		work.client.options.Logger.Warn("fanout: a handler failed", "partition", batch.Messages[0].Partition,
			"offset", batch.Messages[0].Offset, "messages", len(batch.Messages), "why", err)
	}
	return batch.settle(err)
}

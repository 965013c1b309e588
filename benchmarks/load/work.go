package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// workResult is what clients came to that work on each message for a while.
type workResult struct {
	Clients int `json:"clients"`
	// Worked on and acked durably, by all clients, between the first and the last answer that each of them counts.
	Messages int `json:"messages"`
	// The rates of all clients, added up: each one's messages over its own stretch of whole rounds, from an answer to
	// another one. So nothing depends on how many rounds are under way when the clock begins or stops.
	Rate float64 `json:"rate"`
	// What the clients could do if every answer came at once.
	Ideal float64 `json:"ideal"`
	// From a request to its answer: what the clients wait for.
	Pull *percentiles `json:"pull"`
	// Used in these seconds, which begin after the warm-up.
	Cpu     map[string]float64 `json:"cpu"`
	Seconds float64            `json:"seconds"`
}

// worker is a client whose handler takes its time: a message after the other, and one ack for all with the next pull.
type worker struct {
	*taker
	work           time.Duration
	counting, over *atomic.Bool

	messages int
	// Answers that its rounds are counted from, and up to now.
	since, latest time.Time
}

func work(arguments []string) (*workResult, error) {
	flags := flag.NewFlagSet("work", flag.ExitOnError)
	urls := flags.String("urls", "", "the workers, separated by commas; clients are dealt out to them in turn")
	clients := flags.Int("clients", 1, "clients, each with a connection of its own")
	batch := flags.Int("batch", 1, "messages asked for, and acked, at once")
	each := flags.Duration("work", 10*time.Millisecond, "how long a client works on each message")
	warmUp := flags.Duration("warm-up", time.Second, "not counted")
	length := flags.Duration("for", 10*time.Second, "how long to count; there have to be messages enough")
	pids := flags.String("pids", "", "whose CPU to count: NAME=PID,PID;NAME=PID")
	flags.Parse(arguments)
	if *urls == "" || *clients < 1 || *each <= 0 || *length <= 0 {
		return nil, fmt.Errorf("work needs -urls, -clients, -work and -for")
	}
	meter, err := newMeter(*pids)
	if err != nil {
		return nil, err
	}
	c := &course{options: options{urls: strings.Split(*urls, ","), batch: *batch, wait: 5 * time.Second}}
	c.context, c.end = context.WithCancelCause(context.Background())
	var counting, over atomic.Bool
	workers := make([]*worker, *clients)
	var all sync.WaitGroup
	for number := range workers {
		workers[number] = &worker{taker: newTaker(c, number), work: *each, counting: &counting, over: &over}
		all.Add(1)
		go func() {
			defer all.Done()
			if err := workers[number].run(); err != nil {
				c.end(err)
			}
		}()
	}
	pause(c.context, *warmUp)
	before, err := meter.read()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	counting.Store(true)
	pause(c.context, *length)
	after, err := meter.read()
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	over.Store(true)
	all.Wait()
	if cause := context.Cause(c.context); cause != nil {
		return nil, cause
	}
	r := &workResult{
		Clients: *clients, Ideal: float64(*clients) / each.Seconds(),
		Cpu: difference(after, before), Seconds: seconds,
	}
	var pulls [][]time.Duration
	for _, one := range workers {
		pulls = append(pulls, one.pulls)
		r.Messages += one.messages
		if one.messages > 0 {
			r.Rate += float64(one.messages) / one.latest.Sub(one.since).Seconds()
		}
	}
	r.Pull = percentilesOf(joined(pulls))
	return r, nil
}

// run takes, works and acks until time is up. What the last answer brought stays with its lease.
func (w *worker) run() error {
	held, batch := 0, ""
	for {
		asked := time.Now()
		if err := w.post("/v1/pull", w.pullBody(batch, int(w.course.wait.Milliseconds()))); err != nil {
			return err
		}
		answered := time.Now()
		if held > 0 && w.answer.acked != held {
			return fmt.Errorf("%d of a batch of %d acked: were there leases that ended?", w.answer.acked, held)
		}
		if len(w.answer.messages) == 0 {
			return fmt.Errorf("no message came within %v: there have to be more than can be worked on", w.course.wait)
		}
		if !w.since.IsZero() {
			w.messages += held
			w.latest = answered
			w.pulls = append(w.pulls, answered.Sub(asked))
		} else if w.counting.Load() {
			w.since = answered
		}
		if w.over.Load() {
			return nil
		}
		held, batch = len(w.answer.messages), w.answer.batch
		// All of a batch in one sleep, which ends 0.1 ms late: the same as an exact one for each message.
		if pause(w.course.context, time.Until(answered.Add(time.Duration(held)*w.work))); w.course.context.Err() != nil {
			return nil
		}
	}
}

// pause ends early with the context.
func pause(until context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-until.Done():
	}
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// drainResult is what a drain came to: Messages, Seconds, Cpu and all percentiles from the first message at a client that
// counts (-uncounted) to the last ack.
type drainResult struct {
	Messages   int     `json:"messages"`
	Duplicates int     `json:"duplicates"`
	Seconds    float64 `json:"seconds"`
	UntilFirst float64 `json:"until_first"`
	Pulls      int     `json:"pulls"`
	// Settles whose answer left open whether they count: sent again.
	Retries int                `json:"retries"`
	Cpu     map[string]float64 `json:"cpu"`
	// Of those pulls only that were answered with messages.
	Pull *percentiles `json:"pull"`
	// Of settles by themselves; one that rides on a pull is part of that.
	Ack     *percentiles `json:"ack"`
	HandOut *percentiles `json:"hand_out"`
}

type options struct {
	urls      []string
	messages  int
	uncounted int
	clients   int
	batch     int
	apart     bool
	msgpack   bool
	stamped   bool
	durable   bool
	wait      time.Duration
	spread    bool
	ramp      time.Duration
	patience  time.Duration
	protocol  string
	group     string
}

// protocols are what a client can speak to take and ack until all is acked.
var protocols = map[string]func(*taker) error{
	"fanout": (*taker).run,
	"pixy":   runPixy,
	"sqs":    runSqs,
}

// course is what the clients of a drain share.
type course struct {
	options
	meter *meter

	seen       []atomic.Bool
	received   atomic.Int64
	duplicates atomic.Int64
	acked      atomic.Int64

	began, first, last    time.Time
	cpuAtFirst, cpuAtLast map[string]float64
	onceFirst, onceLast   sync.Once
	context               context.Context
	end                   context.CancelCauseFunc
}

var errDone = errors.New("all is acked")

func drain(arguments []string) (*drainResult, error) {
	o, meter, err := drainOptions(arguments)
	if err != nil {
		return nil, err
	}
	c := &course{options: *o, meter: meter, seen: make([]atomic.Bool, o.messages), began: time.Now()}
	c.context, c.end = context.WithCancelCause(context.Background())
	speak := protocols[o.protocol]
	takers := make([]*taker, o.clients)
	var all sync.WaitGroup
	for number := range takers {
		takers[number] = newTaker(c, number)
		all.Add(1)
		time.Sleep(o.ramp)
		go func() {
			defer all.Done()
			if err := speak(takers[number]); err != nil {
				c.end(err) // the first one counts, and after the last ack none does
			}
		}()
	}
	go c.watch()
	all.Wait()
	if cause := context.Cause(c.context); cause != errDone {
		return nil, cause
	}
	return c.result(takers), nil
}

func drainOptions(arguments []string) (*options, *meter, error) {
	var o options
	flags := flag.NewFlagSet("drain", flag.ExitOnError)
	urls := flags.String("urls", "", "the workers, separated by commas; clients are dealt out to them in turn")
	flags.IntVar(&o.messages, "messages", 0, "how many there are, numbered from 0 in their first 8 bytes")
	flags.IntVar(&o.clients, "clients", 1, "clients, each with a connection of its own")
	flags.IntVar(&o.batch, "batch", 500, "messages asked for, and acked, at once")
	flags.BoolVar(&o.durable, "durable", true, "acks are answered when they are in Kafka")
	flags.BoolVar(&o.apart, "apart", false, "settle by a request of its own instead of with the next pull")
	encoding := flags.String("encoding", "json", "json or msgpack")
	flags.BoolVar(&o.stamped, "stamped", false, "messages say when they were produced, while clients wait for them")
	flags.IntVar(&o.uncounted, "uncounted", 0, "so many messages, the first ones, only warm everything up")
	flags.DurationVar(&o.wait, "wait", 5*time.Second, "how long a pull waits for its first message, of fanout")
	flags.BoolVar(&o.spread, "spread", false, "let first pulls wait for less, so that later ones do not come all at once")
	flags.DurationVar(&o.ramp, "ramp", 0, "from one client's start to the next one's")
	flags.DurationVar(&o.patience, "patience", 30*time.Second, "give up when nothing is acked for so long")
	flags.StringVar(&o.protocol, "protocol", "fanout", "fanout, pixy (-urls ends with /topics/TOPIC) or sqs (a queue's)")
	flags.StringVar(&o.group, "group", "", "of kafka-pixy: the consumer group")
	pids := flags.String("pids", "", "whose CPU to count: NAME=PID,PID;NAME=PID")
	flags.Parse(arguments)
	o.urls = strings.Split(*urls, ",")
	o.msgpack = *encoding == "msgpack"
	if *urls == "" || o.messages < 1 || (*encoding != "json" && !o.msgpack) {
		return nil, nil, fmt.Errorf("drain needs -urls, -messages, and an -encoding that is json or msgpack")
	}
	if o.uncounted < 0 || o.uncounted >= o.messages {
		return nil, nil, fmt.Errorf("-uncounted has to leave some of %d messages", o.messages)
	}
	if protocols[o.protocol] == nil {
		return nil, nil, fmt.Errorf("no protocol %q", o.protocol)
	}
	meter, err := newMeter(*pids)
	return &o, meter, err
}

// watch ends a run that stands still.
func (c *course) watch() {
	for before := int64(-1); ; {
		select {
		case <-c.context.Done():
			return
		case <-time.After(c.patience):
		}
		now := c.acked.Load()
		if now == before {
			c.end(fmt.Errorf("nothing acked for %v: %d of %d acked, %d received, %d of them twice",
				c.patience, now, c.messages, c.received.Load(), c.duplicates.Load()))
			return
		}
		before = now
	}
}

// got counts what arrived, by what is in it.
func (c *course) got(messages []head) error {
	if len(messages) == 0 {
		return nil
	}
	var err error
	if c.counts(messages) {
		c.onceFirst.Do(func() {
			c.first = time.Now()
			c.cpuAtFirst, err = c.meter.read()
		})
	}
	fresh := int64(0)
	for _, one := range messages {
		if one.number >= uint64(c.messages) {
			return fmt.Errorf("a message numbered %d of %d", one.number, c.messages)
		}
		if !c.seen[one.number].Swap(true) {
			fresh++
		}
	}
	c.received.Add(fresh)
	c.duplicates.Add(int64(len(messages)) - fresh)
	return err
}

// counts: some of these are no warm-up.
func (c *course) counts(messages []head) bool {
	return slices.ContainsFunc(messages, func(one head) bool { return one.number >= uint64(c.uncounted) })
}

// settled counts acks, and ends the run with the last of them.
func (c *course) settled(acked int) {
	if c.acked.Add(int64(acked)) < int64(c.messages) || acked == 0 {
		return
	}
	c.onceLast.Do(func() {
		c.last = time.Now()
		var err error
		if c.cpuAtLast, err = c.meter.read(); err == nil {
			if err = errDone; c.received.Load() != int64(c.messages) {
				err = fmt.Errorf("%d acked, but %d different ones received", c.acked.Load(), c.received.Load())
			}
		}
		c.end(err)
	})
}

func (c *course) result(takers []*taker) *drainResult {
	r := &drainResult{
		Messages:   int(c.received.Load()) - c.uncounted,
		Duplicates: int(c.duplicates.Load()),
		Seconds:    c.last.Sub(c.first).Seconds(),
		UntilFirst: c.first.Sub(c.began).Seconds(),
		Cpu:        difference(c.cpuAtLast, c.cpuAtFirst),
	}
	var pulls, acks, handOuts [][]time.Duration
	for _, one := range takers {
		r.Pulls += one.asked
		r.Retries += one.retries
		pulls = append(pulls, one.pulls)
		acks = append(acks, one.acks)
		handOuts = append(handOuts, one.handOuts)
	}
	r.Pull, r.Ack, r.HandOut = percentilesOf(joined(pulls)), percentilesOf(joined(acks)), percentilesOf(joined(handOuts))
	return r
}

package fanout

import (
	"context"
	"sync"
	"time"
)

// retryExtension is when a lease is extended again of which it is not known whether it was.
const retryExtension = 500 * time.Millisecond

// held are the leases of messages that are being handled: each is extended whenever two thirds of it have passed.
type held struct {
	mutex   sync.Mutex
	due     map[string]time.Time
	ackWait time.Duration
	changed chan struct{}
	extend  func(context.Context, []string) (settled, error)
	failed  func(error)
}

func newHeld(ackWait time.Duration, extend func(context.Context, []string) (settled, error), failed func(error)) *held {
	return &held{
		due:     map[string]time.Time{},
		ackWait: ackWait,
		changed: make(chan struct{}, 1),
		extend:  extend,
		failed:  failed,
	}
}

func (held *held) take(messages []Message) {
	held.mutex.Lock()
	at := time.Now().Add(held.ackWait * 2 / 3)
	for _, message := range messages {
		held.due[message.Lease] = at
	}
	held.mutex.Unlock()
	select {
	case held.changed <- struct{}{}:
	default:
	}
}

func (held *held) end(messages []Message) {
	held.mutex.Lock()
	defer held.mutex.Unlock()
	for _, message := range messages {
		delete(held.due, message.Lease)
	}
}

// keep extends leases until ctx ends. Requests run beside each other: one that is not answered holds up no other lease.
func (held *held) keep(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		leases, pause := held.next(time.Now())
		for len(leases) > 0 {
			some := leases[:min(mostEntries, len(leases))]
			leases = leases[len(some):]
			running.Add(1)
			go func() {
				defer running.Done()
				held.extendThese(ctx, some)
			}()
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-held.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// next answers the leases to extend now, which are due again two thirds of a lease later, and how long to wait then.
func (held *held) next(now time.Time) ([]string, time.Duration) {
	held.mutex.Lock()
	defer held.mutex.Unlock()
	after := held.ackWait * 2 / 3
	// A little early, so that leases of one moment are extended by one request.
	soon := now.Add(min(200*time.Millisecond, after/4))
	var leases []string
	pause := time.Hour
	for lease, at := range held.due {
		if !at.After(soon) {
			leases = append(leases, lease)
			at = now.Add(after)
			held.due[lease] = at
		}
		pause = min(pause, at.Sub(now))
	}
	return leases, pause
}

func (held *held) extendThese(ctx context.Context, leases []string) {
	answer, err := held.extend(ctx, leases)
	if err != nil {
		if ctx.Err() == nil {
			held.failed(err)
		}
		return
	}
	held.mutex.Lock()
	defer held.mutex.Unlock()
	for _, result := range answer.Results {
		if result.Status != statusRetry {
			delete(held.due, result.Lease)
		} else if _, there := held.due[result.Lease]; there {
			held.due[result.Lease] = time.Now().Add(retryExtension)
		}
	}
}

package main

import (
	"testing"
	"time"
)

func TestAPullDoesNotWaitForMessagesThatOthersMayHaveFirst(t *testing.T) {
	c := &course{options: options{urls: []string{""}, messages: 10_000, clients: 32, batch: 1, wait: 5 * time.Second}}
	one := newTaker(c, 0)
	for received, long := range map[int64]bool{0: true, 9_679: true, 9_680: false, 10_000: false} {
		c.received.Store(received)
		if wait := one.wait(); (wait > 10) != long {
			t.Errorf("with %d received it waits %d ms", received, wait)
		}
	}
}

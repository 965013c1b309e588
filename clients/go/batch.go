package fanout

import (
	"errors"
	"time"
)

const longestReason = 4096

// Batch is messages that were given together. What its handler does not say otherwise of is acked when it returns nil.
type Batch struct {
	Messages []Message

	token     string
	otherwise map[string]settle
}

// Nack says that a message is for another client, after delay (negative: the cluster's backoff).
func (batch *Batch) Nack(message Message, reason string, delay time.Duration) {
	batch.say(message, nacked([]Message{message}, reason, delay))
}

// Reject says that nobody shall get a message again: it goes to the dead-letter topic, or is parked.
func (batch *Batch) Reject(message Message, reason string) {
	batch.say(message, rejected([]Message{message}, reason))
}

func (batch *Batch) say(message Message, made settle) {
	if batch.otherwise == nil {
		batch.otherwise = map[string]settle{}
	}
	batch.otherwise[message.Lease] = made
}

// settle is what becomes of the messages when the handler has ended so.
func (batch *Batch) settle(err error) settle {
	var made settle
	var rest []Message
	for _, message := range batch.Messages {
		if said, there := batch.otherwise[message.Lease]; there {
			made.add(said)
		} else {
			rest = append(rest, message)
		}
	}
	switch {
	case err == nil && batch.token != "":
		made.Ack = append(made.Ack, batch.token)
	case len(rest) > 0:
		made.add(outcome(rest, err))
	}
	return made
}

func outcome(messages []Message, err error) settle {
	var nack *Nack
	var reject *Reject
	switch {
	case err == nil:
		return acked(messages)
	case errors.As(err, &reject):
		return rejected(messages, reject.Reason)
	case errors.As(err, &nack):
		return nacked(messages, nack.Reason, nack.Delay)
	default:
		return nacked(messages, err.Error(), -1)
	}
}

func acked(messages []Message) settle {
	var made settle
	for _, message := range messages {
		made.Ack = append(made.Ack, message.Lease)
	}
	return made
}

func nacked(messages []Message, reason string, delay time.Duration) settle {
	var made settle
	var delayMs *int64
	if delay >= 0 {
		ms := delay.Milliseconds()
		delayMs = &ms
	}
	for _, message := range messages {
		made.Nack = append(made.Nack, nackEntry{Lease: message.Lease, DelayMs: delayMs, Reason: shortened(reason)})
	}
	return made
}

func rejected(messages []Message, reason string) settle {
	var made settle
	for _, message := range messages {
		made.Reject = append(made.Reject, rejectEntry{Lease: message.Lease, Reason: shortened(reason)})
	}
	return made
}

func extended(leases []string, ackWait time.Duration) settle {
	var made settle
	for _, lease := range leases {
		made.Extend = append(made.Extend, extendEntry{Lease: lease, AckWaitMs: ackWait.Milliseconds()})
	}
	return made
}

// shortened to as many characters as a reason may have; what is not UTF-8 in it encoding/json mends.
func shortened(reason string) string {
	characters := 0
	for at := range reason {
		if characters == longestReason {
			return reason[:at]
		}
		characters++
	}
	return reason
}

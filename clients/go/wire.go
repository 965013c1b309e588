package fanout

import (
	"encoding/json"
	"fmt"
)

// Requests and answers, as docs/api.md has them.

// mostEntries is how many entries a list of one settle may have.
const mostEntries = 1000

// Header is one header of a record. Kafka allows repeats, and their order counts.
type Header struct {
	Name string
	// Value is nil where the header's is null.
	Value []byte
}

// UnmarshalJSON reads [name, value].
func (header *Header) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a header has a name and a value, this one %d parts", len(pair))
	}
	if err := json.Unmarshal(pair[0], &header.Name); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &header.Value)
}

// Message is one message under a lease of this client.
type Message struct {
	Lease           string `json:"lease"`
	Partition       int32  `json:"partition"`
	Offset          int64  `json:"offset"`
	TimestampUnixMs int64  `json:"timestamp_unix_ms"`
	// DeliveryCount begins at 1.
	DeliveryCount int `json:"delivery_count"`
	// Key and Value are nil where the record's are null, which is not the same as empty.
	Key     []byte   `json:"key"`
	Value   []byte   `json:"value"`
	Headers []Header `json:"headers"`
}

// Header is the value of the first header of that name, and whether there is one.
func (message Message) Header(name string) ([]byte, bool) {
	for _, header := range message.Headers {
		if header.Name == name {
			return header.Value, true
		}
	}
	return nil, false
}

type pullRequest struct {
	Client      string  `json:"client"`
	Group       string  `json:"group,omitempty"`
	ReceiveID   string  `json:"receive_id"`
	Repeat      bool    `json:"repeat,omitempty"`
	MaxMessages int     `json:"max_messages"`
	MaxBytes    int     `json:"max_bytes,omitempty"`
	WaitMs      int64   `json:"wait_ms"`
	AckWaitMs   int64   `json:"ack_wait_ms"`
	Settle      *settle `json:"settle,omitempty"`
}

type pulled struct {
	Batch    string    `json:"batch"`
	Messages []Message `json:"messages"`
	Settled  *settled  `json:"settled"`
}

type nackEntry struct {
	Lease   string `json:"lease"`
	DelayMs *int64 `json:"delay_ms,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

type extendEntry struct {
	Lease     string `json:"lease"`
	AckWaitMs int64  `json:"ack_wait_ms"`
}

type rejectEntry struct {
	Lease  string `json:"lease"`
	Reason string `json:"reason,omitempty"`
}

type settle struct {
	Ack     []string      `json:"ack,omitempty"`
	Nack    []nackEntry   `json:"nack,omitempty"`
	Extend  []extendEntry `json:"extend,omitempty"`
	Reject  []rejectEntry `json:"reject,omitempty"`
	Durable bool          `json:"durable"`
}

func (one *settle) add(other settle) {
	one.Ack = append(one.Ack, other.Ack...)
	one.Nack = append(one.Nack, other.Nack...)
	one.Extend = append(one.Extend, other.Extend...)
	one.Reject = append(one.Reject, other.Reject...)
}

func (one *settle) tokens() []string {
	tokens := append([]string(nil), one.Ack...)
	for _, entry := range one.Nack {
		tokens = append(tokens, entry.Lease)
	}
	for _, entry := range one.Extend {
		tokens = append(tokens, entry.Lease)
	}
	for _, entry := range one.Reject {
		tokens = append(tokens, entry.Lease)
	}
	return tokens
}

type settled struct {
	// Results are of entries that were not plainly done.
	Results []struct {
		Lease  string `json:"lease"`
		Status string `json:"status"`
	} `json:"results"`
}

type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

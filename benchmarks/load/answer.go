package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
)

// answer is what the load generator wants to know of the answer to a pull or a settle.
type answer struct {
	// Null where there is none.
	batch string
	acked int
	// The first bytes of each message's value: see `label` in benchmarks/peers/system.py.
	messages []head
}

type head struct {
	number uint64
	// When the message was produced, Unix time in ns, in runs that stamp it.
	stamp int64
}

// readJSON looks for the fields by their names instead of parsing: a quote inside of a JSON string is escaped, so none
// of these names can be part of a value. It reads as many values as there are and trusts no count.
func readJSON(body []byte, into *answer) error {
	into.batch, into.acked, into.messages = "", 0, into.messages[:0]
	if _, rest, found := bytes.Cut(body, []byte(`"batch":"`)); found {
		token, _, _ := bytes.Cut(rest, []byte(`"`))
		into.batch = string(token)
	}
	// Behind the messages, or in front of them where the server writes it so: one of its fields is "settled".
	if _, rest, found := bytes.Cut(body, []byte(`"acked":`)); found {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		var err error
		if into.acked, err = strconv.Atoi(string(rest[:digits])); err != nil {
			return fmt.Errorf("acked: %w", err)
		}
	}
	var value [18]byte
	for rest := body; ; {
		_, after, found := bytes.Cut(rest, []byte(`"value":"`))
		if !found {
			return nil
		}
		end := bytes.IndexByte(after, '"')
		if end < 0 {
			return fmt.Errorf("a value without an end")
		}
		// 24 characters are 18 bytes: the number and the stamp need 16. Shorter values end in padding.
		encoded := bytes.TrimRight(after[:min(end, 24)], "=")
		size, err := base64.RawStdEncoding.Decode(value[:], encoded)
		if err != nil {
			return fmt.Errorf("a value that is not base64: %w", err)
		}
		one, err := headOf(value[:size])
		if err != nil {
			return err
		}
		into.messages = append(into.messages, one)
		rest = after[end:]
	}
}

func headOf(value []byte) (head, error) {
	if len(value) < 8 {
		return head{}, fmt.Errorf("a value of %d bytes has no number", len(value))
	}
	one := head{number: binary.BigEndian.Uint64(value)}
	if len(value) >= 16 {
		one.stamp = int64(binary.BigEndian.Uint64(value[8:]))
	}
	return one, nil
}

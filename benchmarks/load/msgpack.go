package main

import (
	"encoding/binary"
	"fmt"
)

// readMsgpack walks over an answer, once, and steps over what it does not want.
func readMsgpack(body []byte, into *answer) (err error) {
	into.batch, into.acked, into.messages = "", 0, into.messages[:0]
	// The walker's slices end where the body does: an answer cut short makes Go's own checks panic.
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("no msgpack that can be read: %v", broken)
		}
	}()
	w := &walker{rest: body}
	w.object(func(name string) {
		switch name {
		case "batch":
			into.batch = string(w.bytes())
		case "acked": // of a settle
			into.acked = w.integer()
		case "settled": // of a pull that carried one
			w.object(func(name string) {
				if name == "acked" {
					into.acked = w.integer()
				} else {
					w.skip()
				}
			})
		case "messages":
			for left := w.array(); left > 0; left-- {
				into.messages = append(into.messages, w.message())
			}
		default:
			w.skip()
		}
	})
	return nil
}

type walker struct {
	rest []byte
}

func (w *walker) message() head {
	var one head
	found := false
	w.object(func(name string) {
		if name != "value" {
			w.skip()
			return
		}
		var err error
		if one, err = headOf(w.bytes()); err != nil {
			panic(err)
		}
		found = true
	})
	if !found {
		panic("a message without a value")
	}
	return one
}

func (w *walker) object(field func(name string)) {
	for left := w.length(0x80, 0xde); left > 0; left-- {
		field(string(w.bytes()))
	}
}

func (w *walker) array() int { return w.length(0x90, 0xdc) }

// length reads the head of a map or an array, whose short form has its length in the low 4 bits.
func (w *walker) length(short, long byte) int {
	switch first := w.take(1)[0]; {
	case first&0xf0 == short:
		return int(first & 0x0f)
	case first == long:
		return int(binary.BigEndian.Uint16(w.take(2)))
	case first == long+1:
		return int(binary.BigEndian.Uint32(w.take(4)))
	default:
		panic(fmt.Sprintf("0x%x where a map or an array was to begin", first))
	}
}

// bytes reads a string, bytes, or nil as none.
func (w *walker) bytes() []byte {
	switch first := w.take(1)[0]; {
	case first&0xe0 == 0xa0:
		return w.take(int(first & 0x1f))
	case first == 0xc4, first == 0xd9:
		return w.take(int(w.take(1)[0]))
	case first == 0xc5, first == 0xda:
		return w.take(int(binary.BigEndian.Uint16(w.take(2))))
	case first == 0xc6, first == 0xdb:
		return w.take(int(binary.BigEndian.Uint32(w.take(4))))
	case first == 0xc0:
		return nil
	default:
		panic(fmt.Sprintf("0x%x where a string or bytes were to begin", first))
	}
}

func (w *walker) integer() int {
	switch first := w.take(1)[0]; {
	case first < 0x80:
		return int(first)
	case first == 0xcc:
		return int(w.take(1)[0])
	case first == 0xcd:
		return int(binary.BigEndian.Uint16(w.take(2)))
	case first == 0xce:
		return int(binary.BigEndian.Uint32(w.take(4)))
	case first == 0xcf:
		return int(binary.BigEndian.Uint64(w.take(8)))
	default:
		panic(fmt.Sprintf("0x%x where a count was to begin", first))
	}
}

func (w *walker) skip() {
	switch first := w.rest[0]; {
	case first&0xf0 == 0x80, first == 0xde, first == 0xdf:
		w.object(func(string) { w.skip() })
	case first&0xf0 == 0x90, first == 0xdc, first == 0xdd:
		for left := w.array(); left > 0; left-- {
			w.skip()
		}
	case first&0xe0 == 0xa0, first >= 0xd9 && first <= 0xdb, first >= 0xc4 && first <= 0xc6:
		w.bytes()
	default:
		w.take(1 + widthOf(first))
	}
}

// widthOf is how many bytes follow the first one of nil, a boolean or a number.
func widthOf(first byte) int {
	switch first {
	case 0xcc, 0xd0:
		return 1
	case 0xcd, 0xd1:
		return 2
	case 0xca, 0xce, 0xd2:
		return 4
	case 0xcb, 0xcf, 0xd3:
		return 8
	case 0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		panic(fmt.Sprintf("0x%x is of no answer of ours", first))
	}
	return 0
}

func (w *walker) take(size int) []byte {
	taken := w.rest[:size]
	w.rest = w.rest[size:]
	return taken
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// taker is one client: it pulls and acks until all is acked, one request at a time.
type taker struct {
	course *course
	name   string
	url    string
	client *http.Client

	answer answer
	body   bytes.Buffer
	asked  int
	// Settles that were sent again.
	retries int
	// Whether what it holds is no warm-up.
	counted bool

	pulls, acks, handOuts []time.Duration
}

func newTaker(c *course, number int) *taker {
	return &taker{
		course: c,
		name:   fmt.Sprintf("load %d", number),
		url:    c.urls[number%len(c.urls)],
		client: oneConnection(c.batch),
	}
}

func (t *taker) run() error {
	held, size := "", 0 // the batch that is still to be acked
	for t.course.context.Err() == nil {
		if held != "" && (t.course.apart || t.nothingLeft()) {
			if err := t.settle(held, size); err != nil {
				return err
			}
			held = ""
			continue
		}
		if err := t.pull(held); err != nil {
			return err
		}
		held, size = t.answer.batch, len(t.answer.messages)
	}
	return nil
}

// nothingLeft: the ack would wait for messages that do not come if it rode on a pull.
func (t *taker) nothingLeft() bool {
	return t.course.received.Load() >= int64(t.course.messages)
}

func (t *taker) pull(settle string) error {
	body := t.pullBody(settle, t.wait())
	asked := time.Now()
	if err := t.post("/v1/pull", body); err != nil {
		return err
	}
	t.asked++
	t.note(asked, t.answer.messages)
	if err := t.course.got(t.answer.messages); err != nil {
		return err
	}
	t.course.settled(t.answer.acked)
	return nil
}

// pullBody is a request for messages, with the ack of a batch where there is one.
func (t *taker) pullBody(settle string, wait int) string {
	riding := ""
	if settle != "" {
		riding = `,"settle":` + t.settleBody(settle)
	}
	return fmt.Sprintf(`{"client":"%s","max_messages":%d,"wait_ms":%d%s}`, t.name, t.course.batch, wait, riding)
}

// note times what an answer brought, as soon as it is read and parsed: now a client could begin to work on it.
func (t *taker) note(asked time.Time, messages []head) {
	now := time.Now()
	if t.counted = t.course.counts(messages); !t.counted {
		return
	}
	t.pulls = append(t.pulls, now.Sub(asked))
	if !t.course.stamped {
		return
	}
	for _, one := range messages {
		if one.number >= uint64(t.course.uncounted) {
			t.handOuts = append(t.handOuts, time.Duration(now.UnixNano()-one.stamp))
		}
	}
}

// noteAck times an ack of what was held, from its request to its answer.
func (t *taker) noteAck(asked time.Time) {
	if t.counted {
		t.acks = append(t.acks, time.Since(asked))
	}
}

// rounds are how many answers others may get while a pull is on its way, which a worker with more to do than it can
// serves late. Seen with 32 clients and two cores: pulls sent when there was still one message for each came after two
// rounds of the others, and waited 5 s at the end of a run of 4.
const rounds = 10

// wait is in milliseconds. Short towards the end: others may have the last messages by now, and an ack that rides on
// this pull is not answered before that is over.
func (t *taker) wait() int {
	c := t.course
	if !c.stamped && int64(c.messages)-c.received.Load() <= rounds*int64(c.clients)*int64(c.batch) {
		return 10
	}
	if c.spread && t.asked == 0 {
		return rand.IntN(int(c.wait.Milliseconds()))
	}
	return int(c.wait.Milliseconds())
}

func (t *taker) settleBody(batch string) string {
	if t.course.durable {
		return `{"ack":["` + batch + `"]}`
	}
	return `{"ack":["` + batch + `"],"durable":false}`
}

// settle acks a batch of so many messages. Whether it counts may be unknown, as where Kafka is slow to take the write:
// then it is sent again, as any client has to, until it is known. What was acked the first time does not count again.
func (t *taker) settle(batch string, size int) error {
	asked := time.Now()
	err := t.post("/v1/settle", t.settleBody(batch))
	again := false
	for errors.Is(err, errUnknown) {
		t.retries++
		again = true
		pause(t.course.context, 100*time.Millisecond)
		err = t.post("/v1/settle", t.settleBody(batch))
	}
	if err != nil {
		return err
	}
	t.noteAck(asked)
	if again {
		t.course.settled(size)
	} else {
		t.course.settled(t.answer.acked)
	}
	return nil
}

// errUnknown: whether it counts is not known.
var errUnknown = errors.New("sent again")

// post leaves in `answer` what came.
func (t *taker) post(path, body string) error {
	request, err := http.NewRequestWithContext(t.course.context, "POST", t.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if t.course.msgpack {
		request.Header.Set("Accept", "application/msgpack")
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	t.body.Reset()
	if _, err := io.Copy(&t.body, response.Body); err != nil {
		return err
	}
	switch {
	case response.StatusCode == http.StatusNoContent:
		t.answer = answer{messages: t.answer.messages[:0]}
		return nil
	case response.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: %s: %.300s: %w", path, response.Status, t.body.String(), errUnknown)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %.300s", path, response.Status, t.body.String())
	case t.course.msgpack:
		return readMsgpack(t.body.Bytes(), &t.answer)
	default:
		return readJSON(t.body.Bytes(), &t.answer)
	}
}

package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeWorker is as much of fanout as a client sees: each message once, and acks by batch.
type fakeWorker struct {
	sync.Mutex
	messages, next int
	// How long ago every message was produced, when it is handed out.
	age     time.Duration
	batches []int
	waits   []int
	settles int
	// Acks one message less than there are.
	forgets bool
	// Settles that ask to be answered before they are written.
	undurable int
	// Of so many settles the answer is that nobody knows, though they count.
	unknown int
}

type asked struct {
	MaxMessages int `json:"max_messages"`
	WaitMs      int `json:"wait_ms"`
	settled
	Settle settled
}

type settled struct {
	Ack     []string
	Durable *bool
}

func (f *fakeWorker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	defer f.Unlock()
	var given asked
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		panic(err)
	}
	for _, settle := range []settled{given.settled, given.Settle} {
		if settle.Durable != nil && !*settle.Durable {
			f.undurable++
		}
	}
	if r.URL.Path == "/v1/settle" {
		f.settles++
		if f.unknown > 0 {
			f.unknown--
			f.acked(given.Ack)
			http.Error(w, "is it written?", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"acked":%d,"nacked":0}`, f.acked(given.Ack))
		return
	}
	f.waits = append(f.waits, given.WaitMs)
	acked := f.acked(given.Settle.Ack)
	var values []string
	for ; f.next < f.messages && len(values) < given.MaxMessages; f.next++ {
		bytes := value(uint64(f.next), 100)
		binary.BigEndian.PutUint64(bytes[8:], uint64(time.Now().Add(-f.age).UnixNano()))
		values = append(values, `{"lease":"L","value":"`+base64.StdEncoding.EncodeToString(bytes)+`"}`)
	}
	f.batches = append(f.batches, len(values))
	fmt.Fprintf(w, `{"batch":"%d","messages":[%s],"settled":{"acked":%d}}`,
		len(f.batches)-1, strings.Join(values, ","), acked)
}

func (f *fakeWorker) acked(batches []string) int {
	acked := 0
	for _, token := range batches {
		number, err := strconv.Atoi(token)
		if err != nil {
			panic(err)
		}
		acked += f.batches[number]
		f.batches[number] = 0
	}
	if f.forgets && acked > 0 {
		acked--
	}
	return acked
}

func TestStampedMessagesAreTimedFromTheirStamp(t *testing.T) {
	const age = 250 * time.Millisecond
	served := &fakeWorker{messages: 50, age: age}
	result, err := drainOf(t, served, "", "-stamped", "-apart", "-uncounted", "20", "-batch", "10", "-clients", "1")
	if err != nil {
		t.Fatal(err)
	}
	if result.Messages != 30 || result.Duplicates != 0 {
		t.Errorf("%+v", result)
	}
	if result.HandOut == nil || result.HandOut.P50 < 250 || result.HandOut.P50 > 2000 {
		t.Errorf("produced %v before it came: %+v", age, result.HandOut)
	}
	if served.settles != 5 || result.Ack == nil {
		t.Errorf("%d settles, timed as %+v", served.settles, result.Ack)
	}
}

func TestEveryAckSaysWhetherItIsToBeDurable(t *testing.T) {
	for _, apart := range []string{"-apart", "-apart=false"} {
		for durable, want := range map[string]int{"-durable": 0, "-durable=false": 5} {
			served := &fakeWorker{messages: 50}
			if _, err := drainOf(t, served, "", apart, durable, "-batch", "10", "-clients", "1"); err != nil {
				t.Fatal(err)
			}
			if served.undurable != want {
				t.Errorf("%s %s: %d not durable, not %d", apart, durable, served.undurable, want)
			}
		}
	}
}

func TestAckThatMayCountIsSentAgain(t *testing.T) {
	served := &fakeWorker{messages: 50, unknown: 3}
	result, err := drainOf(t, served, "", "-apart", "-batch", "10", "-clients", "1")
	if err != nil {
		t.Fatal(err)
	}
	if result.Messages != 50 || result.Retries != 3 || served.settles != 8 {
		t.Errorf("%+v, %d settles", result, served.settles)
	}
	if result.Ack.P99 < 300 {
		t.Errorf("acks that were sent again took as long as all tries: %+v", result.Ack)
	}
}

func TestWarmUpIsNotTimed(t *testing.T) {
	c := &course{options: options{urls: []string{""}, stamped: true, uncounted: 20}}
	one := newTaker(c, 0)
	produced := time.Now().UnixNano()
	one.note(time.Now(), []head{{18, produced}, {19, produced}})
	one.noteAck(time.Now())
	if len(one.pulls)+len(one.handOuts)+len(one.acks) != 0 {
		t.Errorf("timed: %v, %v, %v", one.pulls, one.handOuts, one.acks)
	}
	one.note(time.Now(), []head{{19, produced}, {20, produced}, {21, produced}})
	one.noteAck(time.Now())
	if len(one.pulls) != 1 || len(one.handOuts) != 2 || len(one.acks) != 1 {
		t.Errorf("timed: %v, %v, %v", one.pulls, one.handOuts, one.acks)
	}
}

func TestFirstPullsAreSpread(t *testing.T) {
	served := &fakeWorker{messages: 50}
	if _, err := drainOf(t, served, "", "-stamped", "-spread", "-wait", "50s", "-apart", "-batch", "1"); err != nil {
		t.Fatal(err)
	}
	first, whole := map[int]bool{}, 0
	for _, wait := range served.waits {
		if wait == 50_000 {
			whole++
		} else {
			first[wait] = true
		}
	}
	if len(first) == 0 || len(first) > 4 || whole < 46 {
		t.Errorf("4 clients waited for %v ms at first, %d pulls as long as they may", first, whole)
	}
}

func TestNothingIsLeftToCount(t *testing.T) {
	if result, err := drainOf(t, &fakeWorker{messages: 50}, "", "-uncounted", "50"); err == nil {
		t.Errorf("answered %+v", result)
	}
}

func workOf(t *testing.T, served *fakeWorker) (*workResult, error) {
	server := httptest.NewServer(served)
	t.Cleanup(server.Close)
	return work([]string{
		"-urls", server.URL, "-clients", "4", "-batch", "5", "-work", "2ms", "-warm-up", "50ms", "-for", "200ms"})
}

func TestWork(t *testing.T) {
	served := &fakeWorker{messages: 1 << 20}
	result, err := workOf(t, served)
	if err != nil {
		t.Fatal(err)
	}
	if result.Ideal != 2000 || result.Rate > result.Ideal || result.Rate < 0.1*result.Ideal {
		t.Errorf("%+v", result)
	}
	if result.Messages%5 != 0 || result.Messages > served.next || served.settles != 0 {
		t.Errorf("%+v of %d handed out, %d settles by themselves", result, served.next, served.settles)
	}
}

func TestWorkNeedsMessagesEnough(t *testing.T) {
	if result, err := workOf(t, &fakeWorker{messages: 100}); err == nil {
		t.Errorf("answered %+v", result)
	}
}

func TestWorkWithAcksThatDoNotCount(t *testing.T) {
	if result, err := workOf(t, &fakeWorker{messages: 1 << 20, forgets: true}); err == nil {
		t.Errorf("answered %+v", result)
	}
}

package fanout

import (
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"
)

func batchOf(leases ...string) *Batch {
	batch := &Batch{token: "batch"}
	for _, lease := range leases {
		batch.Messages = append(batch.Messages, Message{Lease: lease})
	}
	return batch
}

func answering(statuses ...string) settled {
	var answer settled
	for at := 0; at < len(statuses); at += 2 {
		answer.Results = append(answer.Results, struct {
			Lease  string `json:"lease"`
			Status string `json:"status"`
		}{statuses[at], statuses[at+1]})
	}
	return answer
}

func noted(lost *[]string) *unsettled {
	return newUnsettled(func(token, status string) { *lost = append(*lost, token+" "+status) })
}

func TestWhatBecomesOfABatch(t *testing.T) {
	batch := batchOf("a", "b", "c")
	batch.Nack(batch.Messages[0], "later", 1500*time.Millisecond)
	batch.Reject(batch.Messages[1], "never")
	made := batch.settle(nil)
	if !reflect.DeepEqual(made.Ack, []string{"batch"}) || *made.Nack[0].DelayMs != 1500 || made.Reject[0].Lease != "b" {
		t.Errorf("got %+v", made)
	}
	failed := batch.settle(errors.New("no"))
	if len(failed.Ack) != 0 || len(failed.Nack) != 2 || failed.Nack[1].Reason != "no" || failed.Nack[1].DelayMs != nil {
		t.Errorf("got %+v", failed)
	}
	if made := batchOf("a").settle(&Reject{Reason: "bad"}); len(made.Reject) != 1 || len(made.Nack) != 0 {
		t.Errorf("got %+v", made)
	}
}

func TestAnswersOfSettles(t *testing.T) {
	for name, test := range map[string]struct {
		answer settled
		want   []string
		lost   []string
	}{
		"done":                      {answer: answering()},
		"late":                      {answer: answering("batch", "late")},
		"settled already":           {answer: answering("batch", "already_settled")},
		"may not count":             {answer: answering("batch", "retry"), want: []string{"batch"}},
		"its partition has moved":   {answer: answering("batch", "lease_lost"), want: []string{"a", "b"}},
		"a lease of it had ended":   {answer: answering("b", "not_in_batch", "c", "not_in_batch"), want: []string{"b"}},
		"what was nacked is lost":   {answer: answering("c", "lease_lost"), lost: []string{"c lease_lost"}},
		"of a topic that was reset": {answer: answering("batch", "gone"), lost: []string{"batch gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			var lost []string
			some := noted(&lost)
			batch := batchOf("a", "b", "c")
			batch.Nack(batch.Messages[2], "", -1)
			some.add(batch.settle(nil), batch)
			sent, _ := some.toSend()
			some.answered(sent, test.answer)
			var left []string
			if next, _ := some.toSend(); next != nil {
				left = next.tokens()
			}
			if !reflect.DeepEqual(left, test.want) || !reflect.DeepEqual(lost, test.lost) {
				t.Errorf("sends %v next, has lost %v", left, lost)
			}
		})
	}
}

func TestNoRequestHasMoreEntriesThanItMay(t *testing.T) {
	var lost []string
	some := noted(&lost)
	var made settle
	for number := range mostEntries + 1 {
		made.Ack = append(made.Ack, strconv.Itoa(number))
	}
	some.add(made, nil)
	sent, left := some.toSend()
	if len(sent.Ack) != mostEntries || left != 1 {
		t.Errorf("sends %d, leaves %d", len(sent.Ack), left)
	}
	some.answered(sent, settled{})
	if sent, left = some.toSend(); len(sent.Ack) != 1 || left != 0 {
		t.Errorf("sends %d, leaves %d", len(sent.Ack), left)
	}
}

func TestLeasesAreExtendedAtTwoThirds(t *testing.T) {
	held := newHeld(30*time.Second, nil, nil)
	held.take([]Message{{Lease: "a"}, {Lease: "b"}})
	now := time.Now()
	if leases, pause := held.next(now); len(leases) != 0 || pause < 19*time.Second || pause > 20*time.Second {
		t.Errorf("extends %v, waits %v", leases, pause)
	}
	held.end([]Message{{Lease: "b"}})
	leases, pause := held.next(now.Add(20 * time.Second))
	if !reflect.DeepEqual(leases, []string{"a"}) || pause != 20*time.Second {
		t.Errorf("extends %v, waits %v", leases, pause)
	}
}

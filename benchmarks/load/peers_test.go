package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// onePartition is as much of kafka-pixy as a client sees: it hands out each offset once and notes the acks.
type onePartition struct {
	sync.Mutex
	messages, next int
	acked          map[int]int
	byThemselves   int
	refuseAcks     bool
}

func (p *onePartition) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Lock()
	defer p.Unlock()
	query := r.URL.Query()
	if strings.HasSuffix(r.URL.Path, "/acks") {
		if p.refuseAcks {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		p.byThemselves++
		p.note(query.Get("partition"), query.Get("offset"))
		return
	}
	if !query.Has("noAck") {
		p.note(query.Get("ackPartition"), query.Get("ackOffset"))
	}
	if p.next == p.messages {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	json.NewEncoder(w).Encode(offered{Partition: 3, Offset: 100 + p.next, Value: value(uint64(p.next), 100)})
	p.next++
}

func (p *onePartition) note(partition, offset string) {
	number, err := strconv.Atoi(offset)
	if err != nil || partition != "3" {
		panic(fmt.Sprintf("an ack of partition %q, offset %q", partition, offset))
	}
	p.acked[number-100]++
}

func drainOf(t *testing.T, handler http.Handler, path string, more ...string) (*drainResult, error) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return drain(append([]string{"-urls", server.URL + path, "-messages", "50", "-clients", "4"}, more...))
}

func TestPixy(t *testing.T) {
	for _, apart := range []bool{false, true} {
		served := &onePartition{messages: 50, acked: map[int]int{}}
		more := []string{"-protocol", "pixy", "-group", "g"}
		if apart {
			more = append(more, "-apart")
		}
		result, err := drainOf(t, served, "/topics/t", more...)
		if err != nil {
			t.Fatal(err)
		}
		if result.Messages != 50 || result.Duplicates != 0 || len(served.acked) != 50 {
			t.Errorf("%+v, of which %d acked", result, len(served.acked))
		}
		for number, times := range served.acked {
			if times != 1 {
				t.Errorf("message %d is acked %d times", number, times)
			}
		}
		if apart != (served.byThemselves == 50) {
			t.Errorf("%d acks by themselves, apart: %v", served.byThemselves, apart)
		}
	}
}

func TestPixyThatRefusesAnAck(t *testing.T) {
	served := &onePartition{messages: 50, acked: map[int]int{}, refuseAcks: true}
	if result, err := drainOf(t, served, "/topics/t", "-protocol", "pixy", "-group", "g"); err == nil {
		t.Errorf("answered %+v", result)
	}
}

// queue is as much of SQS as a client sees.
type queue struct {
	sync.Mutex
	messages, next int
	most           int
	deleted        map[string]int
	refuse         string
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.Lock()
	defer q.Unlock()
	var asked struct {
		QueueUrl            string
		MaxNumberOfMessages int
		Entries             []entry
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !strings.HasSuffix(asked.QueueUrl, "/q") {
		panic(fmt.Sprintf("%v of queue %q", err, asked.QueueUrl))
	}
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" {
		q.most = asked.MaxNumberOfMessages
		var messages []map[string]string
		for ; q.next < q.messages && len(messages) < q.most; q.next++ {
			handle := fmt.Sprint("handle ", q.next)
			messages = append(messages, map[string]string{"Body": fmt.Sprintf("%016x0000", q.next), "ReceiptHandle": handle})
		}
		json.NewEncoder(w).Encode(map[string]any{"Messages": messages})
		return
	}
	answer := map[string][]map[string]string{}
	for _, one := range asked.Entries {
		outcome := "Successful"
		if one.ReceiptHandle == q.refuse {
			outcome = "Failed"
		} else {
			q.deleted[one.ReceiptHandle]++
		}
		answer[outcome] = append(answer[outcome], map[string]string{"Id": one.Id})
	}
	json.NewEncoder(w).Encode(answer)
}

func TestSqs(t *testing.T) {
	served := &queue{messages: 50, deleted: map[string]int{}}
	result, err := drainOf(t, served, "/q", "-protocol", "sqs", "-batch", "500")
	if err != nil {
		t.Fatal(err)
	}
	if result.Messages != 50 || result.Duplicates != 0 || len(served.deleted) != 50 || served.most != 10 {
		t.Errorf("%+v, of which %d deleted, %d at once", result, len(served.deleted), served.most)
	}
}

func TestSqsThatDoesNotDelete(t *testing.T) {
	served := &queue{messages: 50, deleted: map[string]int{}, refuse: "handle 7"}
	if result, err := drainOf(t, served, "/q", "-protocol", "sqs", "-batch", "10"); err == nil {
		t.Errorf("answered %+v", result)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// offered is a message as kafka-pixy answers it, one a request.
type offered struct {
	Partition int    `json:"partition"`
	Offset    int    `json:"offset"`
	Value     []byte `json:"value"`
}

// runPixy takes messages from kafka-pixy over HTTP until all is acked.
func runPixy(t *taker) error {
	var held *offered // still to be acked
	for t.course.context.Err() == nil {
		if held != nil && (t.course.apart || fewLeft(t.course)) {
			if err := ackPixy(t, held); err != nil {
				return err
			}
			held = nil
			continue
		}
		next, err := takePixy(t, held)
		if err != nil {
			return err
		}
		held = next
	}
	return nil
}

// fewLeft: the ack that rides on a request is answered with the next message only, which others may have by now.
func fewLeft(c *course) bool {
	return int64(c.messages)-c.received.Load() <= int64(c.clients)
}

func takePixy(t *taker, held *offered) (*offered, error) {
	query := "/messages?group=" + t.course.group
	if held == nil {
		query += "&noAck"
	} else {
		query += "&ackPartition=" + strconv.Itoa(held.Partition) + "&ackOffset=" + strconv.Itoa(held.Offset)
	}
	asked := time.Now()
	status, err := askPixy(t, "GET", query)
	if err != nil {
		return nil, err
	}
	t.asked++
	if held != nil {
		// Whatever the answer: the ack comes first.
		t.course.settled(1)
	}
	switch status {
	case http.StatusOK:
	case http.StatusRequestTimeout: // nothing there
		return nil, nil
	case http.StatusTooManyRequests: // too many wait already: kafka-pixy asks to back off
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.course.context.Done():
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("%s: status %d: %.300s", query, status, t.body.String())
	}
	var next offered
	if err := json.Unmarshal(t.body.Bytes(), &next); err != nil {
		return nil, err
	}
	one, err := headOf(next.Value)
	if err != nil {
		return nil, err
	}
	came := []head{one}
	t.note(asked, came)
	return &next, t.course.got(came)
}

func ackPixy(t *taker, held *offered) error {
	asked := time.Now()
	query := fmt.Sprintf("/acks?group=%s&partition=%d&offset=%d", t.course.group, held.Partition, held.Offset)
	status, err := askPixy(t, "POST", query)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: status %d: %.300s", query, status, t.body.String())
	}
	t.noteAck(asked)
	t.course.settled(1)
	return nil
}

// askPixy leaves in `body` what came.
func askPixy(t *taker, method, query string) (int, error) {
	request, err := http.NewRequestWithContext(t.course.context, method, t.url+query, nil)
	if err != nil {
		return 0, err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	t.body.Reset()
	_, err = io.Copy(&t.body, response.Body)
	return response.StatusCode, err
}

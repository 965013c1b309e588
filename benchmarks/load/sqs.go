package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const mostAtOnce = 10 // by the limits of SQS

type received struct {
	Messages []struct {
		Body          string
		ReceiptHandle string
	}
}

type entry struct {
	Id            string
	ReceiptHandle string
}

type deleted struct {
	Successful []struct{ Id string }
	Failed     []struct{ Id, Message string }
}

// runSqs receives from a queue, and deletes what it received, until all is deleted. A queue has text: the numbers are
// hexadecimal, 16 digits each.
func runSqs(t *taker) error {
	most := min(t.course.batch, mostAtOnce)
	for t.course.context.Err() == nil {
		entries, err := receiveSqs(t, most)
		if err == nil && len(entries) > 0 {
			err = deleteSqs(t, entries)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func receiveSqs(t *taker, most int) ([]entry, error) {
	asked := time.Now()
	var answer received
	body := map[string]any{"QueueUrl": t.url, "MaxNumberOfMessages": most, "WaitTimeSeconds": 1}
	if err := askSqs(t, "ReceiveMessage", body, &answer); err != nil {
		return nil, err
	}
	t.asked++
	if len(answer.Messages) == 0 {
		return nil, nil
	}
	heads := make([]head, 0, mostAtOnce)
	entries := make([]entry, 0, mostAtOnce)
	for index, one := range answer.Messages {
		if len(one.Body) < 16 {
			return nil, fmt.Errorf("a message of %d digits", len(one.Body))
		}
		number, err := strconv.ParseUint(one.Body[:16], 16, 64)
		if err != nil {
			return nil, err
		}
		heads = append(heads, head{number: number})
		entries = append(entries, entry{strconv.Itoa(index), one.ReceiptHandle})
	}
	t.note(asked, heads)
	return entries, t.course.got(heads)
}

func deleteSqs(t *taker, entries []entry) error {
	asked := time.Now()
	var answer deleted
	body := map[string]any{"QueueUrl": t.url, "Entries": entries}
	if err := askSqs(t, "DeleteMessageBatch", body, &answer); err != nil {
		return err
	}
	if len(answer.Failed) > 0 {
		return fmt.Errorf("not deleted: %v", answer.Failed)
	}
	t.noteAck(asked)
	t.course.settled(len(answer.Successful))
	return nil
}

func askSqs(t *taker, action string, body any, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(t.course.context, "POST", t.url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	t.body.Reset()
	if _, err := io.Copy(&t.body, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.300s", action, response.Status, t.body.String())
	}
	return json.Unmarshal(t.body.Bytes(), into)
}

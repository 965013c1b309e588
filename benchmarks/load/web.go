package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// webResult is what a web server does for whoever only asks.
type webResult struct {
	Requests int                `json:"requests"`
	Seconds  float64            `json:"seconds"`
	Cpu      map[string]float64 `json:"cpu"`
	Request  *percentiles       `json:"request"`
}

// web posts the same body again and again.
func web(arguments []string) (*webResult, error) {
	flags := flag.NewFlagSet("web", flag.ExitOnError)
	url := flags.String("url", "", "where to post")
	requests := flags.Int("requests", 10_000, "how many requests in all")
	clients := flags.Int("clients", 1, "connections")
	body := flags.String("body", `{"client":"load 0","max_messages":1}`, "what to post")
	pids := flags.String("pids", "", "whose CPU to count: NAME=PID,PID;NAME=PID")
	flags.Parse(arguments)
	meter, err := newMeter(*pids)
	if err != nil {
		return nil, err
	}
	before, err := meter.read()
	if err != nil {
		return nil, err
	}
	left := atomic.Int64{}
	left.Store(int64(*requests))
	durations := make([][]time.Duration, *clients)
	faults := make(chan error, *clients)
	var all sync.WaitGroup
	began := time.Now()
	for number := range *clients {
		all.Add(1)
		go func() {
			defer all.Done()
			client := oneConnection(1)
			for left.Add(-1) >= 0 {
				asked := time.Now()
				if err := postOnce(client, *url, *body); err != nil {
					faults <- err
					return
				}
				durations[number] = append(durations[number], time.Since(asked))
			}
		}()
	}
	all.Wait()
	seconds := time.Since(began).Seconds()
	after, err := meter.read()
	if err != nil {
		return nil, err
	}
	select {
	case err := <-faults:
		return nil, err
	default:
	}
	timed := joined(durations)
	return &webResult{len(timed), seconds, difference(after, before), percentilesOf(timed)}, nil
}

func postOnce(client *http.Client, url, body string) error {
	response, err := client.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

func joined(parts [][]time.Duration) []time.Duration {
	var all []time.Duration
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

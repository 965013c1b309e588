package fanout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// grace is how long an answer may take on top of what its pull waits (docs/api.md, Errors), and as long again.
	grace = 10 * time.Second
	// The pause before the second attempt; each one more is twice as long, up to longestPause. Half of it is by chance.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// mostRedirects are those of one request (docs/api.md, Routing).
	mostRedirects = 2
	typeMoving    = "urn:fanout:problem:moving"
)

// request is what to send, given how many attempts were made before, and how long its answer may take.
type request struct {
	path    string
	body    func(attempts int) any
	timeout time.Duration
}

// call sends a request until a worker answers it, and reads the answer into `into`.
//
// It returns an error where it would be answered the same wherever and whenever it is asked, or that of ctx.
func (client *Client) call(ctx context.Context, asked request, into any) error {
	for attempts := 0; ; attempts++ {
		base := client.addresses.current(time.Now())
		again, err := client.attempt(ctx, base, asked, attempts, into)
		if err != nil || again == nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !again.moving {
			client.addresses.failed(base, time.Now())
		}
		pause := again.after + pauseAfter(attempts)
		level := client.options.Logger.Debug
		if attempts == 0 {
			level = client.options.Logger.Warn
		}
		level("fanout: asking again", "worker", base, "why", again.why, "in", pause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// again says why a request is to be sent once more.
type again struct {
	why   string
	after time.Duration
	// moving: it would be the same at any other worker.
	moving bool
}

// attempt asks one worker, and those it names.
func (client *Client) attempt(ctx context.Context, base string, asked request, attempts int, into any) (*again, error) {
	body, err := json.Marshal(asked.body(attempts))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, asked.timeout)
	defer cancel()
	at := base + asked.path
	for redirects := 0; ; redirects++ {
		status, header, answer, err := client.send(ctx, at, body)
		if err != nil {
			return &again{why: err.Error()}, nil
		}
		switch {
		case status == http.StatusNoContent:
			return nil, nil
		case status == http.StatusOK:
			if err := json.Unmarshal(answer, into); err != nil {
				return &again{why: "an answer that cannot be read: " + err.Error()}, nil
			}
			return nil, nil
		case status == http.StatusTemporaryRedirect && redirects < mostRedirects:
			if at, err = client.elsewhere(at, header.Get("Location")); err != nil {
				return nil, err
			}
			continue
		case status == http.StatusTemporaryRedirect:
			return &again{why: "redirected too often", moving: true}, nil
		}
		var said problem
		_ = json.Unmarshal(answer, &said) // a proxy's page, say, is no problem of ours
		if status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500 {
			seconds, _ := strconv.Atoi(header.Get("Retry-After"))
			why := fmt.Sprintf("%d %s", status, said.Detail)
			return &again{why: why, after: time.Duration(seconds) * time.Second, moving: said.Type == typeMoving}, nil
		}
		return nil, refused(status, said)
	}
}

func (client *Client) send(ctx context.Context, at string, body []byte) (int, http.Header, []byte, error) {
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	asked.Header.Set("Content-Type", "application/json")
	asked.Header.Set("Accept", "application/json")
	if client.options.Token != "" {
		asked.Header.Set("Authorization", "Bearer "+client.options.Token)
	}
	response, err := client.http.Do(asked)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which the log has beside it
		}
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, answer, err
}

func (client *Client) elsewhere(from, location string) (string, error) {
	base, err := url.Parse(from)
	if err != nil {
		return "", err
	}
	to, err := base.Parse(location)
	if err != nil {
		return "", err
	}
	address, err := origin(to.String())
	if err != nil {
		return "", err
	}
	if client.options.Token != "" && !client.addresses.has(address) {
		return "", &UnknownAddressError{Address: address}
	}
	return to.String(), nil
}

func pauseAfter(attempts int) time.Duration {
	longest := longestPause
	if attempts < 6 {
		longest = min(longestPause, firstPause<<attempts)
	}
	return longest/2 + rand.N(longest/2)
}

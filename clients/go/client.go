package fanout

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"
)

// connectWithin is more than connecting to a worker takes that is there.
const connectWithin = 5 * time.Second

// Options of a client; what is left out has its default.
type Options struct {
	// Name says who asks: what fails at one client goes to another one. Default: a name that nobody else has.
	Name string
	// Group is the one whose share this client takes part in. Default: the token's, else "stable".
	Group string
	// Token is sent as "Authorization: Bearer", to this client's own addresses alone.
	Token string
	// AckWait is how long a lease lasts, 50 ms to 12 h. It is extended while its message is handled; this is how long it
	// takes another client to get what one that died had. Default: 30 s.
	AckWait time.Duration
	// Wait is how long one request waits for a message, up to 50 s; the next one follows at once. Default: 20 s.
	Wait time.Duration
	// MaxBytes is what an answer should not exceed by more than a message, to 16 MiB. Default: the cluster's, 1 MiB.
	MaxBytes int
	// NotDurable has an ack answered before Kafka has it. A worker that crashes may forget it: the message comes again.
	NotDurable bool
	// Drain is how long handlers have to end once no more messages are taken. Default: 30 s.
	Drain time.Duration
	// TLS is for workers at https://: the CA in RootCAs, a certificate of this client in Certificates. Default: the
	// system's CAs.
	TLS *tls.Config
	// HTTP is what requests are sent by, in place of one of this client, TLS and all. It must not follow redirects.
	HTTP *http.Client
	// Logger is told, at warning, of what is wrong. Default: slog's.
	Logger *slog.Logger
}

// Client takes messages from a cluster of fanout workers and settles them. It may be used by many goroutines at once.
type Client struct {
	addresses *addresses
	options   Options
	http      *http.Client
	// alone: nobody else has this name, and it may leave.
	alone bool
}

// New makes a client of these workers, as http://HOST:PORT, any or all of them.
func New(workers []string, options Options) (*Client, error) {
	known, err := newAddresses(workers)
	if err != nil {
		return nil, err
	}
	client := &Client{addresses: known, options: options, http: options.HTTP}
	defaults := &client.options
	if defaults.Name == "" {
		defaults.Name = madeUpName()
		// To leave is for admins, where tokens are asked for.
		client.alone = defaults.Token == ""
	}
	if defaults.AckWait == 0 {
		defaults.AckWait = 30 * time.Second
	}
	if defaults.Wait == 0 {
		defaults.Wait = 20 * time.Second
	}
	if defaults.Drain == 0 {
		defaults.Drain = 30 * time.Second
	}
	if defaults.Logger == nil {
		defaults.Logger = slog.Default()
	}
	if defaults.TLS != nil && defaults.HTTP != nil {
		return nil, errors.New("Options.TLS is of no use beside Options.HTTP: give that one its TLSClientConfig")
	}
	if defaults.AckWait < 50*time.Millisecond || defaults.AckWait > 12*time.Hour {
		return nil, errors.New("Options.AckWait is 50 ms to 12 h")
	}
	if defaults.Wait < 0 || defaults.Wait > 50*time.Second {
		return nil, errors.New("Options.Wait is at most 50 s")
	}
	if client.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		// Each handler waits with a request of its own, at one worker.
		transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1<<16
		if defaults.TLS != nil {
			transport.TLSClientConfig = defaults.TLS.Clone()
		}
		client.http = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return client, nil
}

func madeUpName() string {
	var random [4]byte
	_, _ = rand.Read(random[:])
	host, err := os.Hostname()
	if err != nil {
		host = "client"
	}
	return fmt.Sprintf("%.100s-%d-%s", host, os.Getpid(), hex.EncodeToString(random[:]))
}

// Pull takes up to so many messages, 1 to 1000; none come back where none came within wait. Their leases are not
// extended by themselves.
func (client *Client) Pull(ctx context.Context, most int, wait time.Duration) (*Batch, error) {
	return client.pull(ctx, pullOf{most: most, wait: wait, name: receiveID()}, newUnsettled(client.lost))
}

// Ack says that messages are done. It returns when that is durable.
func (client *Client) Ack(ctx context.Context, messages ...Message) error {
	return client.settleThese(ctx, acked(messages))
}

// Nack says that messages are for other clients, after delay (negative: the cluster's backoff).
func (client *Client) Nack(ctx context.Context, reason string, delay time.Duration, messages ...Message) error {
	return client.settleThese(ctx, nacked(messages, reason, delay))
}

// Reject says that nobody shall get messages again: they go to the dead-letter topic, or are parked.
func (client *Client) Reject(ctx context.Context, reason string, messages ...Message) error {
	return client.settleThese(ctx, rejected(messages, reason))
}

// Extend has the leases of messages last for ackWait from now on.
func (client *Client) Extend(ctx context.Context, ackWait time.Duration, messages ...Message) error {
	leases := make([]string, 0, len(messages))
	for _, message := range messages {
		leases = append(leases, message.Lease)
	}
	return client.settleThese(ctx, extended(leases, ackWait))
}

func (client *Client) settleThese(ctx context.Context, made settle) error {
	some := newUnsettled(client.lost)
	some.add(made, nil)
	return client.settle(ctx, some)
}

// pullOf is what one pull asks for.
type pullOf struct {
	most int
	wait time.Duration
	// name is the pull's: whoever repeats it gets what it was answered with, if that was lost on the way.
	name   string
	repeat bool
}

// pull settles what goes into one request, and waits for messages.
func (client *Client) pull(ctx context.Context, asked pullOf, some *unsettled) (*Batch, error) {
	sent, left := some.toSend()
	if sent != nil {
		sent.Durable = !client.options.NotDurable
		// What rides along is answered with the messages, and may have to be sent again before its leases end.
		asked.wait = min(asked.wait, client.options.AckWait/3)
	}
	if left > 0 {
		asked.wait = 0
	}
	body := func(attempts int) any {
		return pullRequest{
			Client:      client.options.Name,
			Group:       client.options.Group,
			ReceiveID:   asked.name,
			Repeat:      asked.repeat || attempts > 0,
			MaxMessages: asked.most,
			MaxBytes:    client.options.MaxBytes,
			WaitMs:      asked.wait.Milliseconds(),
			AckWaitMs:   client.options.AckWait.Milliseconds(),
			Settle:      sent,
		}
	}
	var answer pulled
	if err := client.call(ctx, request{"/v1/pull", body, asked.wait + grace}, &answer); err != nil {
		return nil, err
	}
	if sent != nil && answer.Settled != nil {
		some.answered(sent, *answer.Settled)
	}
	return &Batch{Messages: answer.Messages, token: answer.Batch}, nil
}

// settle until it is known what became of all of it.
func (client *Client) settle(ctx context.Context, some *unsettled) error {
	for attempts := 0; some.len() > 0; {
		left := some.len()
		sent, _ := some.toSend()
		sent.Durable = !client.options.NotDurable
		var answer settled
		asked := request{"/v1/settle", func(int) any { return sent }, grace}
		if err := client.call(ctx, asked, &answer); err != nil {
			return err
		}
		some.answered(sent, answer)
		if some.len() < left {
			attempts = 0
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pauseAfter(attempts)):
			attempts++
		}
	}
	return nil
}

func (client *Client) extend(ctx context.Context, leases []string) (settled, error) {
	made := extended(leases, client.options.AckWait)
	made.Durable = true
	var answer settled
	err := client.call(ctx, request{"/v1/settle", func(int) any { return made }, grace}, &answer)
	return answer, err
}

func (client *Client) lost(token, status string) {
	client.options.Logger.Warn("fanout: a settle counts for nothing", "status", status)
}

// Leave says that nobody of this client's name is there any more, so that nothing is kept for it. Only a client whose
// name nobody else has does so; if it fails, time tells.
func (client *Client) leave(ctx context.Context) {
	if !client.alone {
		return
	}
	at := client.addresses.current(time.Now()) + "/v1/clients/" + url.PathEscape(client.options.Name)
	asked, err := http.NewRequestWithContext(ctx, http.MethodDelete, at, nil)
	if err != nil {
		return
	}
	if response, err := client.http.Do(asked); err == nil {
		_ = response.Body.Close()
	}
}

func receiveID() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

package fanout

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serving answers every request by this handler.
func serving(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func newClient(t *testing.T, options Options, workers ...string) *Client {
	t.Helper()
	client, err := New(workers, options)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const oneMessage = `{"batch": "b", "messages": [{"lease": "l", "partition": 1, "offset": 7, "delivery_count": 2,
	"key": null, "value": "AP8=", "headers": [["a", "MQ=="], ["b", null]]}]}`

func TestAMessageIsReadAsItIs(t *testing.T) {
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(oneMessage)) })
	batch, err := newClient(t, Options{}, at).Pull(within(t), 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	message := batch.Messages[0]
	if message.Key != nil || string(message.Value) != "\x00\xff" || message.Offset != 7 || message.DeliveryCount != 2 {
		t.Errorf("got %+v", message)
	}
	if value, there := message.Header("a"); !there || string(value) != "1" {
		t.Errorf("header a is %q", value)
	}
	if value, there := message.Header("b"); !there || value != nil {
		t.Errorf("header b is %q", value)
	}
}

func TestAWorkerAtHTTPSIsAskedByWhoTrustsItsCA(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(oneMessage))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	options := Options{TLS: &tls.Config{RootCAs: trusted}}
	batch, err := newClient(t, options, server.URL).Pull(within(t), 1, time.Second)
	if err != nil || len(batch.Messages) != 1 {
		t.Fatal(batch, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if batch, err := newClient(t, Options{}, server.URL).Pull(ctx, 1, time.Second); err == nil {
		t.Errorf("without its CA: %v", batch)
	}
	if _, err := New([]string{server.URL}, Options{TLS: &tls.Config{}, HTTP: http.DefaultClient}); err == nil {
		t.Error("TLS beside HTTP is taken")
	}
}

func TestWhatIsNotAnsweredIsSentAgainElsewhereAndSaysSo(t *testing.T) {
	var bodies atomic.Int32
	var repeated atomic.Bool
	good := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body := new(strings.Builder)
		_, _ = body.WriteString(read(r))
		repeated.Store(strings.Contains(body.String(), `"repeat":true`))
		bodies.Add(1)
		_, _ = w.Write([]byte(oneMessage))
	})
	client := newClient(t, Options{}, "http://127.0.0.1:1", good)
	client.addresses.urls = []string{"http://127.0.0.1:1", good}
	if _, err := client.Pull(within(t), 1, 0); err != nil {
		t.Fatal(err)
	}
	if bodies.Load() != 1 || !repeated.Load() {
		t.Errorf("asked %d times, repeated: %v", bodies.Load(), repeated.Load())
	}
	if at := client.addresses.current(time.Now()); at != good {
		t.Errorf("asks %s next", at)
	}
	if at := client.addresses.current(time.Now().Add(backAfter)); at == good {
		t.Error("never comes back to the first address")
	}
}

func read(r *http.Request) string {
	text := new(strings.Builder)
	buffer := make([]byte, 1024)
	for {
		count, err := r.Body.Read(buffer)
		_, _ = text.Write(buffer[:count])
		if err != nil {
			return text.String()
		}
	}
}

func TestAPauseIsNoShorterThanAskedFor(t *testing.T) {
	var asked atomic.Int32
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	began := time.Now()
	if _, err := newClient(t, Options{}, at).Pull(within(t), 1, 0); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("asked again after %v", took)
	}
}

func TestWhatIsRefusedIsTold(t *testing.T) {
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"type": "urn:fanout:problem:invalid-field", "detail": "look",
			"errors": [{"field": "group", "detail": "no name"}]}`))
	})
	_, err := newClient(t, Options{}, at).Pull(within(t), 1, 0)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Error() != "400 invalid-field: look; group: no name" {
		t.Errorf("got %v", err)
	}
}

func TestATokenGoesToKnownAddressesAlone(t *testing.T) {
	var seen atomic.Value
	stranger := serving(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNoContent)
	})
	redirecting := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", stranger+"/v1/pull?redirects=1")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})

	_, err := newClient(t, Options{Token: "secret"}, redirecting).Pull(within(t), 1, 0)
	var unknown *UnknownAddressError
	if !errors.As(err, &unknown) || unknown.Address != stranger || seen.Load() != nil {
		t.Errorf("got %v, sent %v", err, seen.Load())
	}
	// To a worker that it knows it goes, and without a token there is nothing to keep.
	if _, err := newClient(t, Options{}, redirecting).Pull(within(t), 1, 0); err != nil || seen.Load() != "" {
		t.Errorf("got %v, sent %v", err, seen.Load())
	}
	known := newClient(t, Options{Token: "secret"}, redirecting, stranger)
	known.addresses.urls = []string{redirecting, stranger}
	if _, err := known.Pull(within(t), 1, 0); err != nil || seen.Load() != "Bearer secret" {
		t.Errorf("got %v, sent %v", err, seen.Load())
	}
}

func TestAddressesAreHostsAndPorts(t *testing.T) {
	for given, want := range map[string]string{
		"h:1": "http://h:1", "http://h": "http://h:80", "https://h/": "https://h:443", "http://[::1]:5": "http://[::1]:5",
	} {
		if got, err := origin(given); err != nil || got != want {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
	for _, wrong := range []string{"", "ftp://h", "http://"} {
		if got, err := origin(wrong); err == nil {
			t.Errorf("%q was taken for %s", wrong, got)
		}
	}
	if _, err := origin("http://me:secret@h:1"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

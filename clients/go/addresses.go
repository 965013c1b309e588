package fanout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// backAfter is when the first address is tried again, so that a worker that was restarted gets its clients back.
const backAfter = 10 * time.Second

// addresses are the workers a client may ask: one for as long as it answers, then another one, since any worker gives
// messages of all and takes settlements for all.
type addresses struct {
	mutex  sync.Mutex
	urls   []string
	at     int
	backAt time.Time
}

func newAddresses(urls []string) (*addresses, error) {
	if len(urls) == 0 {
		return nil, errors.New("name at least one worker, as http://HOST:PORT")
	}
	known := &addresses{}
	for _, one := range urls {
		base, err := origin(one)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(known.urls, base) {
			known.urls = append(known.urls, base)
		}
	}
	// Many clients are given the same list: each has an order of its own.
	rand.Shuffle(len(known.urls), func(i, j int) { known.urls[i], known.urls[j] = known.urls[j], known.urls[i] })
	return known, nil
}

// origin is http://HOST:PORT of an address.
func origin(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	parts, err := url.Parse(address)
	if err != nil || parts.Hostname() == "" || (parts.Scheme != "http" && parts.Scheme != "https") {
		return "", fmt.Errorf("%q is no address of a worker: write http://HOST:PORT", address)
	}
	if parts.User != nil {
		return "", errors.New("an address may end up in a log, so no name or password belongs into it: use Options.Token")
	}
	port := parts.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parts.Scheme]
	}
	return parts.Scheme + "://" + net.JoinHostPort(parts.Hostname(), port), nil
}

func (known *addresses) current(now time.Time) string {
	known.mutex.Lock()
	defer known.mutex.Unlock()
	if known.at != 0 && !now.Before(known.backAt) {
		known.at = 0
	}
	return known.urls[known.at]
}

// failed says that a worker did not answer, or cannot serve. Only the first of many requests at it counts.
func (known *addresses) failed(base string, now time.Time) {
	known.mutex.Lock()
	defer known.mutex.Unlock()
	if known.urls[known.at] == base {
		known.at = (known.at + 1) % len(known.urls)
		known.backAt = now.Add(backAfter)
	}
}

func (known *addresses) has(base string) bool {
	return slices.Contains(known.urls, base)
}

// Command load drives the benchmarks' HTTP servers: it takes as little CPU as net/http allows, and counts what it takes.
//
//	load drain -urls http://127.0.0.1:6066 -messages 500000 -clients 4 -batch 500 [-encoding msgpack] [-apart]
//	load work  -urls http://127.0.0.1:6066 -clients 200 -batch 10 -work 10ms -for 10s
//	load web   -url http://127.0.0.1:8080/ -requests 100000 -clients 32
//
// Each prints one JSON document when it is done. Whatever goes wrong is said on stderr, with exit code 1: a drain
// that has lost a message has no figures.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("which mode: drain, work or web"))
	}
	var result any
	var err error
	switch mode, arguments := os.Args[1], os.Args[2:]; mode {
	case "drain":
		result, err = drain(arguments)
	case "work":
		result, err = work(arguments)
	case "web":
		result, err = web(arguments)
	default:
		err = fmt.Errorf("no mode %q: drain, work or web", mode)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

// oneConnection is a client that keeps one connection to each host: clients that share a pool would mix up whose
// requests go where. Answers of few messages are read through a small buffer: there may be 10,000 such clients.
func oneConnection(batch int) *http.Client {
	buffer := 1 << 16
	if batch < 10 {
		buffer = 1 << 12
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext:         dialer.DialContext,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
		ReadBufferSize:      buffer,
	}}
}

// Command load drives the benchmarks' HTTP servers: it takes as little CPU as net/http allows, and counts what it takes.
//
//	load drain -urls http://127.0.0.1:6066 -messages 500000 -clients 4 -batch 500 [-encoding msgpack] [-apart]
//	load web   -url http://127.0.0.1:8080/ -requests 100000 -clients 32
//
// Each prints one JSON document when it is done. Whatever goes wrong is said on stderr, with exit code 1: a run that
// has lost a message has no figures.
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
		fail(fmt.Errorf("which mode: drain or web"))
	}
	var result any
	var err error
	switch mode, arguments := os.Args[1], os.Args[2:]; mode {
	case "drain":
		result, err = drain(arguments)
	case "web":
		result, err = web(arguments)
	default:
		err = fmt.Errorf("no mode %q: drain or web", mode)
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
// requests go where.
func oneConnection() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext:         dialer.DialContext,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
		ReadBufferSize:      1 << 16,
	}}
}

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// percentiles of a duration, in milliseconds.
type percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// percentilesOf is nil of nothing.
func percentilesOf(durations []time.Duration) *percentiles {
	if len(durations) == 0 {
		return nil
	}
	slices.Sort(durations)
	at := func(share float64) float64 {
		index := min(int(share*float64(len(durations))), len(durations)-1)
		return float64(durations[index]) / float64(time.Millisecond)
	}
	return &percentiles{at(0.5), at(0.99), at(0.999)}
}

// meter reads the CPU time of processes, by the name of what they belong to, and of this one.
type meter struct {
	processes map[string][]int
}

// newMeter reads "server=1,2;broker=3".
func newMeter(text string) (*meter, error) {
	m := &meter{map[string][]int{}}
	for _, part := range strings.Split(text, ";") {
		if part == "" {
			continue
		}
		name, ids, _ := strings.Cut(part, "=")
		for _, id := range strings.Split(ids, ",") {
			pid, err := strconv.Atoi(id)
			if err != nil {
				return nil, fmt.Errorf("-pids: %w", err)
			}
			m.processes[name] = append(m.processes[name], pid)
		}
	}
	return m, nil
}

// read answers CPU seconds so far; "load" is this process.
func (m *meter) read() (map[string]float64, error) {
	seconds := map[string]float64{}
	for name, pids := range m.processes {
		for _, pid := range pids {
			used, err := processSeconds(pid)
			if err != nil {
				return nil, fmt.Errorf("no CPU clock of %s, process %d: %w", name, pid, err)
			}
			seconds[name] += used
		}
	}
	own, err := processSeconds(syscall.Getpid())
	seconds["load"] = own
	return seconds, err
}

func difference(after, before map[string]float64) map[string]float64 {
	used := map[string]float64{}
	for name, seconds := range after {
		used[name] = seconds - before[name]
	}
	return used
}

// processSeconds reads the clock that Linux keeps for each process, named by its id as clock_getcpuclockid(3) does. The
// ticks of /proc are 10 ms, too coarse for a run of a second.
func processSeconds(pid int) (float64, error) {
	const wholeProcessScheduled = 2
	clock := (^pid << 3) | wholeProcessScheduled
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(
		syscall.SYS_CLOCK_GETTIME, uintptr(uint32(int32(clock))), uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return 0, errno
	}
	return float64(now.Sec) + float64(now.Nsec)/1e9, nil
}

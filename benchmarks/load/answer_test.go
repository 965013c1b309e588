package main

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
)

func value(number uint64, size int) []byte {
	bytes := make([]byte, size)
	binary.BigEndian.PutUint64(bytes, number)
	return bytes
}

func TestJSON(t *testing.T) {
	for _, size := range []int{8, 9, 16, 17, 100} {
		body := `{"topic":"t","batch":"BATCH","messages":[`
		for number := range uint64(3) {
			if number > 0 {
				body += ","
			}
			body += `{"lease":"L","key":null,"value":"` + base64.StdEncoding.EncodeToString(value(number, size)) + `","headers":[]}`
		}
		body += `],"settled":{"acked":17,"nacked":0}}`
		check(t, readJSON, []byte(body), "BATCH", 17, 3)
	}
	check(t, readJSON, []byte(`{"batch":null,"messages":[],"settled":{"acked":2},"empty":"no-message"}`), "", 2, 0)
	if err := readJSON([]byte(`{"value":"AAAA"}`), &answer{}); err == nil {
		t.Error("a value without a number was counted")
	}
}

func TestMsgpack(t *testing.T) {
	body := []byte{0x84}
	body = append(text(body, "batch"), text(nil, "BATCH")...)
	body = append(text(body, "settled"), 0x82)
	body = append(text(body, "acked"), 0xcd, 0x01, 0x00)
	body = append(text(body, "results"), 0x90)
	body = append(text(body, "when"), 0xcf, 0, 0, 0, 0, 0, 0, 0, 1)
	body = append(text(body, "messages"), 0x92)
	for number := range uint64(2) {
		body = append(body, 0x83)
		body = append(text(body, "key"), 0xc0)
		body = append(text(body, "value"), 0xc4, 100)
		body = append(body, value(number, 100)...)
		body = append(text(body, "headers"), 0x91, 0x92, 0xa1, 'n', 0xc4, 1, 'v')
	}
	check(t, readMsgpack, body, "BATCH", 256, 2)
	if err := readMsgpack(body[:len(body)-1], &answer{}); err == nil {
		t.Error("an answer cut short was counted")
	}
}

func text(body []byte, content string) []byte {
	return append(append(body, 0xa0|byte(len(content))), content...)
}

func check(t *testing.T, read func([]byte, *answer) error, body []byte, batch string, acked, messages int) {
	t.Helper()
	got := answer{batch: "of before", acked: 9, messages: []head{{number: 99}}}
	if err := read(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.batch != batch || got.acked != acked || len(got.messages) != messages {
		t.Errorf("read %+v", got)
	}
	for number, one := range got.messages {
		if one.number != uint64(number) {
			t.Errorf("message %d is numbered %d", number, one.number)
		}
	}
}

func TestCpuOfThisProcess(t *testing.T) {
	m, err := newMeter("")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.read()
	for range 50_000_000 {
		before["load"] += 0
	}
	after, err := m.read()
	if err != nil || difference(after, before)["load"] <= 0 {
		t.Errorf("no CPU used: %v, %v", after, err)
	}
}

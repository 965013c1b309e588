package fanout

// What an entry of a settle may be answered (docs/api.md, Settle).
const (
	statusRetry     = "retry"
	statusLeaseLost = "lease_lost"
	// Of a message that the token of its batch does not stand for any more.
	statusNotInBatch = "not_in_batch"
	statusLate       = "late"
	statusSettled    = "already_settled"
)

// unsettled is what is settled here and not known to be settled at the cluster: it is sent until an answer says what
// became of it. Sending an entry twice does no harm.
type unsettled struct {
	order   []string
	entries map[string]settle
	// The leases that a token of a batch stands for.
	leases map[string][]string
	lost   func(token, status string)
}

func newUnsettled(lost func(token, status string)) *unsettled {
	return &unsettled{entries: map[string]settle{}, leases: map[string][]string{}, lost: lost}
}

func (some *unsettled) len() int { return len(some.entries) }

func (some *unsettled) put(token string, entry settle) {
	if _, there := some.entries[token]; !there {
		some.order = append(some.order, token)
	}
	some.entries[token] = entry
}

// add takes a settle on; batch is the one that it is of, where its token is among what is acked.
func (some *unsettled) add(made settle, batch *Batch) {
	for _, entry := range made.Nack {
		some.put(entry.Lease, settle{Nack: []nackEntry{entry}})
	}
	for _, entry := range made.Extend {
		some.put(entry.Lease, settle{Extend: []extendEntry{entry}})
	}
	for _, entry := range made.Reject {
		some.put(entry.Lease, settle{Reject: []rejectEntry{entry}})
	}
	for _, token := range made.Ack {
		some.put(token, settle{Ack: []string{token}})
		if batch != nil && token == batch.token {
			for _, message := range batch.Messages {
				some.leases[token] = append(some.leases[token], message.Lease)
			}
		}
	}
}

// toSend is as much of it as goes into one request, and how many entries that leaves.
func (some *unsettled) toSend() (*settle, int) {
	if len(some.entries) == 0 {
		return nil, 0
	}
	sent := &settle{}
	tokens := some.order[:min(mostEntries, len(some.order))]
	for _, token := range tokens {
		sent.add(some.entries[token])
	}
	return sent, len(some.order) - len(tokens)
}

// answered is told what a worker has answered to what toSend gave.
func (some *unsettled) answered(sent *settle, answer settled) {
	statuses := make(map[string]string, len(answer.Results))
	for _, result := range answer.Results {
		statuses[result.Lease] = result.Status
	}
	asked := map[string]bool{}
	for _, token := range sent.tokens() {
		asked[token] = true
	}
	for token := range asked {
		status := statuses[token]
		delete(statuses, token)
		if status == statusRetry {
			continue
		}
		leases := some.leases[token]
		delete(some.entries, token)
		delete(some.leases, token)
		switch status {
		case "", statusLate, statusSettled:
		case statusNotInBatch: // nacked or rejected by itself, in the same request
		case statusLeaseLost:
			if len(leases) == 0 {
				some.lost(token, status)
			}
			// Only the worker that gave a batch knows what it is of, and its partition has moved.
			for _, lease := range leases {
				if !asked[lease] {
					some.put(lease, settle{Ack: []string{lease}})
				}
			}
		default:
			some.lost(token, status)
		}
	}
	// What is left are messages of batches whose leases had ended: acks of these count all the same.
	for lease, status := range statuses {
		if _, there := some.entries[lease]; status == statusNotInBatch && !there {
			some.put(lease, settle{Ack: []string{lease}})
		}
	}
	order := some.order[:0]
	for _, token := range some.order {
		if _, there := some.entries[token]; there {
			order = append(order, token)
		}
	}
	some.order = order
}

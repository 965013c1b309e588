package fanout

import (
	"fmt"
	"strings"
	"time"
)

// RefusedError says that the cluster has refused a request, and would again: a token that is not good, a field that
// cannot be.
type RefusedError struct {
	Status int
	// Kind is the problem's type as a word, as "invalid-field".
	Kind   string
	Detail string
}

func (err *RefusedError) Error() string {
	return fmt.Sprintf("%d %s: %s", err.Status, err.Kind, err.Detail)
}

// UnknownAddressError says that a worker sends this client to an address that it was not given, and that it has a
// token, which is not for anybody.
type UnknownAddressError struct {
	Address string
}

func (err *UnknownAddressError) Error() string {
	return fmt.Sprintf("a worker redirects to %s, which is none of this client's addresses, so its token is not sent "+
		"there: name that worker among the addresses too, or start the workers with --routing forward", err.Address)
}

// Nack is returned by a handler that wants to say when the message may be tried again. Any other error has it tried
// again after the cluster's own backoff.
type Nack struct {
	Reason string
	// Delay is how long nobody gets the message; negative: the cluster's backoff.
	Delay time.Duration
}

func (err *Nack) Error() string { return err.Reason }

// Reject is returned by a handler: nobody shall get this message again. It goes to the dead-letter topic, or is parked.
type Reject struct {
	Reason string
}

func (err *Reject) Error() string { return err.Reason }

func refused(status int, said problem) *RefusedError {
	detail := said.Detail
	if detail == "" {
		detail = said.Title
	}
	for _, fault := range said.Errors {
		detail += fmt.Sprintf("; %s: %s", fault.Field, fault.Detail)
	}
	return &RefusedError{Status: status, Kind: strings.TrimPrefix(said.Type, "urn:fanout:problem:"), Detail: detail}
}

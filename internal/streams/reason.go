// Why a batch was given up, in words that hold nothing of the batch.

package streams

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons that the receiver gives itself.
const (
	ReasonDecode    = "undecodable"
	ReasonPermanent = "permanent"
	ReasonAttempts  = "attempts_exhausted"
)

// Reasons on the note that a dead letter leaves when it is settled.
const (
	ReasonReplayed = "replayed" // with a count of 0: its records are no longer given up
	ReasonDropped  = "dropped"
)

type reasonError struct {
	reason string
	error
}

func (e *reasonError) Unwrap() error { return e.error }

// WithReason attaches to err what a dead letter shall say of it: a word from a small fixed set such as "clickhouse_53", in
// lower-case letters, digits, and _ . : -. The text of err itself is never stored, since it may quote the batch.
func WithReason(err error, reason string) error {
	if err == nil {
		return nil
	}
	return &reasonError{clean(reason), err}
}

// Reason says why a batch was given up: the reason that WithReason attached, or "permanent:" and the error's class.
func Reason(err error) string {
	var r *reasonError
	if errors.As(err, &r) {
		return r.reason
	}
	return ReasonPermanent + ":" + Class(err)
}

// Class names an error without its text, which may quote a batch: its gRPC code, or the innermost error's type.
func Class(err error) string {
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK && st.Code() != codes.Unknown {
		return "grpc_" + clean(st.Code().String())
	}
	for {
		var next error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if es := e.Unwrap(); len(es) > 0 {
				next = es[0]
			}
		}
		if next == nil {
			return clean(fmt.Sprintf("%T", err))
		}
		err = next
	}
}

// permanentType is what consumererror.NewPermanent makes; its name is not exported.
var permanentType = reflect.TypeOf(consumererror.NewPermanent(nil))

// Permanent reports whether trying again is of no use: every cause is marked permanent. An error joined from several consumers
// is not permanent as long as one of them may still take the batch; consumererror.IsPermanent would say that it is.
func Permanent(err error) bool {
	for err != nil {
		if reflect.TypeOf(err) == permanentType {
			return true // a mark on the outside covers what is inside
		}
		switch x := err.(type) {
		case interface{ Unwrap() []error }:
			all := x.Unwrap()
			for _, c := range all {
				if !Permanent(c) {
					return false
				}
			}
			return len(all) > 0
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		default:
			return false
		}
	}
	return false
}

func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune("_.:-*", r):
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
	if len(s) > 64 {
		s = s[:64]
	}
	if s == "" {
		return ReasonPermanent
	}
	return s
}

// What a refused publish means to the sender.

package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retryAfter is what a sender is told to wait when the stream is full.
const retryAfter = 5 * time.Second

// JetStream's codes for "no room" (server/errors.json).
const (
	codeStoreFailed    jetstream.ErrorCode = 10077 // with the cause as text: maximum bytes exceeded, ...
	codeNoStorage      jetstream.ErrorCode = 10047
	codeNoResources    jetstream.ErrorCode = 10023
	codeMemoryExceeded jetstream.ErrorCode = 10028
)

// full reports whether the stream refused a message for want of room.
func full(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeNoStorage, codeNoResources, codeMemoryExceeded:
		return true
	case codeStoreFailed:
		return strings.Contains(api.Description, "maximum")
	}
	return false
}

// tooBig reports whether no retry can make the server take the message.
func tooBig(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// gone reports whether nobody listens for the stream's subject: the stream was deleted, or JetStream is not up.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

func (e *jsExporter) explain(err error) error {
	stream := e.cfg.Stream
	switch {
	case full(err):
		st := status.Newf(codes.ResourceExhausted, "cannot store the batch: stream %s is full (%v)", stream, err)
		if with, werr := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); werr == nil {
			st = with
		}
		return st.Err()
	case tooBig(err):
		return permanentTooBig(1)
	case gone(err):
		return fmt.Errorf("cannot store the batch: stream %s is not there", stream)
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, context.DeadlineExceeded):
		if last := e.nc.LastError(); last != nil {
			return fmt.Errorf("cannot store the batch: no acknowledgement from stream %s within %s (NATS said: %w)", stream, e.cfg.AckWait, last)
		}
		return fmt.Errorf("cannot store the batch: no acknowledgement from stream %s within %s", stream, e.cfg.AckWait)
	}
	return fmt.Errorf("cannot store the batch in stream %s: %w", stream, err)
}

func permanentTooBig(n int) error {
	return consumererror.NewPermanent(status.Errorf(codes.InvalidArgument,
		"cannot store %d record(s): each is larger than a message of the NATS server may be (max_payload)", n))
}

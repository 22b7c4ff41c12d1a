// Batches of which the pipeline took some records and will never take the others.

package jetstream

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// partly settles a group of n records if its permanent error carries the records that were refused, which means that the others were taken:
// those become dead letters, one for each message that has any, and nothing is delivered again. It reports whether it did. Records of RAW are
// not taken from an error: the pipeline may have redacted them, and a replay must bring back what was there.
func (r *jsReceiver) partly(g []held, n int, err error) bool {
	rest, ok := refused(err)
	if !ok || r.cfg.Stream == streams.Raw {
		return false
	}
	if c := rest.LogRecordCount(); c == 0 || c >= n {
		return false
	}
	parts, ok := split(g, rest)
	if !ok {
		return false
	}
	reason := streams.Reason(err)
	var whole []held
	for _, m := range g {
		part, ok := parts[m.seq]
		if !ok {
			whole = append(whole, m)
			continue
		}
		r.set.Logger.Error("The pipeline refuses records of a message; they become a dead letter", zap.String("stream", r.cfg.Stream), zap.Uint64("sequence", m.seq),
			zap.Int("records", part.LogRecordCount()), zap.String("reason", reason))
		r.bury(m, reason, func(ctx context.Context) error {
			return streams.PutDeadPart(ctx, r.js, m.Msg, part, r.cfg.Durable, reason)
		})
	}
	r.ack(whole)
	return true
}

// refused takes the records from an error. An error joined from several consumers says nothing about what each of them took.
func refused(err error) (plog.Logs, bool) {
	for err != nil {
		if part, ok := err.(consumererror.Logs); ok { //nolint:errorlint // the chain is walked here
			return part.Data(), true
		}
		if _, joined := err.(interface{ Unwrap() []error }); joined {
			return plog.Logs{}, false
		}
		err = errors.Unwrap(err)
	}
	return plog.Logs{}, false
}

// split sorts records by the message that they came from. It fails if one does not say.
func split(g []held, rest plog.Logs) (map[uint64]plog.Logs, bool) {
	if len(g) == 1 {
		return map[uint64]plog.Logs{g[0].seq: rest}, true
	}
	known := make(map[uint64]bool, len(g))
	for _, m := range g {
		known[m.seq] = true
	}
	parts := make(map[uint64]plog.Logs)
	for _, rl := range rest.ResourceLogs().All() {
		v, ok := rl.Resource().Attributes().Get(event.AttrStreamSeq)
		if !ok || !known[uint64(v.Int())] {
			return nil, false
		}
		part, ok := parts[uint64(v.Int())]
		if !ok {
			part = plog.NewLogs()
			parts[uint64(v.Int())] = part
		}
		rl.CopyTo(part.ResourceLogs().AppendEmpty())
	}
	return parts, true
}

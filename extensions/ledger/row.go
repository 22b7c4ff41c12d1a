// Messages as rows.

package ledger

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// row of the table ledger.
type row struct {
	stream      string
	seq         uint64
	records     uint32
	sink        string
	reason      string
	origin      string
	publishedAt time.Time
}

// rowOf makes the row of a message, false if it has none.
func rowOf(stream string, seq uint64, subject string, h nats.Header, at time.Time) (row, bool) {
	n, err := strconv.ParseUint(h.Get(streams.HeaderCount), 10, 32)
	if err != nil {
		n = 0 // not from us; it is a message all the same
	}
	r := row{stream: stream, seq: seq, records: uint32(n), publishedAt: at}
	if stream == streams.Dead {
		if r.stream, r.seq, err = streams.ParseOrigin(h.Get(streams.HeaderOrigin)); err != nil {
			return row{}, false
		}
		if r.sink = h.Get(streams.HeaderSink); r.sink == "" {
			return row{}, false
		}
		r.reason = h.Get(streams.HeaderReason)
		r.origin = streams.FormatOrigin(streams.Dead, seq)
		if strings.HasPrefix(subject, streams.SubjectSettled+".") {
			r.origin = h.Get(streams.HeaderReplayOf)
		}
		return r, true
	}
	if h.Get(streams.HeaderReplayOf) != "" {
		return row{}, false
	}
	r.origin = h.Get(streams.HeaderOrigin)
	return r, true
}

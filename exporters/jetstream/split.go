// How a batch becomes messages.

package jetstream

import (
	"errors"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// part is a message to be: its records and their encoding.
type part struct {
	ld    plog.Logs
	count int
	body  []byte
}

// split encodes ld into parts of at most target bytes each, where records allow it. A single record may take up to limit bytes;
// those that would take more come back in tooLarge, which is nil if there are none. Equal input makes equal parts.
func split(ld plog.Logs, target, limit int) (parts []part, tooLarge *plog.Logs, err error) {
	var big plog.Logs
	hasBig := false
	var add func(ld plog.Logs, n int) error
	add = func(ld plog.Logs, n int) error {
		var sizer plog.ProtoMarshaler
		pieces := 2
		if n == 1 || sizer.LogsSize(ld) <= streams.MaxDecoded/2 {
			body, err := streams.Encode(ld)
			if err != nil && !errors.Is(err, streams.ErrTooLarge) {
				return err
			}
			fits := err == nil && len(body) <= limit
			switch {
			case fits && (len(body) <= target || n == 1):
				parts = append(parts, part{ld, n, body})
				return nil
			case n == 1:
				if !hasBig {
					big, hasBig = plog.NewLogs(), true
				}
				for i := range ld.ResourceLogs().Len() { // ld may be the caller's own
					ld.ResourceLogs().At(i).CopyTo(big.ResourceLogs().AppendEmpty())
				}
				return nil
			}
			pieces = max(2, len(body)/target+1)
		}
		pieces = min(pieces, n)
		for i := range pieces {
			from, to := i*n/pieces, (i+1)*n/pieces
			if err := add(slice(ld, from, to), to-from); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(ld, ld.LogRecordCount()); err != nil {
		return nil, nil, err
	}
	if hasBig {
		tooLarge = &big
	}
	return parts, tooLarge, nil
}

// splitEach encodes every record as a part of its own.
func splitEach(ld plog.Logs, limit int) (parts []part, tooLarge *plog.Logs, err error) {
	n := ld.LogRecordCount()
	for i := range n {
		p, big, err := split(slice(ld, i, i+1), limit, limit)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, p...)
		tooLarge = join(tooLarge, big)
	}
	return parts, tooLarge, nil
}

func join(a, b *plog.Logs) *plog.Logs {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	b.ResourceLogs().MoveAndAppendTo(a.ResourceLogs())
	return a
}

// slice copies records from to to-1 of ld, counted over all its resources and scopes, with what they belong to.
func slice(ld plog.Logs, from, to int) plog.Logs {
	out := plog.NewLogs()
	pos := 0
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		var orl plog.ResourceLogs
		haveRes := false
		for j := range rl.ScopeLogs().Len() {
			sl := rl.ScopeLogs().At(j)
			n := sl.LogRecords().Len()
			a, b := max(from-pos, 0), min(to-pos, n)
			pos += n
			if a >= b {
				continue
			}
			if !haveRes {
				orl, haveRes = out.ResourceLogs().AppendEmpty(), true
				rl.Resource().CopyTo(orl.Resource())
				orl.SetSchemaUrl(rl.SchemaUrl())
			}
			osl := orl.ScopeLogs().AppendEmpty()
			sl.Scope().CopyTo(osl.Scope())
			osl.SetSchemaUrl(sl.SchemaUrl())
			osl.LogRecords().EnsureCapacity(b - a)
			for k := a; k < b; k++ {
				sl.LogRecords().At(k).CopyTo(osl.LogRecords().AppendEmpty())
			}
		}
		if pos >= to {
			break
		}
	}
	return out
}

// Deterministic message ids: what JetStream recognises a repeated publish by.

package streams

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// IngestID is the Nats-Msg-Id of a batch that comes from outside. A sender's retry of the batch has the same id. Bodies are part
// of it: event ids can be guessed, and a sender must not be able to make another's batch look like a repetition.
func IngestID(ld plog.Logs) string {
	h := newIDHash("ingest")
	each(ld, func(lr plog.LogRecord) { h.id(lr, event.AttrID, true) })
	return h.sum()
}

// DerivedID is the Nats-Msg-Id of a batch made from messages of another stream. It depends on what it was made from and on
// which events are in it, not on what was done to them: processing the same message again makes the same id even if rules
// changed in between, and the parts of a split batch have different ones.
func DerivedID(o Origin, ld plog.Logs) string {
	h := newIDHash("derived")
	if o.ID != "" && o.First == o.Last {
		h.str(o.ID) // survives that the sender's retry got a new place in the stream
	} else {
		h.str(o.Stream)
		h.str(strconv.FormatUint(o.First, 10))
		h.str(strconv.FormatUint(o.Last, 10))
	}
	each(ld, func(lr plog.LogRecord) { h.id(lr, event.AttrID, false) })
	return h.sum()
}

// idHash hashes length-prefixed parts. Ids are 128 bits in 22 characters, since the server keeps them in memory.
type idHash struct {
	h hash.Hash
	n [8]byte
}

func newIDHash(kind string) *idHash {
	h := &idHash{h: sha256.New()}
	h.str(kind)
	return h
}

func (h *idHash) num(n uint64) {
	binary.BigEndian.PutUint64(h.n[:], n)
	h.h.Write(h.n[:])
}

func (h *idHash) str(s string) { h.bytes([]byte(s)) }

func (h *idHash) bytes(b []byte) {
	h.num(uint64(len(b)))
	h.h.Write(b)
}

// id adds a record: its id attribute, and the body if asked for or if it has no id.
func (h *idHash) id(lr plog.LogRecord, attr string, body bool) {
	id := ""
	if v, ok := lr.Attributes().Get(attr); ok {
		id = v.AsString()
	}
	h.str(id)
	if id != "" && !body {
		return
	}
	h.num(uint64(lr.Timestamp()))
	h.str(lr.EventName())
	switch b := lr.Body(); b.Type() {
	case pcommon.ValueTypeBytes:
		h.bytes(b.Bytes().AsRaw())
	default:
		h.str(b.AsString())
	}
	if id == "" {
		lr.Attributes().Range(func(k string, v pcommon.Value) bool {
			h.str(k)
			h.str(v.AsString())
			return true
		})
	}
}

func (h *idHash) sum() string {
	var b [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.h.Sum(b[:0])[:16])
}

func each(ld plog.Logs, f func(plog.LogRecord)) {
	for i := range ld.ResourceLogs().Len() {
		sls := ld.ResourceLogs().At(i).ScopeLogs()
		for j := range sls.Len() {
			lrs := sls.At(j).LogRecords()
			for k := range lrs.Len() {
				f(lrs.At(k))
			}
		}
	}
}

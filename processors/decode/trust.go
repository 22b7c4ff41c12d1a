package decode

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// maxAttrDepth is the nesting of attributes and bodies kept. Deeper ones are for exhausting whoever walks them.
const maxAttrDepth = 32

// maxAhead is how far in the future an event may claim to be. Beyond it the time of receipt counts: a date far ahead would
// keep a record from ever expiring.
const maxAhead = 24 * time.Hour

// Anomalies that decoding finds, beside those of internal/mcp.
const (
	anomalyID       = "id_mismatch"       // an event id that is not the sender's to give
	anomalyFuture   = "future_timestamp"  // more than a day ahead of its receipt
	anomalyUnknown  = "unknown_format"    // a record in no known format
	anomalyLimit    = "unknown_limit"     // records in no known format beyond the limit: counted, not kept
	anomalyJSON     = "json_form"         // a line that is meant to be in the JSON form but is not
	anomalyEnvelope = "envelope_mismatch" // the source says another method, kind or id than the message
	anomalyDeep     = "too_deep"          // attributes nested too deep, removed
)

// forbidden tells whether a source may not set the attribute: only later stages or this one may.
func (d *decoder) forbidden(k string) bool {
	if !strings.HasPrefix(k, "mcpsiem.") {
		return false
	}
	switch k {
	case event.AttrSourceCredential, event.AttrStreamSeq, ident.SourceFormer:
		return true
	case event.AttrBodyFingerprint, event.AttrRedactions, event.AttrDataClasses, event.AttrSignals, event.AttrFingerprints, event.AttrDestinations, event.AttrArgumentsFingerprint,
		event.AttrWithheldReason:
		return !d.cfg.AcceptEnriched
	}
	if strings.HasPrefix(k, "mcpsiem.cost.") || strings.HasPrefix(k, "mcpsiem.tokens.") || strings.HasPrefix(k, "mcpsiem.tool.") ||
		strings.HasPrefix(k, "mcpsiem.finding.") {
		return !d.cfg.AcceptEnriched
	}
	return false
}

// shallow tells whether a value nests at most max levels.
func shallow(v pcommon.Value, max int) bool {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		if max == 0 {
			return false
		}
		ok := true
		v.Map().Range(func(_ string, x pcommon.Value) bool { ok = shallow(x, max-1); return ok })
		return ok
	case pcommon.ValueTypeSlice:
		if max == 0 {
			return false
		}
		for i := range v.Slice().Len() {
			if !shallow(v.Slice().At(i), max-1) {
				return false
			}
		}
	}
	return true
}

// prefixCache holds the id prefix of the tap and epoch seen last: a batch comes from one tap.
type prefixCache struct {
	tap    string
	epoch  int64
	prefix event.IDPrefix
	set    bool
}

func (c *prefixCache) of(tap string, epoch int64) event.IDPrefix {
	if !c.set || c.tap != tap || c.epoch != epoch {
		c.tap, c.epoch, c.prefix, c.set = tap, epoch, event.TapPrefix(tap, epoch), true
	}
	return c.prefix
}

const hexDigits = "0123456789abcdef"

// isTapID tells whether id is that of event seq under p, without making a string.
func isTapID(id string, p event.IDPrefix, seq int64) bool {
	if len(id) != 32 {
		return false
	}
	for i := range 16 {
		b := byte(0)
		if i < 8 {
			b = p[i]
		} else {
			b = byte(uint64(seq) >> (8 * (15 - i)))
		}
		if id[2*i] != hexDigits[b>>4] || id[2*i+1] != hexDigits[b&15] {
			return false
		}
	}
	return true
}

// isID tells whether s has the form of an event id.
func isID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ownID makes an event id of one that a source gave. An id in the form of ours stays, unless it looks like a tap's (a small
// number in its tail), which is not this sender's to give: with it, one event could be put in another's place.
func ownID(given string) (id string, refused bool) {
	if u := strings.ReplaceAll(strings.ToLower(given), "-", ""); isID(u) {
		if u[16:24] != "00000000" {
			return u, false
		}
		return event.SourceID("given", u), true
	}
	return event.SourceID("given", given), false
}

// disown takes off an event what only a tap's own events have.
func disown(e *event.Event) {
	e.TapID, e.TapEpoch, e.TapSeq = "", 0, 0
	e.LostEvents, e.LostFrom, e.LostTo = 0, 0, 0
}

// A batch cut into requests.

package splunkhec

import (
	"net/url"
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// group is what one request may hold: one token and one index, since Splunk refuses a request as a whole for either. The event endpoint takes source,
// sourcetype and host with each event; the raw endpoint takes them with the request.
type group struct {
	target int
	kind   sink.Kind // raw only
	host   string    // raw only
}

// chunk is the body of one request.
type chunk struct {
	group
	body    []byte
	records []piece
}

// piece is one record of a chunk.
type piece struct {
	end   int // of its bytes in the body
	index int // in the batch
	key   string
}

// chunker encodes records into chunks.
type chunker struct {
	cfg     *Config
	enc     *encoder
	targets []target
	open    []*chunk // one for each group
	full    []*chunk
	spare   []*chunk
}

func (c *chunker) reset() {
	for _, list := range [][]*chunk{c.open, c.full} {
		for _, ch := range list {
			if cap(ch.body) <= 4<<20 { // what one huge batch needed is not kept for ever
				c.spare = append(c.spare, ch)
			}
		}
	}
	c.open, c.full = c.open[:0], c.full[:0]
}

// add encodes a record. It reports false if the record is too large even without its message.
func (c *chunker) add(rec *sink.Record) bool {
	g := group{target: pick(c.targets, rec)}
	t := &c.targets[g.target]
	if c.cfg.Raw {
		g.kind, g.host = rec.Kind(), c.enc.hostOf(rec)
	}
	ch := c.chunk(g)
	start := len(ch.body)
	limit := c.cfg.MaxEventBytes
	for _, withMessage := range []bool{true, false} {
		ch.body = c.encode(ch.body[:start], rec, t, withMessage)
		if len(ch.body)-start <= limit {
			break
		}
		if !withMessage {
			ch.body = ch.body[:start]
			return false
		}
	}
	if len(ch.body) > c.cfg.MaxContentLength && start > 0 { // it begins the next one
		next := c.take(g)
		next.body = append(next.body, ch.body[start:]...)
		ch.body = ch.body[:start]
		c.close(ch, next)
		ch = next
	}
	ch.records = append(ch.records, piece{end: len(ch.body), index: rec.Index, key: rec.Key()})
	return true
}

func (c *chunker) encode(b []byte, rec *sink.Record, t *target, withMessage bool) []byte {
	if c.cfg.Raw {
		return append(c.enc.event(b, rec, withMessage), '\n')
	}
	return append(c.enc.envelope(b, rec, t.heads[rec.Kind()], withMessage), '\n')
}

func (c *chunker) chunk(g group) *chunk {
	for _, ch := range c.open {
		if ch.group == g {
			return ch
		}
	}
	ch := c.take(g)
	c.open = append(c.open, ch)
	return ch
}

func (c *chunker) take(g group) *chunk {
	var ch *chunk
	if n := len(c.spare); n > 0 {
		ch, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		ch = &chunk{}
	}
	ch.group, ch.body, ch.records = g, ch.body[:0], ch.records[:0]
	return ch
}

func (c *chunker) close(ch, next *chunk) {
	c.full = append(c.full, ch)
	c.open[slices.Index(c.open, ch)] = next
}

// chunks are the requests to make, in order.
func (c *chunker) chunks() []*chunk {
	out := slices.Clone(c.full)
	for _, ch := range c.open {
		if len(ch.records) > 0 {
			out = append(out, ch)
		}
	}
	return out
}

// slice is the part of a chunk that holds the records from i to j.
func (ch *chunk) slice(i, j int) *chunk {
	from := 0
	if i > 0 {
		from = ch.records[i-1].end
	}
	out := &chunk{group: ch.group, body: ch.body[from:ch.records[j-1].end], records: slices.Clone(ch.records[i:j])}
	for k := range out.records {
		out.records[k].end -= from
	}
	return out
}

// path of the request.
func (ch *chunk) path(c *Config, t *target) string {
	if !c.Raw {
		return pathEvent
	}
	q := url.Values{"source": {c.Source}, "sourcetype": {c.SourceTypes.of(ch.kind)}}
	if t.index != "" {
		q.Set("index", t.index)
	}
	if ch.host != "" {
		q.Set("host", ch.host)
	}
	return pathRaw + "?" + q.Encode()
}

func (s SourceTypes) of(k sink.Kind) string {
	switch k {
	case sink.KindFinding:
		return s.Finding
	case sink.KindAudit:
		return s.Audit
	}
	return s.Event
}

// target is a token and an index with what chooses it.
type target struct {
	records []sink.Kind
	tenants []string
	index   string
	token   sink.Secret
	heads   map[sink.Kind]string // the envelope's constant part
}

func newTargets(c *Config) []target {
	var out []target
	for _, t := range append(slices.Clone(c.Targets), Target{}) {
		x := target{records: t.Records, tenants: t.Tenants, index: t.Index, token: t.Token, heads: map[sink.Kind]string{}}
		if x.token.IsZero() {
			x.token = c.Token
		}
		if x.index == "" {
			x.index = c.Index
		}
		for _, k := range sink.Kinds {
			b := sink.AppendString([]byte(`"sourcetype":`), c.SourceTypes.of(k))
			if c.Source != "" {
				b = sink.AppendString(append(b, `,"source":`...), c.Source)
			}
			if x.index != "" {
				b = sink.AppendString(append(b, `,"index":`...), x.index)
			}
			x.heads[k] = string(b)
		}
		out = append(out, x)
	}
	return out
}

// pick is the first target that takes the record; the last takes all.
func pick(ts []target, rec *sink.Record) int {
	for i := range ts[:len(ts)-1] {
		t := &ts[i]
		if (len(t.records) == 0 || slices.Contains(t.records, rec.Kind())) &&
			(len(t.tenants) == 0 || slices.ContainsFunc(t.tenants, func(p string) bool { return sink.Match(p, rec.Tenant()) })) {
			return i
		}
	}
	return len(ts) - 1
}

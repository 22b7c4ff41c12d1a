// A batch cut into requests.

package elastic

import (
	"slices"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// dataset is the middle part of a data stream's name.
func dataset(k sink.Kind) string { return "mcpsiem." + string(k) }

// StreamName is the data stream of records of a kind.
func StreamName(k sink.Kind, namespace string) string { return "logs-" + dataset(k) + "-" + namespace }

// target is one data stream.
type target struct {
	kind      sink.Kind
	namespace string
	name      string
	object    []byte // data_stream of its documents
}

// targets are the data streams of a configuration.
type targets struct {
	rules []Namespace
	def   string
	made  []*target
}

func newTargets(c *Config) *targets {
	t := &targets{rules: c.Namespaces, def: c.Namespace}
	for _, k := range sink.Kinds {
		names := []string{c.Namespace}
		for _, n := range c.Namespaces {
			if !slices.Contains(names, n.Namespace) {
				names = append(names, n.Namespace)
			}
		}
		for _, ns := range names {
			o := sink.AppendString([]byte(`{"type":"logs","dataset":`), dataset(k))
			o = sink.AppendString(append(o, `,"namespace":`...), ns)
			t.made = append(t.made, &target{k, ns, StreamName(k, ns), append(o, '}')})
		}
	}
	return t
}

// of is the data stream of a record.
func (t *targets) of(rec *sink.Record) *target {
	ns := t.def
	if len(t.rules) > 0 {
		tenant := rec.Tenant()
		for _, r := range t.rules {
			if slices.ContainsFunc(r.Tenants, func(p string) bool { return sink.Match(p, tenant) }) {
				ns = r.Namespace
				break
			}
		}
	}
	for _, x := range t.made {
		if x.kind == rec.Kind() && x.namespace == ns {
			return x
		}
	}
	panic("BUG: no data stream for a record")
}

// chunk is the body of one request: documents for one data stream.
type chunk struct {
	target  *target
	body    []byte
	records []piece
	alone   bool // its only document was refused alone already
}

// piece is one record of a chunk.
type piece struct {
	end   int // of its bytes in the body
	index int // in the batch
	key   string
	id    string
}

// chunker encodes records into chunks.
type chunker struct {
	cfg     *Config
	enc     *encoder
	targets *targets
	open    []*chunk // one for each data stream
	full    []*chunk
	spare   []*chunk
}

func (c *chunker) reset() {
	for _, list := range [][]*chunk{c.open, c.full} {
		for _, ch := range list {
			if cap(ch.body) <= 2*c.cfg.MaxBodyBytes { // what one huge document needed is not kept for ever
				c.spare = append(c.spare, ch)
			}
		}
	}
	c.open, c.full = c.open[:0], c.full[:0]
}

// add encodes a record. It reports false if the record is too large even without its message.
func (c *chunker) add(rec *sink.Record) bool {
	t := c.targets.of(rec)
	ch := c.chunk(t)
	start := len(ch.body)
	id := c.id(rec)
	for _, withMessage := range []bool{true, false} {
		ch.body = append(ch.body[:start], `{"create":{"_id":`...)
		ch.body = append(sink.AppendString(ch.body, id), "}}\n"...)
		ch.body = append(c.enc.document(ch.body, rec, t.object, withMessage), '\n')
		if len(ch.body)-start <= c.cfg.MaxEventBytes {
			break
		}
		if !withMessage {
			ch.body = ch.body[:start]
			return false
		}
	}
	if len(ch.body) > c.cfg.MaxBodyBytes && start > 0 { // it begins the next one
		next := c.take(t)
		next.body = append(next.body, ch.body[start:]...)
		ch.body = ch.body[:start]
		c.full = append(c.full, ch)
		c.open[slices.Index(c.open, ch)] = next
		ch = next
	}
	ch.records = append(ch.records, piece{end: len(ch.body), index: rec.Index, key: rec.Key(), id: id})
	return true
}

// id is the _id of a record's document: the same for all time.
func (c *chunker) id(rec *sink.Record) string {
	if rec.Key() != "" {
		return docID(rec, nil)
	}
	now := c.enc.ingested
	c.enc.ingested = func() int64 { return 0 }
	defer func() { c.enc.ingested = now }()
	return docID(rec, c.enc.document(nil, rec, nil, true))
}

func (c *chunker) chunk(t *target) *chunk {
	for _, ch := range c.open {
		if ch.target == t {
			return ch
		}
	}
	ch := c.take(t)
	c.open = append(c.open, ch)
	return ch
}

func (c *chunker) take(t *target) *chunk {
	var ch *chunk
	if n := len(c.spare); n > 0 {
		ch, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		ch = &chunk{}
	}
	ch.target, ch.body, ch.records, ch.alone = t, ch.body[:0], ch.records[:0], false
	return ch
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

func (ch *chunk) piece(i int) []byte {
	from := 0
	if i > 0 {
		from = ch.records[i-1].end
	}
	return ch.body[from:ch.records[i].end]
}

// slice is the part of a chunk that holds the records from i to j. It shares the body.
func (ch *chunk) slice(i, j int) *chunk {
	from := 0
	if i > 0 {
		from = ch.records[i-1].end
	}
	out := &chunk{target: ch.target, body: ch.body[from:ch.records[j-1].end], records: slices.Clone(ch.records[i:j])}
	for k := range out.records {
		out.records[k].end -= from
	}
	return out
}

// pick is a chunk of the records for which want is true; nil if there are none, the chunk itself if it is all.
func (ch *chunk) pick(want func(i int) bool) *chunk {
	var is []int
	n := 0
	for i := range ch.records {
		if want(i) {
			is = append(is, i)
			n += len(ch.piece(i))
		}
	}
	switch len(is) {
	case 0:
		return nil
	case len(ch.records):
		return ch
	}
	out := &chunk{target: ch.target, body: make([]byte, 0, n)}
	for _, i := range is {
		out.body = append(out.body, ch.piece(i)...)
		p := ch.records[i]
		p.end = len(out.body)
		out.records = append(out.records, p)
	}
	return out
}

func now() int64 { return time.Now().UnixNano() }

// Blocks: the rows of one insert into one table.

package clickhouse

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// eventBlock is a block for the table events.
type eventBlock struct {
	eventFields
	name         lowCard
	ts, received times
	trace, span  fixed
	body         text
	extra        labels
	scratch      []string
	in           proto.Input
}

func newEventBlock() *eventBlock {
	b := &eventBlock{trace: fixed{size: 16}, span: fixed{size: 8}}
	b.in = append(proto.Input{
		{Name: "event_name", Data: &b.name}, {Name: "ts", Data: &b.ts}, {Name: "received", Data: &b.received},
		{Name: "trace", Data: &b.trace}, {Name: "span", Data: &b.span}, {Name: "body", Data: &b.body}, {Name: "extra", Data: &b.extra},
	}, b.inputFields()...)
	return b
}

// A message's time may differ from its receipt by as much: a record from an archive is old, and a clock may be wrong. Days are
// partitions, so that times without bounds would be partitions without bounds.
const (
	maxPast   = 10 * 366 * 24 * time.Hour
	maxFuture = 24 * time.Hour
)

// normalise makes an event fit to be stored and returns whether its time was replaced. It is deterministic: a second delivery of the same
// record must make the same row.
func normalise(e *event.Event) (badTime bool) {
	if e.Received <= 0 {
		e.Received = max(e.Time, 0)
	}
	if e.Time <= 0 || e.Time < e.Received-int64(maxPast) || e.Time > e.Received+int64(maxFuture) {
		badTime = true
		e.Time = e.Received
	}
	if e.ID == "" {
		e.ID = event.SourceID("no id", e.Tenant, e.Name, time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), e.RequestID, e.Body)
	}
	if e.Tenant == "" {
		e.Tenant = event.DefaultTenant
	}
	switch e.Kind {
	case event.KindRequest, event.KindResponse, event.KindError:
		if e.ExchangeID == "" { // an answer without its request is an exchange of its own
			e.ExchangeID = e.ID
		}
	}
	if e.ExchangeStart <= 0 {
		e.ExchangeStart = e.Time
	}
	return badTime
}

// append adds an event that was normalised.
func (b *eventBlock) append(e *event.Event, badTime bool) {
	b.begin()
	b.name.append(&b.notes, e.Name)
	b.ts.Append(e.Time)
	b.received.Append(e.Received)
	b.trace.append(e.TraceID[:])
	b.span.append(e.SpanID[:])
	b.body.append(&b.notes, e.Body)
	for k := range e.Extra {
		if strings.HasPrefix(k, event.RawPrefix) { // raw content is never stored, whoever forgot to remove it
			delete(e.Extra, k)
		}
	}
	b.extra.append(&b.notes, e.Extra)
	b.appendFields(&e.Fields)
	if badTime || b.any() {
		b.scratch = b.notes.names(b.scratch[:0])
		if badTime {
			b.scratch = append(b.scratch, anomalyBadTime)
		}
		b.Anomalies.extend(&b.notes, b.scratch)
	}
}

func (b *eventBlock) table() string      { return "events" }
func (b *eventBlock) rows() int          { return b.ts.Rows() }
func (b *eventBlock) input() proto.Input { return b.in }
func (b *eventBlock) ids() []uuid.UUID   { return b.ID.ColUUID }
func (b *eventBlock) reset()             { resetInput(b.in) }

// findingBlock is a block for the table findings.
type findingBlock struct {
	findingFields
	ts times
	in proto.Input
}

func newFindingBlock() *findingBlock {
	b := &findingBlock{}
	b.in = append(proto.Input{{Name: "ts", Data: &b.ts}}, b.inputFields()...)
	return b
}

func normaliseFinding(f *finding.Finding) {
	if f.Tenant == "" {
		f.Tenant = event.DefaultTenant
	}
	if f.ID == "" {
		f.ID = event.SourceID("no id", f.Tenant, f.RuleID, f.Key, time.Unix(0, f.Time).UTC().Format(time.RFC3339Nano))
	}
}

func (b *findingBlock) append(f *finding.Finding) {
	b.ts.Append(b.date(f.Time))
	b.appendFields(&f.Fields)
}

func (b *findingBlock) table() string      { return "findings" }
func (b *findingBlock) rows() int          { return b.ts.Rows() }
func (b *findingBlock) input() proto.Input { return b.in }
func (b *findingBlock) reset()             { resetInput(b.in) }

// ids names the revisions in the block: a change of state is another row than the finding that it changes.
func (b *findingBlock) ids() []uuid.UUID {
	out := slices.Clone([]uuid.UUID(b.ID.ColUUID))
	for i := range out {
		tail := out[i][8:]
		binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^b.Revision[i])
	}
	return out
}

// block is what inserter takes.
type block interface {
	table() string
	rows() int
	input() proto.Input
	ids() []uuid.UUID
	reset()
}

func resetInput(in proto.Input) {
	for _, c := range in {
		c.Data.(proto.Resettable).Reset()
	}
}

// token names a block by its content: the same ids in the same order are the same block, whoever sends it.
func token(b block) string {
	h := sha256.New()
	h.Write([]byte(b.table()))
	for _, id := range b.ids() {
		h.Write(id[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// toolBlock is a block for the table tool_catalogue.
type toolBlock struct {
	notes
	tenant, server, tool lowCard
	hash, definition     text
	tokens               proto.ColUInt32
	firstSeen, lastSeen  times
	in                   proto.Input
}

func newToolBlock() *toolBlock {
	b := &toolBlock{}
	b.in = proto.Input{
		{Name: "tenant", Data: &b.tenant}, {Name: "server", Data: &b.server}, {Name: "tool", Data: &b.tool},
		{Name: "definition_hash", Data: &b.hash}, {Name: "tokens", Data: &b.tokens},
		{Name: "first_seen", Data: &b.firstSeen}, {Name: "last_seen", Data: &b.lastSeen}, {Name: "definition", Data: &b.definition},
	}
	return b
}

// append adds the definitions of a tools/list result, with the redacted text of each where the body has it.
func (b *toolBlock) append(e *event.Event) {
	var body struct {
		Result struct {
			Tools []json.RawMessage `json:"tools"`
		} `json:"result"`
	}
	texts := map[string]string{}
	if json.Unmarshal([]byte(e.Body), &body) == nil {
		for _, t := range body.Result.Tools {
			var named struct {
				Name string `json:"name"`
			}
			if json.Unmarshal(t, &named) == nil {
				texts[named.Name] = string(t)
			}
		}
	}
	server := e.Server
	if server == "" {
		server = e.ServerClaimedName
	}
	for _, d := range items(&b.notes, e.ToolDefs) {
		b.tenant.append(&b.notes, e.Tenant)
		b.server.append(&b.notes, server)
		b.tool.append(&b.notes, d.Name)
		b.hash.append(&b.notes, d.Hash)
		b.tokens.Append(uint32(b.clamp(d.Tokens, 0, 1<<32-1)))
		b.firstSeen.Append(e.Time)
		b.lastSeen.Append(e.Time)
		b.definition.append(&b.notes, texts[d.Name])
	}
}

func (b *toolBlock) rows() int { return b.tokens.Rows() }
func (b *toolBlock) reset()    { resetInput(b.in) }

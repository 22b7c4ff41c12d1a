package crosstenant

import (
	"encoding/binary"
	"encoding/json"

	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

// Bounds of what is remembered; each of these maps holds up to twice as many.
const (
	maxHandles  = 100_000
	maxTools    = 5_000
	maxSubjects = 50_000
	maxNames    = 20_000
	maxServers  = 5_000
)

// state is what is known of all tenants.
type state struct {
	facts
	ledger ledger
}

// facts are what is kept as JSON.
type facts struct {
	First    string                   `json:"first,omitempty"`   // the first tenant
	Tenants  int                      `json:"tenants,omitempty"` // up to 2: whether there is more than one
	Handles  generation.Map[handle]   `json:"handles"`           // sessions, tasks, credentials, connections
	Tools    generation.Map[tool]     `json:"tools"`
	Subjects generation.Map[subjects] `json:"subjects"` // by owner and server
	Servers  generation.Map[habit]    `json:"servers"`  // by server and kind of owner
	Names    generation.Map[string]   `json:"names"`    // of owners, by their hash
	Evidence generation.Map[string]   `json:"evidence"` // the last event of an owner at a tool
}

// handle is who uses a session, task, credential or connection.
type handle struct {
	Tenant    uint32 `json:"t"`
	Principal uint32 `json:"p"`
	At        int64  `json:"a"`
	Event     string `json:"e,omitempty"`
}

// tool is what is known of a tool, by kind of content.
type tool struct {
	First   uint32         `json:"f"` // the first owner
	Several bool           `json:"s,omitempty"`
	Seen    [kinds]float64 `json:"n"` // answers with content of the kind, once there were several owners
	Overlap [kinds]float64 `json:"o"` // of those, with content that was another owner's
	Whole   float64        `json:"w"` // answers with values, most of which one other owner had got together
}

// decay keeps the counts of a tool recent.
const decay = 2000

func (t *tool) count(k int, overlap bool) {
	if t.Seen[k] >= decay {
		t.Seen[k] /= 2
		t.Overlap[k] /= 2
		if k == int(shingle.Value) {
			t.Whole /= 2
		}
	}
	t.Seen[k]++
	if overlap {
		t.Overlap[k]++
	}
}

// share is how much of the kind is shared, with a little doubt while little is known.
func (t *tool) share(k int) float64 { return t.Overlap[k] / max(t.Seen[k], 1) }

// subjects are the names that an owner's data went by at a server.
type subjects struct {
	Name  [kinds]uint64 `json:"n"` // the one name of each kind
	Count [kinds]int32  `json:"c"` // how often
	Many  [kinds]bool   `json:"m"`
	Odd   [kinds]int32  `json:"o"` // how often another was seen

	Counted [kinds]bool `json:"h"` // in the server's habit
}

// habit says how many owners of a server have one name, and how many have several.
type habit struct {
	Single [kinds]int32 `json:"s"`
	Many   [kinds]int32 `json:"m"`
}

// MarshalBinary writes the state for a snapshot.
func (s *state) MarshalBinary() ([]byte, error) {
	b, err := json.Marshal(&s.facts)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)+entrySize*(len(s.ledger.now)+len(s.ledger.before))+8), uint32(len(b)))
	return s.ledger.append(append(out, b...)), nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (s *state) UnmarshalBinary(b []byte) error {
	if len(b) < 4 {
		return errState
	}
	n := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n > len(b) {
		return errState
	}
	if json.Unmarshal(b[:n], &s.facts) != nil {
		return errState
	}
	return s.ledger.read(b[n:])
}

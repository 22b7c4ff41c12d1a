package inspect

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/inspect/capability"
	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/outward"
	"github.com/mcpsiem/mcpsiem/internal/inspect/policy"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
	"github.com/mcpsiem/mcpsiem/internal/textscore"
)

// Limits of looking inside values.
const (
	maxNesting    = 10      // text in JSON in base64 in a string ... levels
	maxEncodings  = 4       // encodings in encodings; what is in a fifth is replaced unseen
	maxExpanded   = 1 << 20 // bytes that one compressed region may hold
	maxTenants    = 1024    // tenants whose writers are kept
	maxTenantName = 256     // bytes; a longer one's writer is not kept
	maxKeys       = 8192    // names of members whose meaning is kept
)

// worker holds everything that one message needs, for reuse by the next.
type worker struct {
	e           *Engine
	tenants     map[string]tenantWriter
	drops       uint64 // of the store of salts when tenants was last emptied
	keyless     *pseudonym.Writer
	writer      *pseudonym.Writer
	policy      policy.View
	keys        map[string]keyInfo
	recentKeys  [128]recentKey
	arguments   [64]argument
	levels      []*level
	cleanTexts  map[string]struct{} // attributes that held nothing, by mode, name and value
	cleanKeyBuf []byte
	path        [][]byte
	found       []finding
	values      []byte // what findings refer to
	hidden      view.Hidden
	changed     bool
	identity    bool // leave what says who acted
	deadline    time.Time
	ticks       int
	trace       []Found // not nil: note what is found in the outermost text
	expanded    int     // bytes decompressed for this message

	time int64

	seen     []class.ID // the classes found, each once
	reported int        // findings that the last report covered

	body      bool // the texts are of a body: note signals and samples
	quiet     bool // but not of this text
	inEncoded int  // encodings around the current text
	list      bool // the message lists tools or prompts
	toServer  bool // the message goes to the server
	shellTool bool // the called tool takes commands
	writes    bool // the called tool writes
	signals   signal.Set
	sample    shingle.Sample
	outward   outward.Collector
	period    int64
	k0, k1    uint64
	caps      capability.Set // of the tools defined in the message
	def       capability.Definition
	tools     toolScan
	scorer    *textscore.Scorer
}

// finding is a value that was found and replaced (or kept).
type finding struct {
	class    class.ID
	from, to int // in worker.values
	action   policy.Action
	part     signal.Part
}

// level is the scratch of one level of texts inside texts.
type level struct {
	text   class.Text
	views  [6]view.View
	src    view.View
	spans  []hit
	runs   []view.Run
	pieces []view.Run
	out    []byte
	dec    []byte
	walker jsonWalker
	mask   []byte
}

// hit is a span of the source of a text, with the value that it stands for.
type hit struct {
	from, to int
	class    class.ID
	vf, vt   int  // value in worker.values
	inner    bool // found inside an encoding: counted there
}

func (w *worker) init(e *Engine) {
	*w = worker{e: e, tenants: map[string]tenantWriter{}, keyless: pseudonym.NewKeyless(e.scanner.Known), keys: map[string]keyInfo{}, cleanTexts: map[string]struct{}{}, scorer: textscore.NewScorer(e.texts)}
}

func (w *worker) begin(tenant, server, tool string, at int64) {
	now := time.Now()
	w.writer = w.writerOf(tenant, now)
	w.e.cfg.Policy.For(&w.policy, tenant, server, tool)
	w.reported = 0
	w.found, w.values, w.path = w.found[:0], w.values[:0], w.path[:0]
	w.hidden = view.Hidden{}
	w.changed, w.identity = false, false
	w.deadline = now.Add(w.e.cfg.Timeout)
	w.ticks = 0
	w.expanded = 0
	w.time = at
	w.body, w.quiet, w.inEncoded, w.caps = false, false, 0, 0
	w.def = capability.Definition{}
	w.signals.Reset()
	w.tools.reset()
	if p := at / int64(w.e.cfg.Rotation); p != w.period || w.k0 == 0 {
		w.period = p
		w.k0, w.k1 = w.e.cfg.Master.Fingerprint(p)
	}
	w.sample.Reset(w.k0, w.k1)
	w.outward.Reset(w.k0, w.k1, w.mask)
}

// tenantWriter is a tenant's writer and the salt that its key was derived with.
type tenantWriter struct {
	*pseudonym.Writer
	salt pseudonym.Salt
}

// writerOf returns the writer for a tenant's present key, or the keyless one if that cannot be had.
func (w *worker) writerOf(tenant string, now time.Time) *pseudonym.Writer {
	cfg := &w.e.cfg
	var salt pseudonym.Salt
	if cfg.Tenants != nil {
		s, err := cfg.Tenants.Salt(tenant, now)
		if d := cfg.Tenants.Drops(); d != w.drops { // a salt has gone: nothing made with it may stay
			clear(w.tenants)
			w.drops = d
		}
		if err != nil {
			return w.keyless
		}
		salt = s
	}
	t, ok := w.tenants[tenant]
	if !ok || t.salt != salt {
		if len(w.tenants) >= maxTenants {
			clear(w.tenants)
		}
		var key [pseudonym.KeySize]byte
		if cfg.Tenants != nil {
			key = cfg.Master.Salted(tenant, cfg.Epoch, salt)
		} else {
			key = cfg.Master.Tenant(tenant, cfg.Epoch)
		}
		t = tenantWriter{pseudonym.NewWriter(key, w.e.scanner.Known), salt}
		if len(tenant) <= maxTenantName {
			w.tenants[tenant] = t
		}
	}
	return t.Writer
}

func (w *worker) level(depth int) *level {
	for len(w.levels) <= depth {
		w.levels = append(w.levels, &level{})
	}
	return w.levels[depth]
}

// walker readies the JSON walker of a level. A level has one text at a time, so one walker is enough.
func (w *worker) walker(depth int) *jsonWalker {
	j := &w.level(depth).walker
	*j = jsonWalker{w: w, depth: depth, maxDepth: w.e.cfg.MaxDepth, key: class.Key{Whole: class.None}, out: j.out, esc: j.esc, keyBuf: j.keyBuf, join: j.join[:0], pieces: j.pieces[:0]}
	return j
}

// late says that the message has used up its time; it looks at the clock now and then.
func (w *worker) late() bool {
	if w.ticks++; w.ticks&63 != 0 {
		return false
	}
	return time.Now().After(w.deadline)
}

// message examines a body.
func (w *worker) message(in *Input) (out []byte, reason string) {
	if !utf8.Valid(in.Body) {
		return nil, ReasonUTF8
	}
	w.body = true
	defer func() { w.body = false }()
	j := w.walker(0)
	j.top, j.elicitation, j.maxDepth = true, in.Method == "elicitation/create", w.e.cfg.MaxDepth
	out, err := j.rewrite(in.Body)
	if err != nil {
		return nil, reasonOf(err)
	}
	w.changed = j.changed
	return out, ""
}

// attribute examines a text of the record that is not the body.
func (w *worker) attribute(field, text string, mode Mode) (string, bool) {
	// Attributes repeat: what held nothing is not looked at again.
	w.cleanKeyBuf = append(append(append(append(w.cleanKeyBuf[:0], byte(mode)), field...), 0), text...)
	if len(text) <= 64 {
		if _, ok := w.cleanTexts[string(w.cleanKeyBuf)]; ok {
			return text, true
		}
	}
	n, hidden := len(w.found), w.hidden
	w.identity = mode == Identity
	defer func() { w.identity = false }()
	strong := mode != Full
	if len(text) > w.e.cfg.MaxBytes || !utf8.ValidString(text) {
		return "", false
	}
	w.path = append(w.path[:0], []byte(field))
	k := w.keyOf([]byte(field)).Key
	if strong {
		k = class.Key{Whole: class.None}
	}
	out, changed := w.scalar([]byte(text), k, strong, 0)
	if changed {
		return string(out), true
	}
	if len(text) <= 64 && n == len(w.found) && hidden == w.hidden {
		if len(w.cleanTexts) >= maxKeys {
			clear(w.cleanTexts)
		}
		w.cleanTexts[string(w.cleanKeyBuf)] = struct{}{}
	}
	return text, true
}

// keyInfo is what is known of the name of a member, so that names, which repeat, are examined once.
type keyInfo struct {
	class.Key
	clean bool // the name itself holds nothing
}

// recentKey is a slot of the names seen last.
type recentKey struct {
	name string
	info keyInfo
}

// recent is the slot that a name would be in.
func (w *worker) recent(name []byte) *recentKey {
	n := uint(len(name))
	if n == 0 {
		return &w.recentKeys[0]
	}
	return &w.recentKeys[(n*7+uint(name[0])*3+uint(name[n/2])*5+uint(name[n-1]))%uint(len(w.recentKeys))]
}

// keyOf says what is known of a name.
func (w *worker) keyOf(name []byte) keyInfo {
	r := w.recent(name)
	if r.name == string(name) && len(name) > 0 {
		return r.info
	}
	k, ok := w.keys[string(name)]
	if !ok {
		k = keyInfo{Key: w.e.scanner.KeyOf(name), clean: len(name) < 6}
	}
	w.remember(name, k, !ok)
	return k
}

// cleanKey notes that a name holds nothing.
func (w *worker) cleanKey(name []byte, k keyInfo) {
	k.clean = true
	w.remember(name, k, true)
}

// remember keeps what is known of a name; long ones, which do not repeat, would fill memory.
func (w *worker) remember(name []byte, k keyInfo, fresh bool) {
	if len(name) > 64 {
		return
	}
	s := string(name)
	if fresh {
		if len(w.keys) >= maxKeys {
			clear(w.keys)
		}
		w.keys[s] = k
	}
	*w.recent(name) = recentKey{s, k}
}

// record notes a finding and says what to do with it.
func (w *worker) record(c class.ID, vf, vt int) policy.Action {
	a := w.policy.Action(int(c), w.path)
	w.found = append(w.found, finding{c, vf, vt, a, w.part()})
	return a
}

// replace appends what stands in place of a value.
func (w *worker) replace(dst []byte, c class.ID, value []byte, a policy.Action) []byte {
	name := w.e.scanner.Classes[c].Name
	switch a {
	case policy.Drop:
		return pseudonym.Drop(dst, name)
	case policy.Hash:
		return w.writer.AppendHash(dst, name, value)
	case policy.Mask:
		if name == "card" && len(value) >= 12 && digitsOnly(value) {
			for range len(value) - 4 {
				dst = append(dst, '*')
			}
			return append(dst, value[len(value)-4:]...)
		}
		return append(dst, "********"...)
	case policy.LastFour:
		if len(value) >= 9 && w.e.scanner.Classes[c].Tags&class.Secret == 0 && tailSafe(value[len(value)-4:]) {
			return w.writer.Append(dst, name, value, string(value[len(value)-4:]))
		}
	}
	return w.writer.Append(dst, name, value, "")
}

func digitsOnly(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

func tailSafe(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 && (c|0x20)-'a' > 25 {
			return false
		}
	}
	return true
}

// value stores the normal form of a value, so that the ways to write it have one pseudonym, and returns where.
func (w *worker) value(c class.ID, b []byte) (from, to int) {
	from = len(w.values)
	cl := &w.e.scanner.Classes[c]
	switch {
	case len(cl.Digits) > 0 || cl.Name == "card" || cl.Name == "phone":
		for _, x := range b {
			if x-'0' < 10 || cl.Name != "phone" && (x|0x20)-'a' < 26 {
				w.values = append(w.values, x)
			}
		}
		if len(w.values) == from {
			w.values = append(w.values, b...)
		}
	case cl.Name == "email" || cl.Name == "ip" || cl.Name == "mac_address":
		for _, x := range b {
			if x-'A' < 26 {
				x += 32
			}
			w.values = append(w.values, x)
		}
	case cl.Name == "iban":
		for _, x := range b {
			if x != ' ' && x != '-' {
				if x-'a' < 26 {
					x -= 32
				}
				w.values = append(w.values, x)
			}
		}
	default:
		w.values = append(w.values, b...)
	}
	return from, len(w.values)
}

// report turns findings into the output's lists.
func (w *worker) report(out *Output) {
	w.reported = len(w.found)
	if w.reported == 0 {
		return
	}
	w.seen = w.seen[:0]
	for _, f := range w.found {
		if !slices.Contains(w.seen, f.class) {
			w.seen = append(w.seen, f.class)
		}
	}
	out.Classes, out.Redactions = out.Classes[:0], make(map[string]float64, len(w.seen))
	for _, c := range w.seen {
		out.Classes = append(out.Classes, w.e.scanner.Classes[c].Name)
	}
	for _, f := range w.found {
		if f.action != policy.Keep {
			out.Redactions[w.e.scanner.Classes[f.class].Name]++
		}
	}
	slices.Sort(out.Classes)
}

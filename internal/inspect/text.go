package inspect

import (
	"bytes"
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/policy"
	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
)

// scalar examines the decoded value of a string, or the digits of a number. The result is valid until the level is used again.
func (w *worker) scalar(b []byte, key class.Key, strong bool, depth int) (out []byte, changed bool) {
	if len(b) == 0 {
		return b, false
	}
	if !strong && key.Whole != class.None && !w.placeholderOnly(b) {
		c := &w.e.scanner.Classes[key.Whole]
		if c.KeyValue == nil || c.KeyValue(b) {
			return w.whole(b, key.Whole, depth)
		}
	}
	return w.text(b, key, strong, depth)
}

// whole replaces all of b.
func (w *worker) whole(b []byte, c class.ID, depth int) ([]byte, bool) {
	if w.placeholderOnly(b) {
		return b, false
	}
	vf, vt := w.value(c, b)
	a := w.record(c, vf, vt)
	if a == policy.Keep {
		return b, false
	}
	L := w.level(depth)
	L.out = w.replace(L.out[:0], c, w.values[vf:vt], a)
	return L.out, !bytes.Equal(L.out, b)
}

// placeholderOnly says whether b is one placeholder and nothing else, or the asterisks of a mask.
func (w *worker) placeholderOnly(b []byte) bool {
	if b[0] == '*' && len(b) >= 8 {
		i := 0
		for i < len(b) && b[i] == '*' {
			i++
		}
		return i == len(b) || i >= 8 && len(b)-i == 4 && digitsOnly(b[i:])
	}
	return b[0] == '<' && w.writer.Len(b) == len(b)
}

// text finds and replaces what is sensitive in b, in all its views.
func (w *worker) text(b []byte, key class.Key, strong bool, depth int) (out []byte, changed bool) {
	if depth < maxNesting {
		if first, last := edges(b); first == '{' && last == '}' || first == '[' && last == ']' || first == '"' && last == '"' && len(b) > 2 {
			mark := w.mark()
			j := w.walker(depth + 1)
			j.key, j.strong = key, strong
			out, err := j.rewrite(b)
			if err == nil {
				return out, j.changed
			}
			w.reset(mark)
			if err == errTime {
				panic(err)
			}
		}
	}
	L := w.level(depth)
	L.spans = L.spans[:0]
	in := signs(b)
	w.fits(b)
	L.src.B, L.src.Off = b, nil
	if in&hasLess != 0 {
		L.src.B = w.masked(L, b)
	}
	v := &L.src
	if in&hasHigh != 0 && view.Fold(&L.views[0], v, &w.hidden) {
		v = &L.views[0]
		in = signs(v.B)
	}
	if w.body && !strong && !w.quiet && len(b) >= 6 {
		w.sample.Text(v.B)
		w.otherwise(L, v.B, depth)
	}
	w.scanView(L, v, key, strong, depth, false)
	// What an escape hides; three times, for escapes of escapes. Quoted-printable has a sign that is common in other text, so that it is a
	// view of its own, of the text as it came and of what the escapes hid.
	cur := v
	if in&hasEscape != 0 {
		cur = w.unescaped(L, v, 1, 3, key, strong, depth)
		if cur != v && w.body && !strong && !w.quiet && w.toServer {
			w.sample.Text(cur.B)
		}
	}
	if in&hasEquals != 0 {
		w.quoted(L, v, key, strong, depth)
	}
	if cur != v {
		w.quoted(L, cur, key, strong, depth)
	}
	return w.resolve(L, b)
}

// unescaped scans v with its escapes undone up to rounds times, in the level's views from slot on (two of them), and returns the last view.
func (w *worker) unescaped(L *level, v *view.View, slot, rounds int, key class.Key, strong bool, depth int) *view.View {
	cur := v
	for round := range rounds {
		next := &L.views[slot+round%2]
		if bytes.IndexByte(cur.B, '%') < 0 && bytes.IndexByte(cur.B, '&') < 0 && bytes.IndexByte(cur.B, '\\') < 0 || !view.Unescape(next, cur) {
			break
		}
		cur = next
		if nonASCII(cur.B) {
			// folding needs a place of its own: the view it reads is not read again
			spare := &L.views[slot+(round+1)%2]
			if view.Fold(spare, cur, &w.hidden) {
				*spare, *cur = *cur, *spare
			}
		}
		w.scanView(L, cur, key, strong, depth, true)
	}
	return cur
}

// quoted scans v with quoted-printable undone, if it looks like it, and what escapes that hides.
func (w *worker) quoted(L *level, v *view.View, key class.Key, strong bool, depth int) {
	q := &L.views[3]
	if !quotedPrintable(v.B) || !view.QuotedPrintable(q, v) {
		return
	}
	if nonASCII(q.B) && view.Fold(&L.views[4], q, &w.hidden) {
		L.views[3], L.views[4] = L.views[4], L.views[3]
	}
	w.scanView(L, q, key, strong, depth, true)
	if quotedPrintable(q.B) && view.QuotedPrintable(&L.views[4], q) {
		q = &L.views[4]
		w.scanView(L, q, key, strong, depth, true)
		return
	}
	w.unescaped(L, q, 4, 1, key, strong, depth)
}

// Signs of views, found in one pass.
const (
	hasHigh = 1 << iota // a byte that is not ASCII
	hasEscape
	hasEquals
	hasLess
)

var signTable = func() (t [256]uint8) {
	for c := 0x80; c < 256; c++ {
		t[c] = hasHigh
	}
	t['%'], t['&'], t['\\'], t['='], t['<'] = hasEscape, hasEscape, hasEscape, hasEquals, hasLess
	return t
}()

func signs(b []byte) (s uint8) {
	for _, c := range b {
		s |= signTable[c]
	}
	return s
}

func edges(b []byte) (first, last byte) {
	i, k := 0, len(b)-1
	for i < k && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	for k > i && (b[k] == ' ' || b[k] == '\n' || b[k] == '\t' || b[k] == '\r') {
		k--
	}
	return b[i], b[k]
}

func nonASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// quotedPrintable says that b holds =XX more than by accident: twice, or a soft line break.
func quotedPrintable(b []byte) bool {
	n := 0
	for i := 0; i+2 < len(b); {
		k := bytes.IndexByte(b[i:], '=')
		if k < 0 || i+k+2 >= len(b) {
			return false
		}
		i += k + 1
		if b[i] == '\n' || b[i] == '\r' {
			return true
		}
		if isHex(b[i]) && isHex(b[i+1]) {
			if n++; n >= 1 {
				return true
			}
		}
	}
	return false
}

func isHex(c byte) bool { return c-'0' < 10 || c-'A' < 6 || c-'a' < 6 }

// scanView looks for values in a view and adds them to L.spans by their place in the source. again says that the view was made from one
// that was scanned before.
func (w *worker) scanView(L *level, v *view.View, key class.Key, strong bool, depth int, again bool) {
	if w.late() {
		panic(errTime)
	}
	t := &L.text
	t.B, t.Key, t.Strong = v.B, key, strong
	w.e.scanner.Scan(t)
	if w.body && !w.quiet {
		w.observe(t, key)
	}
	for _, s := range t.Spans {
		if w.identity && w.e.scanner.Classes[s.Class].Identity {
			continue
		}
		vf, vt := w.value(s.Class, v.B[s.Start:s.End])
		L.spans = append(L.spans, hit{v.At(s.Start), v.At(s.End), s.Class, vf, vt, false})
	}
	if depth >= maxNesting || len(v.B) < view.MinRun {
		return
	}
	L.runs = view.Runs(v.B, L.runs[:0])
	for i := range L.runs {
		r := L.runs[i]
		from, to := v.At(r.From), v.At(r.To)
		if again && to-from == r.To-r.From { // as in the view before
			continue
		}
		w.encoded(L, v, r, key, strong, depth)
	}
}

// encoded looks into what may be base64 or hexadecimal.
func (w *worker) encoded(L *level, v *view.View, r view.Run, key class.Key, strong bool, depth int) {
	enc := v.B[r.From:r.To]
	if len(enc) < 24 && plainWord(enc) {
		return
	}
	if r.Hex {
		L.dec = view.Hex(L.dec[:0], enc)
		if view.Text(L.dec) {
			w.inner(L, v, r, L.dec, key, strong, depth)
			return
		}
	}
	if len(enc) >= 16 && (enc[0] == 'H' || enc[0] == 'e') {
		if L.dec = view.Base64(L.dec[:0], enc, 0); view.Compressed(L.dec) {
			w.compressed(L, v, r, key, strong, depth)
			return
		}
	}
	good := view.Alignments(enc)
	for skip := 0; good>>skip != 0; skip++ {
		if good>>skip&1 == 0 {
			continue
		}
		L.dec = view.Base64(L.dec[:0], enc, skip)
		if len(L.dec) >= 6 && view.Text(L.dec) {
			w.inner(L, v, r, L.dec, key, strong, depth)
			return
		}
		// text with a different beginning or end, as a path before the encoding
		L.pieces = view.Printable(L.dec, 8, L.pieces[:0])
		for i := range L.pieces {
			p := L.pieces[i]
			if w.inner(L, v, r, L.dec[p.From:p.To], key, strong, depth) {
				return
			}
		}
	}
	w.foreign(L, v, r, enc, key, strong, depth)
}

// plainWord says that b is one lower-case word, perhaps with a capital, which an encoding of as many bytes never is.
func plainWord(b []byte) bool {
	for _, c := range b[1:] {
		if c-'a' > 25 {
			return false
		}
	}
	return true
}

// foreign looks for text that is not ASCII, which alignments do not show: from the beginning of the run and from behind its first few
// separators.
func (w *worker) foreign(L *level, v *view.View, r view.Run, enc []byte, key class.Key, strong bool, depth int) {
	start := 0
	for range 6 {
		L.dec = view.Base64(L.dec[:0], enc[start:min(len(enc), start+32)], 0)
		if len(L.dec) >= 6 && nonASCII(L.dec) && view.Text(L.dec) {
			L.dec = view.Base64(L.dec[:0], enc[start:], 0)
			if view.Text(L.dec) && w.inner(L, v, r, L.dec, key, strong, depth) {
				return
			}
		}
		k := bytes.IndexAny(enc[start:], "/-_+")
		if k < 0 || len(enc)-start-k-1 < view.MinRun {
			return
		}
		start += k + 1
	}
}

// inner examines decoded text; if it holds something that must go, so does the whole region.
func (w *worker) inner(L *level, v *view.View, r view.Run, dec []byte, key class.Key, strong bool, depth int) bool {
	if w.inEncoded == maxEncodings { // too deep to look at
		vf, vt := w.value(w.e.ids.encoded, v.B[r.From:r.To])
		L.spans = append(L.spans, hit{v.At(r.From), v.At(r.To), w.e.ids.encoded, vf, vt, false})
		return true
	}
	n := len(w.found)
	w.inEncoded++
	w.text(dec, key, strong, depth+1)
	w.inEncoded--
	for _, f := range w.found[n:] {
		if f.action != policy.Keep {
			L.spans = append(L.spans, hit{v.At(r.From), v.At(r.To), f.class, f.from, f.to, true})
			return true
		}
	}
	return false
}

func (w *worker) compressed(L *level, v *view.View, r view.Run, key class.Key, strong bool, depth int) {
	limit := min(maxExpanded, w.e.cfg.MaxBytes, 64*len(L.dec)+4096, 2*maxExpanded-w.expanded)
	if limit > 0 {
		out, ok := view.Expand(L.dec, limit)
		w.expanded += len(out)
		if ok && view.Text(out) {
			w.inner(L, v, r, out, key, strong, depth)
			return
		}
	}
	vf, vt := w.value(w.e.ids.encoded, v.B[r.From:r.To])
	L.spans = append(L.spans, hit{v.At(r.From), v.At(r.To), w.e.ids.encoded, vf, vt, false})
}

// resolve merges L.spans, records them and rewrites b.
func (w *worker) resolve(L *level, b []byte) ([]byte, bool) {
	if len(L.spans) == 0 {
		return b, false
	}
	slices.SortStableFunc(L.spans, func(x, y hit) int {
		if x.from != y.from {
			return x.from - y.from
		}
		return y.to - x.to
	})
	L.out = L.out[:0]
	at := 0
	changed := false
	for i := 0; i < len(L.spans); {
		h := L.spans[i]
		// The union of what overlaps is one value, of the highest class, and of the longest in that.
		best := h
		end := h.to
		k := i + 1
		for k < len(L.spans) && L.spans[k].from < end {
			o := L.spans[k]
			end = max(end, o.to)
			if a, b := w.rank(o.class), w.rank(best.class); a > b || a == b && o.to-o.from > best.to-best.from {
				best = o
			}
			k++
		}
		i = k
		var a policy.Action
		if best.inner {
			a = w.policy.Action(int(best.class), w.path)
		} else {
			a = w.record(best.class, best.vf, best.vt)
		}
		if a == policy.Keep {
			continue
		}
		if w.trace != nil && L == w.levels[0] {
			w.trace = append(w.trace, Found{h.from, end, w.e.scanner.Classes[best.class].Name})
		}
		changed = true
		L.out = append(L.out, b[at:h.from]...)
		L.out = w.replace(L.out, best.class, w.values[best.vf:best.vt], a)
		at = end
	}
	if !changed {
		return b, false
	}
	L.out = append(L.out, b[at:]...)
	return L.out, true
}

// rank orders classes that claim the same place: credentials of a known kind, personal data that proves itself, credentials by their
// name, the rest.
func (w *worker) rank(c class.ID) int {
	cl := &w.e.scanner.Classes[c]
	switch {
	case c == w.e.ids.secret:
		return 1
	case cl.Tags&class.Secret != 0:
		return 3
	case cl.Name == "email" || cl.Name == "ip": // an address may be a part of something longer
		return 0
	}
	return 2
}

// masked returns b with our own placeholders overwritten by a sign that no value holds, so that neither their digits nor their words are
// read again; b itself if it has none.
func (w *worker) masked(L *level, b []byte) []byte {
	copied := false
	for i := 0; i < len(b); {
		k := bytes.IndexByte(b[i:], '<')
		if k < 0 {
			break
		}
		i += k
		n := w.writer.Len(b[i:])
		if n == 0 {
			i++
			continue
		}
		if !copied {
			copied = true
			L.mask = append(L.mask[:0], b...)
		}
		for k := i; k < i+n; k++ {
			L.mask[k] = '<'
		}
		i += n
	}
	if copied {
		return L.mask
	}
	return b
}

type mark struct{ found, values int }

func (w *worker) mark() mark   { return mark{len(w.found), len(w.values)} }
func (w *worker) reset(m mark) { w.found, w.values = w.found[:m.found], w.values[:m.values] }

func sortByStart(s []class.Span) {
	slices.SortStableFunc(s, func(x, y class.Span) int { return x.Start - y.Start })
}

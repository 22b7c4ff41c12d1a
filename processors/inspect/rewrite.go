package inspect

import (
	"maps"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
	engine "github.com/mcpsiem/mcpsiem/internal/inspect"
)

type resource = pcommon.Resource

// withheldText stands in place of a text that could not be examined.
const withheldText = "<withheld>"

// rewriter puts redacted texts into every field of a record that can hold text.
type rewriter struct {
	s   *engine.Session
	dry bool
}

func bodyOf(lr plog.LogRecord) []byte {
	switch b := lr.Body(); b.Type() {
	case pcommon.ValueTypeEmpty:
		return nil
	case pcommon.ValueTypeBytes:
		return b.Bytes().AsRaw()
	case pcommon.ValueTypeStr:
		return []byte(b.Str())
	default:
		return []byte(b.AsString())
	}
}

func (r *rewriter) record(lr plog.LogRecord, out *engine.Output) {
	m := lr.Attributes()
	defs := toolsOf(m, out)
	r.maps(m)
	lr.SetEventName(r.text("event_name", lr.EventName(), engine.Full))
	lr.SetSeverityText(r.text("severity_text", lr.SeverityText(), engine.Full))
	event.DropRaw(m)
	r.s.Report(out)
	switch {
	case out.Withheld != "":
		pcommon.NewValueEmpty().CopyTo(lr.Body())
		m.PutStr(event.AttrCapture, event.CaptureWithheld)
		m.PutStr(event.AttrWithheldReason, out.Withheld)
	case out.Body != nil && !r.dry:
		lr.Body().SetStr(string(out.Body))
	}
	if out.BodyFingerprint != "" {
		m.PutStr(event.AttrBodyFingerprint, out.BodyFingerprint)
	}
	if len(out.Classes) > 0 {
		attr.PutStrings(m, event.AttrDataClasses, out.Classes)
	}
	if len(out.Redactions) > 0 {
		attr.PutScores(m, event.AttrRedactions, out.Redactions)
	}
	if len(out.Signals) > 0 {
		addSignals(m, out.Signals)
	}
	if len(out.Fingerprints) > 0 {
		attr.PutInts(m, event.AttrFingerprints, out.Fingerprints)
	}
	if len(out.Destinations) > 0 {
		attr.PutStrings(m, event.AttrDestinations, out.Destinations)
	}
	if len(out.Names) > 0 {
		attr.PutInts(m, event.AttrNames, out.Names)
	}
	if out.Arguments != 0 {
		m.PutInt(event.AttrArgumentsFingerprint, int64(out.Arguments))
	}
	if len(out.Capabilities) > 0 {
		attr.PutStrings(m, event.AttrCapabilities, out.Capabilities)
	}
	putTools(m, defs)
}

// toolsOf finds for each tool definition that an earlier stage listed what was found in it: by its place in the list and its name, or,
// where those do not meet (a server that sends two lists in one result), by the name alone.
func toolsOf(m pcommon.Map, out *engine.Output) []*engine.ToolSignals {
	v, ok := m.Get(event.AttrToolDefs)
	if !ok || v.Type() != pcommon.ValueTypeSlice || len(out.Tools) == 0 {
		return nil
	}
	list := v.Slice()
	found := make([]*engine.ToolSignals, list.Len())
	var left map[string]*engine.ToolSignals
	for k := range out.Tools {
		t := &out.Tools[k]
		if t.Index < len(found) && toolName(list.At(t.Index)) == t.Name {
			found[t.Index] = t
			continue
		}
		if left == nil {
			left = map[string]*engine.ToolSignals{}
		}
		left[t.Name] = t
	}
	for i := range found {
		if left == nil {
			break
		}
		if found[i] == nil {
			found[i] = left[toolName(list.At(i))]
		}
	}
	return found
}

func toolName(v pcommon.Value) string {
	if v.Type() != pcommon.ValueTypeMap {
		return ""
	}
	name, ok := v.Map().Get("name")
	if !ok {
		return ""
	}
	return name.AsString()
}

// putTools adds signals and capabilities to the definitions.
func putTools(m pcommon.Map, defs []*engine.ToolSignals) {
	if len(defs) == 0 {
		return
	}
	v, _ := m.Get(event.AttrToolDefs)
	list := v.Slice()
	for i, d := range defs {
		if d == nil || list.At(i).Type() != pcommon.ValueTypeMap {
			continue
		}
		it := list.At(i).Map()
		if len(d.Signals) > 0 {
			attr.PutScores(it, "signals", d.Signals)
		}
		if len(d.Capabilities) > 0 {
			attr.PutStrings(it, "capabilities", d.Capabilities)
		}
	}
}

// addSignals puts signals beside those that stages before have put.
func addSignals(m pcommon.Map, signals map[string]float64) {
	if old, ok := m.Get(event.AttrSignals); ok {
		all := map[string]float64{}
		maps.Copy(all, attr.Scores(old))
		maps.Copy(all, signals)
		signals = all
	}
	attr.PutScores(m, event.AttrSignals, signals)
}

func (r *rewriter) resource(rl plog.ResourceLogs) {
	m := rl.Resource().Attributes()
	r.maps(m)
	event.DropRaw(m)
	rl.SetSchemaUrl(r.text("schema_url", rl.SchemaUrl(), engine.Full))
	for i := range rl.ScopeLogs().Len() {
		sl := rl.ScopeLogs().At(i)
		sl.SetSchemaUrl(r.text("schema_url", sl.SchemaUrl(), engine.Full))
		sc := sl.Scope()
		sc.SetName(r.text("scope", sc.Name(), engine.Full))
		sc.SetVersion(r.text("version", sc.Version(), engine.Strong))
		r.maps(sc.Attributes())
		event.DropRaw(sc.Attributes())
	}
}

// identity are the attributes that say who acted from where. An auditor needs them as they are; only what proves itself a secret or
// a number that must not be there is replaced.
var identity = map[string]bool{
	event.AttrPrincipalID: true, event.AttrPrincipalIssuer: true, event.AttrPrincipalTeam: true, event.AttrOnBehalfOf: true, event.AttrIdentityClaims: true, event.AttrHostName: true,
	event.AttrOSUser: true, event.AttrServerAddress: true, event.AttrClientAddress: true, event.AttrTenant: true, event.AttrAuthAudience: true, event.AttrAuthScopes: true,
}

// machine are the attributes that mcpsiem makes itself: ids, hashes, enumerations. They are kept where they have that shape.
var machine = func() map[string]bool {
	m := map[string]bool{}
	for _, f := range event.Schema {
		if !f.Raw && !identity[f.Attr] {
			m[f.Attr] = true
		}
	}
	for _, a := range []string{event.AttrLabels, event.AttrResourceURI, event.AttrPrompt, event.AttrTool, event.AttrServer, event.AttrRequestID, event.AttrClientName, event.AttrClientVersion, event.AttrServerClaimedName,
		event.AttrServerClaimedVersion, event.AttrErrorType, event.AttrParentCommand, event.AttrCommand, event.AttrPackage, event.AttrAnomalies} {
		delete(m, a)
	}
	return m
}()

// known are the names of the schema, which hold nothing.
var known = func() map[string]bool {
	m := map[string]bool{}
	for _, f := range event.Schema {
		m[f.Attr] = true
	}
	return m
}()

// modes are the modes of the names of the schema.
var modes = func() map[string]engine.Mode {
	m := map[string]engine.Mode{}
	for a := range known {
		m[a] = engine.Full
	}
	for a := range machine {
		m[a] = engine.Strong
	}
	for a := range identity {
		m[a] = engine.Identity
	}
	return m
}()

// modeOf is how the value of an attribute is examined, and whether the name is one of the schema.
func modeOf(attr string) (m engine.Mode, ours bool) {
	m, ours = modes[attr]
	if !ours {
		m = engine.Full
	}
	return m, ours
}

// hexID says whether s is a hash or id as mcpsiem writes them.
func hexID(s string) bool {
	if len(s) != 16 && len(s) != 32 && len(s) != 64 {
		return false
	}
	letters := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'f':
			letters = true
		case c < '0' || c > '9':
			return false
		}
	}
	return letters || len(s) > 19
}

func (r *rewriter) maps(m pcommon.Map) {
	if r.dry {
		return
	}
	var bad []string
	for k, v := range m.All() {
		if k == event.AttrBodySHA256 || strings.HasPrefix(k, event.RawPrefix) {
			continue // dropped below
		}
		if k == event.AttrResourceURI && v.Type() == pcommon.ValueTypeStr {
			v.SetStr(r.uri(v.Str()))
			continue
		}
		mode, ours := modeOf(k)
		r.value(k, v, mode)
		if ours {
			continue
		}
		if n := r.text("", k, engine.Strong); n != k {
			bad = append(bad, k)
		}
	}
	for _, k := range bad {
		v, _ := m.Get(k)
		name := r.text("", k, engine.Strong)
		for i := 2; ; i++ {
			if _, taken := m.Get(name); !taken {
				break
			}
			name = strings.TrimSuffix(name, "#"+strconv.Itoa(i-1)) + "#" + strconv.Itoa(i)
		}
		nv := pcommon.NewValueEmpty()
		v.CopyTo(nv)
		m.Remove(k)
		nv.CopyTo(m.PutEmpty(name))
	}
}

// value rewrites a value of any type in place. field is the name that it goes by.
func (r *rewriter) value(field string, v pcommon.Value, mode engine.Mode) {
	if r.dry {
		return
	}
	switch v.Type() {
	case pcommon.ValueTypeStr:
		s := v.Str()
		if mode != engine.Full && hexID(s) {
			return
		}
		if n := r.text(field, s, mode); n != s {
			v.SetStr(n)
		}
	case pcommon.ValueTypeBytes:
		s := string(v.Bytes().AsRaw())
		if n := r.text(field, s, mode); n != s {
			v.SetStr(n)
		}
	case pcommon.ValueTypeInt:
		s := strconv.FormatInt(v.Int(), 10)
		if len(s) < 3 {
			return
		}
		if n := r.text(field, s, mode); n != s {
			v.SetStr(n)
		}
	case pcommon.ValueTypeDouble:
		if f := v.Double(); f == float64(int64(f)) && (f >= 1e6 || f <= -1e6) {
			s := strconv.FormatInt(int64(f), 10)
			if n := r.text(field, s, mode); n != s {
				v.SetStr(n)
			}
		}
	case pcommon.ValueTypeMap:
		r.maps(v.Map())
	case pcommon.ValueTypeSlice:
		s := v.Slice()
		for i := range s.Len() {
			r.value(field, s.At(i), mode)
		}
		if mode == engine.Full {
			r.joined(s)
		}
	}
}

// joined replaces a list of texts that hold a value only together.
func (r *rewriter) joined(s pcommon.Slice) {
	if s.Len() < 2 {
		return
	}
	var b strings.Builder
	for i := range s.Len() {
		switch v := s.At(i); v.Type() {
		case pcommon.ValueTypeStr, pcommon.ValueTypeInt:
			if b.Len() > 64<<10 {
				return
			}
			b.WriteString(v.AsString())
		default:
			return
		}
	}
	all := b.String()
	if n := r.text("", all, engine.Strong); n != all {
		s.At(0).SetStr(n)
		for i := 1; i < s.Len(); i++ {
			s.At(i).SetStr("")
		}
	}
}

func (r *rewriter) text(field, s string, mode engine.Mode) string {
	if r.dry || s == "" {
		return s
	}
	out, ok := r.s.Text(field, s, mode)
	if !ok {
		return withheldText
	}
	return out
}

// uri replaces the user information and the values of the query of a URI, and what is sensitive in the rest.
func (r *rewriter) uri(s string) string {
	q := strings.IndexByte(s, '?')
	if q < 0 {
		return r.text(event.AttrResourceURI, s, engine.Full)
	}
	var b strings.Builder
	b.WriteString(r.text(event.AttrResourceURI, s[:q], engine.Full))
	query, fragment, hasFragment := strings.Cut(s[q+1:], "#")
	for i, p := range strings.Split(query, "&") {
		if i == 0 {
			b.WriteByte('?')
		} else {
			b.WriteByte('&')
		}
		name, value, has := strings.Cut(p, "=")
		b.WriteString(r.text("", name, engine.Full))
		if has {
			b.WriteByte('=')
			b.WriteString(r.s.Replace("query_value", value))
		}
	}
	if hasFragment {
		b.WriteByte('#')
		b.WriteString(r.text(event.AttrResourceURI, fragment, engine.Full))
	}
	return b.String()
}

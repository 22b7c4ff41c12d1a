package rule

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Problem is a fault in a file, for the person who writes it.
type Problem struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Text string // what is wrong
	Hint string // what to do, if that is known
}

func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	s += ": " + p.Text
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Problems are all faults that were found.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Bounds of files.
const (
	maxFile  = 256 << 10 // bytes
	maxDepth = 16        // of nesting
)

// Duration is a time.Duration that is also written in days: 30d.
type Duration time.Duration

func parseDuration(s string) (Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		k, err := strconv.ParseUint(n, 10, 16)
		if err != nil || k > 3650 {
			return 0, fmt.Errorf("%q is no duration", s)
		}
		return Duration(time.Duration(k) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 3650*24*time.Hour {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return Duration(d), nil
}

func (d Duration) String() string {
	v := time.Duration(d)
	const day = 24 * time.Hour
	if v >= 2*day && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalYAML writes what parseDuration reads.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// documents reads the YAML documents of a file. Anchors are refused: rules need none, and they are how a small file grows large.
func documents(file string, text []byte) ([]*yaml.Node, Problems) {
	if len(text) > maxFile {
		return nil, Problems{{File: file, Text: fmt.Sprintf("the file has more than %d KiB", maxFile>>10), Hint: "split it"}}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var out []*yaml.Node
	for {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			if err.Error() == "EOF" {
				return out, nil
			}
			line := 0
			msg := strings.TrimPrefix(err.Error(), "yaml: ")
			if rest, ok := strings.CutPrefix(msg, "line "); ok {
				if num, after, ok := strings.Cut(rest, ": "); ok {
					if line, _ = strconv.Atoi(num); line > 0 {
						msg = after
					}
				}
			}
			return nil, Problems{{File: file, Line: line, Text: "this is no YAML: " + msg}}
		}
		if len(n.Content) != 1 || n.Content[0].Tag == "!!null" {
			continue
		}
		if bad := forbidden(n.Content[0], 0); bad != nil {
			return nil, Problems{{File: file, Line: bad.Line, Text: "anchors, aliases, merge keys and deep nesting are not supported here"}}
		}
		out = append(out, n.Content[0])
		if len(out) > 1000 {
			return nil, Problems{{File: file, Text: "the file has more than 1000 documents", Hint: "split it"}}
		}
	}
}

func forbidden(n *yaml.Node, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" || depth > maxDepth {
		return n
	}
	for _, c := range n.Content {
		if bad := forbidden(c, depth+1); bad != nil {
			return bad
		}
	}
	return nil
}

// reader fills structs from YAML nodes, strictly, and notes where each value stands.
type reader struct {
	file     string
	problems Problems
	lines    map[string]int // path of a value -> line
}

func (r *reader) fail(line int, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// selfReader is implemented by types that read themselves.
type selfReader interface {
	readNode(r *reader, n *yaml.Node, path string)
}

func (r *reader) read(n *yaml.Node, path string, v reflect.Value) {
	r.lines[path] = n.Line
	if v.CanAddr() {
		if x, ok := v.Addr().Interface().(selfReader); ok {
			x.readNode(r, n, path)
			return
		}
	}
	if v.Type() == reflect.TypeFor[Duration]() {
		d, err := parseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			r.fail(n.Line, "write 90s, 10m, 2h or 30d", "%s is no duration", path)
			return
		}
		v.SetInt(int64(d))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		r.read(n, path, p.Elem())
		v.Set(p)
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			r.fail(n.Line, "", "%s must be a mapping of keys to values", orFile(path))
			return
		}
		fields := map[string]int{}
		var names []string
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if name != "" && name != "-" {
				fields[name] = i
				names = append(names, name)
			}
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, val := n.Content[i], n.Content[i+1]
			f, ok := fields[k.Value]
			if !ok {
				r.fail(k.Line, suggest(k.Value, names), "there is no key %q in %s", k.Value, orFile(path))
				continue
			}
			if seen[k.Value] {
				r.fail(k.Line, "", "key %q stands twice", k.Value)
				continue
			}
			seen[k.Value] = true
			if val.Tag == "!!null" {
				continue
			}
			r.read(val, join(path, k.Value), v.Field(f))
		}
	case reflect.Slice:
		if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf([]string{n.Value}))
			return
		}
		if n.Kind != yaml.SequenceNode {
			r.fail(n.Line, "", "%s must be a list", path)
			return
		}
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			r.read(c, path+"["+strconv.Itoa(i)+"]", out.Index(i))
		}
		v.Set(out)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			r.fail(n.Line, "", "%s must be a mapping of names to values", path)
			return
		}
		m := reflect.MakeMap(v.Type())
		for i := 0; i+1 < len(n.Content); i += 2 {
			e := reflect.New(v.Type().Elem()).Elem()
			r.read(n.Content[i+1], join(path, n.Content[i].Value), e)
			m.SetMapIndex(reflect.ValueOf(n.Content[i].Value), e)
		}
		v.Set(m)
	default:
		if n.Kind != yaml.ScalarNode {
			r.fail(n.Line, "", "%s must be a single value", path)
			return
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(n.Value)
		case reflect.Bool:
			b, err := strconv.ParseBool(n.Value)
			if err != nil {
				r.fail(n.Line, "", "%s must be true or false", path)
			}
			v.SetBool(b)
		case reflect.Int:
			x, err := strconv.Atoi(n.Value)
			if err != nil {
				r.fail(n.Line, "", "%s must be a whole number", path)
			}
			v.SetInt(int64(x))
		case reflect.Float64:
			x, err := strconv.ParseFloat(n.Value, 64)
			if err != nil || x != x {
				r.fail(n.Line, "", "%s must be a number", path)
				return
			}
			v.SetFloat(x)
		}
	}
}

func orFile(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// suggest is a hint with the name that was most likely meant.
func suggest(got string, names []string) string {
	best, at := "", 3
	if len(got) > 8 {
		at = 4
	}
	if len(got) > 64 {
		got = got[:64]
	}
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(got, n); d < at {
			best, at = n, d
		}
	}
	if best == "" {
		for _, n := range slices.Sorted(slices.Values(names)) {
			if len(got) > 3 && (strings.Contains(n, got) || strings.Contains(got, n) && len(n) > 3) {
				best = n
				break
			}
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diag
			if a[i] != b[j] {
				d = min(diag, row[j], row[j+1]) + 1
			}
			diag, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// Nodes reads the YAML documents of a file within the bounds that rules have: size, depth, no anchors.
func Nodes(file string, text []byte) ([]*yaml.Node, Problems) { return documents(file, text) }

// Marshal writes a rule as a file that Parse reads.
func Marshal(f File) ([]byte, error) {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("cannot write rule %s: %w", f.ID, err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("cannot write rule %s: %w", f.ID, err)
	}
	return []byte(b.String()), nil
}

// CEF: schemas/mappings/cef.yaml compiled, and its escaping.

package syslog

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/schemas/mappings"
)

type cefMapping struct {
	Version int                   `yaml:"version"`
	Records map[sink.Kind]*cefMap `yaml:"records"`
}

type cefMap struct {
	Signature []string `yaml:"signature"`
	Name      []string `yaml:"name"`
	Severity  struct {
		Default int            `yaml:"default"`
		By      string         `yaml:"by"`
		Values  map[string]int `yaml:"values"`
	} `yaml:"severity"`
	Extensions []cefField `yaml:"extensions"`
}

type cefField struct {
	Key   string   `yaml:"key"`
	Label string   `yaml:"label"`
	From  []string `yaml:"from"`
	Max   int      `yaml:"max"`
	Kind  string   `yaml:"kind"` // address, number; else text
}

// readCEF compiles the mapping and refuses one that names what there is not.
func readCEF(text []byte) (*cefMapping, error) {
	var m cefMapping
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot read the CEF mapping: %w", err)
	}
	if m.Version != 1 {
		return nil, fmt.Errorf("cannot read the CEF mapping: version %d, this is made for 1", m.Version)
	}
	for _, k := range sink.Kinds {
		r := m.Records[k]
		if r == nil {
			return nil, fmt.Errorf("cannot use the CEF mapping: nothing for records of kind %s", k)
		}
		names := slices.Concat(r.Signature, r.Name)
		if r.Severity.By != "" {
			names = append(names, r.Severity.By)
		}
		seen := map[string]bool{}
		for _, x := range r.Extensions {
			names = append(names, x.From...)
			if x.Key == "" || seen[x.Key] || strings.ContainsFunc(x.Key, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
				return nil, fmt.Errorf("cannot use the CEF mapping: %s: key %q is none, or there twice", k, x.Key)
			}
			seen[x.Key] = true
		}
		for _, n := range names {
			if !known(k, n) {
				return nil, fmt.Errorf("cannot use the CEF mapping: records of kind %s have no field %q", k, n)
			}
		}
	}
	return &m, nil
}

var defaultCEF = func() *cefMapping {
	m, err := readCEF(mappings.CEF)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return m
}()

// cutBytes shortens s to at most n bytes at the boundary of a character.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n = max(n, 0); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n]
}

// valid replaces what is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// control replaces control characters, with which a receiver could be made to see another message.
func control(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, valid(s))
}

var cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`)

// In an extension's value line breaks are escaped, and stay readable.
var cefValue = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\r\n", `\n`, "\n", `\n`, "\r", `\r`)

func first(rec *sink.Record, names []string) string {
	for _, n := range names {
		if v := value(rec, n); v != "" {
			return v
		}
	}
	return ""
}

// cef appends a record as CEF, at most limit bytes of it: extensions that do not fit are left out.
func (m *cefMapping) append(b []byte, rec *sink.Record, limit int) []byte {
	r := m.Records[rec.Kind()]
	severity := r.Severity.Default
	if r.Severity.By != "" {
		if v, ok := r.Severity.Values[value(rec, r.Severity.By)]; ok {
			severity = v
		}
	}
	start := len(b)
	head := func(names []string, max int) {
		s := control(cutBytes(first(rec, names), max))
		if s == "" {
			s = "unknown"
		}
		b = append(append(b, '|'), cefHeader.Replace(s)...)
	}
	b = append(b, "CEF:0|mcpsiem|mcpsiem|1"...)
	head(r.Signature, 96)
	head(r.Name, 96)
	b = append(append(b, '|'), strconv.Itoa(severity)...)
	b = append(b, '|')
	sep := ""
	var one []byte
	for _, x := range r.Extensions {
		v := first(rec, x.From)
		switch {
		case v == "":
			continue
		case x.Kind == "address":
			ap, err := netip.ParseAddrPort(v)
			a := ap.Addr()
			if err != nil {
				if a, err = netip.ParseAddr(v); err != nil {
					continue // a name: CEF wants an address here
				}
			}
			v = a.Unmap().WithZone("").String()
		}
		if x.Max > 0 {
			v = cutBytes(v, x.Max)
		}
		v = strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return r
			}
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
				return ' '
			}
			return r
		}, valid(v))
		one = append(append(append(append(one[:0], sep...), x.Key...), '='), cefValue.Replace(v)...)
		if x.Label != "" {
			one = append(append(append(append(append(one, ' '), x.Key...), "Label="...), x.Label...), ""...)
		}
		if len(b)-start+len(one) > limit {
			continue
		}
		b, sep = append(b, one...), " "
	}
	return b
}

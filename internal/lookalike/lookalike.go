// Package lookalike recognises names of servers and packages that are nearly those of well-known ones.
package lookalike

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/internal/launch"
	"github.com/mcpsiem/mcpsiem/schemas"
)

// How a name is like another.
const (
	Malicious  = "malicious"  // the package itself is known to do harm
	Vulnerable = "vulnerable" // this version of it has a known hole
	Confusable = "confusable" // characters that look alike
	Typo       = "typo"       // a few letters
	Scope      = "scope"      // a publisher's scope, misspelt
	Unscoped   = "unscoped"   // a publisher's package without its scope
	Official   = "official"   // claims to be official
	OtherScope = "other_scope"
)

// Verdict says what a name is like; the zero value says that it is like nothing.
type Verdict struct {
	How  string
	Like string // the known name
	Why  string // of what is malicious or vulnerable
}

// maxName is how much of a name is compared, bytes; longer ones are like nothing.
const maxName = 128

type file struct {
	Version  int                 `yaml:"version"`
	Updated  string              `yaml:"updated"`
	Sources  []string            `yaml:"sources"`
	Scopes   []string            `yaml:"scopes"`
	Packages map[string][]string `yaml:"packages"`
	Products []string            `yaml:"products"`
	Ordinary []string            `yaml:"ordinary"`
	Bad      []struct {
		Package  string   `yaml:"package"`
		Versions []string `yaml:"versions"`
		Why      string   `yaml:"why"`
	} `yaml:"malicious"`
	Vulnerable []struct {
		Package string `yaml:"package"`
		Below   string `yaml:"below"`
		Why     string `yaml:"why"`
	} `yaml:"vulnerable"`
}

// Catalogue is what is known; safe for concurrent use.
type Catalogue struct {
	f        file
	scopes   map[string]bool
	packages map[string]map[string]bool // by registry
	products map[string]bool
	ordinary map[string]bool
}

// Default is the built-in catalogue.
func Default() (*Catalogue, error) { return Parse(schemas.KnownServers) }

// Load is the built-in catalogue with the operator's file added to it.
func Load(name string) (*Catalogue, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read known servers: %w", err)
	}
	c, err := Default()
	if err != nil {
		return nil, err
	}
	own, err := read(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot use known servers %s: %w", name, err)
	}
	c.add(own)
	return c, nil
}

// Parse reads a catalogue.
func Parse(raw []byte) (*Catalogue, error) {
	f, err := read(raw)
	if err != nil {
		return nil, err
	}
	c := &Catalogue{scopes: map[string]bool{}, packages: map[string]map[string]bool{}, products: map[string]bool{}, ordinary: map[string]bool{}}
	c.add(f)
	return c, nil
}

func read(raw []byte) (f file, err error) {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return f, err
	}
	if f.Version != 1 {
		return f, fmt.Errorf("version %d is not known, want 1", f.Version)
	}
	return f, nil
}

func (c *Catalogue) add(f file) {
	lower := func(to map[string]bool, from []string) {
		for _, s := range from {
			to[strings.ToLower(s)] = true
		}
	}
	lower(c.scopes, f.Scopes)
	lower(c.products, f.Products)
	lower(c.ordinary, f.Ordinary)
	for reg, names := range f.Packages {
		if c.packages[reg] == nil {
			c.packages[reg] = map[string]bool{}
		}
		lower(c.packages[reg], names)
		for _, n := range names {
			if s, _, ok := strings.Cut(strings.TrimPrefix(n, "@"), "/"); ok && n[0] == '@' {
				c.scopes[strings.ToLower(s)] = true
			}
		}
	}
	c.f.Bad = append(c.f.Bad, f.Bad...)
	c.f.Vulnerable = append(c.f.Vulnerable, f.Vulnerable...)
}

// Package judges a package as launch.Package names it.
func (c *Catalogue) Package(pkg string) Verdict {
	registry, name := launch.Name(pkg)
	if name == "" || len(name) > maxName {
		return Verdict{}
	}
	version := strings.Trim(strings.TrimPrefix(strings.ToLower(pkg), registry+":"+name), "@=~^")
	for _, b := range c.f.Bad {
		if b.Package == registry+":"+name && (len(b.Versions) == 0 || version == "" || version == "latest" || slices.Contains(b.Versions, version)) {
			return Verdict{Malicious, b.Package, b.Why}
		}
	}
	for _, v := range c.f.Vulnerable {
		if v.Package == registry+":"+name && older(version, v.Below) {
			return Verdict{Vulnerable, v.Package, v.Why}
		}
	}
	known := c.packages[registry]
	if known[name] {
		return Verdict{}
	}
	scope, bare, scoped := strings.Cut(strings.TrimPrefix(name, "@"), "/")
	scoped = scoped && name[0] == '@'
	if !scoped {
		scope, bare = "", name
	}
	if scoped {
		if c.scopes[scope] {
			return Verdict{} // a publisher's own
		}
		if claim(scope) {
			return Verdict{How: Official, Like: "@" + scope}
		}
		if like, how := near(scope, c.scopes, c.ordinary); like != "" {
			return Verdict{How: map[string]string{Typo: Scope}[how] + map[string]string{Confusable: Confusable}[how], Like: "@" + like}
		}
	}
	for _, k := range sorted(known) {
		kscope, kbare, kscoped := strings.Cut(strings.TrimPrefix(k, "@"), "/")
		kscoped = kscoped && k[0] == '@'
		if !kscoped {
			kscope, kbare = "", k
		}
		switch {
		case kscoped && !scoped && (bare == kscope+"-"+kbare || bare == kscope+"_"+kbare || bare == kscope+kbare):
			return Verdict{How: Unscoped, Like: k}
		case kscoped && scoped && bare == kbare && telling(bare):
			return Verdict{How: OtherScope, Like: k}
		case !kscoped && !scoped:
			if how := alike(bare, kbare, c.ordinary); how != "" {
				return Verdict{How: how, Like: k}
			}
			for _, w := range []string{"official", "offical", "original", "genuine"} {
				if bare == kbare+"-"+w || bare == w+"-"+kbare {
					return Verdict{How: Official, Like: k}
				}
			}
		}
	}
	if registry == "oci" {
		return Verdict{}
	}
	return c.Server(bare)
}

// Server judges the name of a server, configured or claimed, word by word: words for a product, and the word server beside one.
func (c *Catalogue) Server(name string) Verdict {
	if len(name) > maxName {
		return Verdict{}
	}
	words := split(name)
	about := false // it speaks of MCP, or of a product
	for _, w := range words {
		about = about || w == "mcp" || c.products[w]
	}
	for _, w := range words {
		if c.products[w] || c.ordinary[w] {
			continue
		}
		if about && len(words) > 1 && w != "server" {
			if how := alike(w, "server", c.ordinary); how != "" {
				return Verdict{How: how, Like: "server"}
			}
		}
		if like, how := near(w, c.products, c.ordinary); like != "" {
			return Verdict{How: how, Like: like}
		}
		if claim(w) && w != "official" && len(words) > 1 {
			return Verdict{How: Official, Like: "official"}
		}
	}
	return Verdict{}
}

// telling says that a package's name says more than that it is a server.
func telling(bare string) bool {
	return slices.ContainsFunc(split(bare), func(w string) bool { return len(w) >= minWord && w != "server" && w != "servers" })
}

// claim says that a word says official, or tries to.
func claim(w string) bool {
	switch w {
	case "official", "offical", "oficial", "offcial", "officail", "officially", "official-mcp", "mcp-official", "offical-mcp", "verified-mcp":
		return true
	}
	return false
}

// near is the known word that w is nearly, and how.
func near(w string, known, ordinary map[string]bool) (like, how string) {
	for _, k := range sorted(known) {
		if h := alike(w, k, ordinary); h != "" {
			return k, h
		}
	}
	return "", ""
}

// minWord is the length from which words are compared, in letters.
const minWord = 5

// alike says how a is nearly k; empty if it is not, or if it is k.
func alike(a, k string, ordinary map[string]bool) string {
	if a == k || len(k) < minWord || ordinary[a] {
		return ""
	}
	ra, rk := []rune(a), []rune(k)
	if d := len(ra) - len(rk); d > 2 || d < -2 {
		return ""
	}
	if skeleton(a) == skeleton(k) {
		return Confusable
	}
	limit := 1
	if len(rk) >= 12 {
		limit = 2
	}
	if strings.HasPrefix(a, k) && len(ra) == len(rk)+1 && (a[len(a)-1] == 's' || unicode.IsDigit(ra[len(ra)-1])) || strings.HasPrefix(k, a) && (k[len(k)-1] == 's' || unicode.IsDigit(rk[len(rk)-1])) {
		return "" // a plural, a second one
	}
	if len(rk) < 6 && ra[0] != rk[0] { // short words differ by their first letter too often
		return ""
	}
	if len(rk) < 7 && len(ra) == len(rk) && !swapped(ra, rk) { // one letter for another makes other words of short ones: mssql, mysql
		return ""
	}
	if distance(ra, rk, limit) <= limit {
		return Typo
	}
	return ""
}

// swapped says that a is b with letters in another order.
func swapped(a, b []rune) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// lookalikes are characters that stand for letters.
var lookalikes = map[rune]rune{
	'0': 'o', '1': 'l', '3': 'e', '5': 's', '6': 'b', '|': 'l', 'і': 'i', 'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'ѕ': 's', 'ј': 'j', 'ԁ': 'd', 'ɡ': 'g', 'ո': 'n', 'ո' + 1: 'n', 'ı': 'i', 'ο': 'o', 'α': 'a', 'ν': 'v', 'ρ': 'p', 'τ': 't',
	'к': 'k', 'т': 't', 'м': 'm', 'н': 'h', 'в': 'b', 'ʟ': 'l', 'ⅼ': 'l', 'ⅰ': 'i', 'ⅽ': 'c', 'ⅾ': 'd', 'ⅿ': 'm', 'ʏ': 'y', 'ɑ': 'a', 'ӏ': 'l', 'ḷ': 'l', 'ķ': 'k', 'ṡ': 's',
}

// skeleton writes a word with the letters that its characters look like.
func skeleton(s string) string {
	var b strings.Builder
	for _, r := range s {
		if l, ok := lookalikes[r]; ok {
			r = l
		}
		if r >= 0xff01 && r <= 0xff5e { // full width
			r = unicode.ToLower(r - 0xfee0)
		}
		b.WriteRune(r)
	}
	return strings.NewReplacer("rn", "m", "vv", "w", "cl", "d").Replace(b.String())
}

// distance is Damerau-Levenshtein's, with adjacent letters swapped, as far as limit; beyond it more than limit.
func distance(a, b []rune, limit int) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		best := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
			best = min(best, cur[j])
		}
		if best > limit {
			return best
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// split takes a name apart into words, in lower case: at separators and before capitals.
func split(name string) (words []string) {
	var cur []rune
	flush := func() {
		if len(cur) > 0 {
			words = append(words, strings.ToLower(string(cur)))
			cur = cur[:0]
		}
	}
	prev := rune(0)
	for _, r := range name {
		switch {
		case r == '-' || r == '_' || r == '.' || r == '/' || r == '@' || r == ':' || unicode.IsSpace(r):
			flush()
			prev = 0
			continue
		case unicode.IsUpper(r) && unicode.IsLower(prev):
			flush()
		}
		cur = append(cur, r)
		prev = r
	}
	flush()
	return words
}

// older says whether version a, of numbers and dots, comes before b; what is no such version does not.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range y {
		if i >= len(x) {
			return false
		}
		n, err := strconv.Atoi(x[i])
		m, err2 := strconv.Atoi(y[i])
		if err != nil || err2 != nil || n > m {
			return false
		}
		if n < m {
			return true
		}
	}
	return false
}

func sorted(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

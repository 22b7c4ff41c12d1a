// The policy: classes of records and how long each is kept.

package retention

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	presets "github.com/mcpsiem/mcpsiem/schemas/retention"
)

// Kinds of records that a class can be about.
const (
	KindEvents   = "events" // messages and all that is no record of the audit trail
	KindAudit    = "audit"  // what people and the pipeline itself did
	KindFindings = "findings"
)

// Policy is retention.yaml.
type Policy struct {
	Version string  `yaml:"version" json:"version"`
	Classes []Class `yaml:"classes" json:"classes"`
}

// Class says how long records that match are kept.
type Class struct {
	Name     string `yaml:"name" json:"name"`
	Preset   string `yaml:"preset,omitempty" json:"preset,omitempty"` // takes the periods of a preset; those given here win
	Match    Match  `yaml:"match,omitempty" json:"match"`
	Hot      *int   `yaml:"hot,omitempty" json:"hot_days"`   // days
	Warm     *int   `yaml:"warm,omitempty" json:"warm_days"` // days
	Archive  *int   `yaml:"archive,omitempty" json:"archive_days"`
	Minimise bool   `yaml:"minimise,omitempty" json:"minimise,omitempty"`
	Basis    string `yaml:"basis,omitempty" json:"basis,omitempty"` // why: the obligation
}

// Match narrows a class; what is left out matches everything. All that is given must match; of a list one item is enough.
type Match struct {
	Tenants     []string          `yaml:"tenants,omitempty" json:"tenants,omitempty"`
	Kinds       []string          `yaml:"kinds,omitempty" json:"kinds,omitempty"`
	Servers     []string          `yaml:"servers,omitempty" json:"servers,omitempty"`
	DataClasses []string          `yaml:"data_classes,omitempty" json:"data_classes,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"` // e.g. jurisdiction: eu
}

// Preset is a named class of schemas/retention/presets.yaml.
type Preset struct {
	Name     string `yaml:"name" json:"name"`
	Title    string `yaml:"title" json:"title"`
	Hot      int    `yaml:"hot" json:"hot_days"`
	Warm     int    `yaml:"warm" json:"warm_days"`
	Archive  int    `yaml:"archive" json:"archive_days"`
	Minimise bool   `yaml:"minimise" json:"minimise"`
	Source   string `yaml:"source" json:"source"`
}

// Presets lists the presets.
func Presets() []Preset {
	var f struct {
		Version string   `yaml:"version"`
		Presets []Preset `yaml:"presets"`
	}
	d := yaml.NewDecoder(bytes.NewReader(presets.Presets))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		panic("BUG: cannot read the embedded presets: " + err.Error())
	}
	return f.Presets
}

// Limits of a policy.
const (
	maxPolicy  = 1 << 20 // bytes of a file
	maxClasses = 200
	maxDays    = 36_500
)

// Load reads a policy file.
func Load(path string) (*Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the retention policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the retention policy: %w", err)
	}
	p, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Parse reads and checks a policy, with presets filled in.
func Parse(b []byte) (*Policy, error) {
	if len(b) > maxPolicy {
		return nil, fmt.Errorf("cannot use the retention policy: it has more than %d bytes", maxPolicy)
	}
	var p Policy
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("cannot read the retention policy: %w", err)
	}
	var errs []error
	bad := func(i int, format string, args ...any) {
		name := p.Classes[i].Name
		if name == "" {
			name = fmt.Sprintf("number %d", i+1)
		}
		errs = append(errs, fmt.Errorf("class %s: %s", name, fmt.Sprintf(format, args...)))
	}
	if len(p.Classes) == 0 {
		errs = append(errs, errors.New("there are no classes: nothing would ever be removed; write at least one"))
	}
	if len(p.Classes) > maxClasses {
		return nil, fmt.Errorf("cannot use the retention policy: it has more than %d classes", maxClasses)
	}
	seen := map[string]bool{}
	for i := range p.Classes {
		c := &p.Classes[i]
		if c.Preset != "" {
			j := slices.IndexFunc(Presets(), func(x Preset) bool { return x.Name == c.Preset })
			if j < 0 {
				bad(i, "there is no preset %s (see `mcpsiem retention presets`)", c.Preset)
				continue
			}
			x := Presets()[j]
			fill(&c.Hot, x.Hot)
			fill(&c.Warm, x.Warm)
			fill(&c.Archive, x.Archive)
			c.Minimise = c.Minimise || x.Minimise
			if c.Basis == "" {
				c.Basis = x.Source
			}
			if c.Name == "" {
				c.Name = c.Preset
			}
		}
		if !className.MatchString(c.Name) {
			bad(i, "its name must be of a-z, 0-9, _ and -, at most 64")
		}
		if seen[c.Name] {
			bad(i, "there is another one of this name")
		}
		seen[c.Name] = true
		if c.Hot == nil && c.Warm == nil {
			bad(i, "say how many days it stays in the store: hot, warm, or a preset")
		}
		fill(&c.Hot, 0)
		fill(&c.Warm, 0)
		fill(&c.Archive, 0)
		for name, v := range map[string]int{"hot": *c.Hot, "warm": *c.Warm, "archive": *c.Archive} {
			if v < 0 || v > maxDays {
				bad(i, "%s must be from 0 to %d days", name, maxDays)
			}
		}
		if c.Store() < 1 {
			bad(i, "hot and warm together must be at least one day")
		}
		for _, k := range c.Match.Kinds {
			if k != KindEvents && k != KindAudit && k != KindFindings {
				bad(i, "kinds are events, audit and findings")
			}
		}
		if c.Minimise && *c.Archive > 0 {
			bad(i, "a class that minimises has no archive")
		}
	}
	return &p, errors.Join(errs...)
}

var className = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func fill(p **int, v int) {
	if *p == nil {
		*p = &v
	}
}

// Store is how many days a row stays in the store.
func (c Class) Store() int { return *c.Hot + *c.Warm }

// Total is how many days a record is kept at all.
func (c Class) Total() int { return c.Store() + *c.Archive }

// quote quotes a string for ClickHouse.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func list(ss []string) string {
	q := make([]string, len(ss))
	for i, s := range ss {
		q[i] = quote(s)
	}
	return strings.Join(q, ", ")
}

// condition is what a row of a table must be, and whether the class can be about that table at all. Findings have neither labels nor data classes.
func (m Match) condition(findings bool) (string, bool) {
	cond := []string{"1"}
	if len(m.Tenants) > 0 {
		cond = append(cond, "tenant IN ("+list(m.Tenants)+")")
	}
	if len(m.Servers) > 0 {
		cond = append(cond, "server IN ("+list(m.Servers)+")")
	}
	if findings {
		if len(m.DataClasses) > 0 || len(m.Labels) > 0 || len(m.Kinds) > 0 && !slices.Contains(m.Kinds, KindFindings) {
			return "0", false
		}
		return strings.Join(cond, " AND "), true
	}
	if len(m.Kinds) > 0 {
		ev, au := slices.Contains(m.Kinds, KindEvents), slices.Contains(m.Kinds, KindAudit)
		switch {
		case !ev && !au:
			return "0", false
		case !au:
			cond = append(cond, "event_name != 'mcpsiem.audit'")
		case !ev:
			cond = append(cond, "event_name = 'mcpsiem.audit'")
		}
	}
	if len(m.DataClasses) > 0 {
		cond = append(cond, "hasAny(data_classes, ["+list(m.DataClasses)+"])")
	}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		cond = append(cond, "labels["+quote(k)+"] = "+quote(m.Labels[k]))
	}
	return strings.Join(cond, " AND "), true
}

// rule is a policy in SQL, for one table. Each is an expression over a row: how many days it stays in the store, how many it is kept at all (0: no class
// matches, it stays), and the name of the class that decides.
type rule struct {
	store, total, class string
	shortest            int // days in the store at least, for every row that a class matches
}

func (p *Policy) rule(findings bool) rule {
	r := rule{store: "toUInt32(0)", total: "toUInt32(0)", class: "''", shortest: maxDays}
	type item struct {
		cond string
		c    Class
	}
	var most, least []item
	for _, c := range p.Classes {
		cond, ok := c.Match.condition(findings)
		if !ok {
			continue
		}
		r.shortest = min(r.shortest, c.Store())
		if c.Minimise {
			least = append(least, item{cond, c})
		} else {
			most = append(most, item{cond, c})
		}
	}
	pick := func(items []item, days func(Class) int, f string, none int) string {
		args := []string{fmt.Sprintf("toUInt32(%d)", none), fmt.Sprintf("toUInt32(%d)", none)}
		for _, x := range items {
			args = append(args, fmt.Sprintf("if(%s, toUInt32(%d), toUInt32(%d))", x.cond, days(x.c), none))
		}
		return f + "(" + strings.Join(args, ", ") + ")"
	}
	either := func(days func(Class) int) string {
		longest := pick(most, days, "greatest", 0)
		if len(least) == 0 {
			return longest
		}
		shortest := pick(least, days, "least", maxDays+1)
		return fmt.Sprintf("if(%[1]s <= %[3]d, %[1]s, %[2]s)", shortest, longest, maxDays)
	}
	r.store, r.total = either(Class.Store), either(Class.Total)
	// The class that decides: of those that minimise the shortest, else the longest.
	slices.SortStableFunc(least, func(a, b item) int { return a.c.Store() - b.c.Store() })
	slices.SortStableFunc(most, func(a, b item) int { return b.c.Total() - a.c.Total() })
	var args []string
	for _, x := range append(least, most...) {
		args = append(args, x.cond, quote(x.c.Name))
	}
	if len(args) > 0 {
		r.class = "multiIf(" + strings.Join(args, ", ") + ", '')"
	}
	return r
}

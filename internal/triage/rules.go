package triage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Rules say which findings do not alert. They are not changed once made.
type Rules struct {
	Version     string // a part of the file's hash
	Allow       []Entry
	Maintenance []Window
}

// Match selects findings: every part that is set must fit. In a pattern * stands for any characters.
type Match struct {
	Rule      string   `yaml:"rule,omitempty"`
	Tenant    string   `yaml:"tenant,omitempty"`
	Principal string   `yaml:"principal,omitempty"`
	Client    string   `yaml:"client,omitempty"`
	Server    string   `yaml:"server,omitempty"`
	Tool      string   `yaml:"tool,omitempty"`
	Group     string   `yaml:"group,omitempty"`    // id of a group
	Severity  []string `yaml:"severity,omitempty"` // any of them
	When      string   `yaml:"when,omitempty"`     // a condition over the finding, see docs/findings.md

	program *vm.Program
}

// Entry of the allow-list: findings that are known and put up with.
type Entry struct {
	ID      string `yaml:"id"`
	Match   `yaml:",inline"`
	Owner   string    `yaml:"owner"`
	Reason  string    `yaml:"reason"`
	Created time.Time `yaml:"created"`
	Expires time.Time `yaml:"expires"`
}

// Window of maintenance: a time in which findings are expected. With Weekly it recurs between From and To.
type Window struct {
	ID     string `yaml:"id"`
	Match  `yaml:",inline"`
	Owner  string    `yaml:"owner"`
	Reason string    `yaml:"reason"`
	From   time.Time `yaml:"from"`
	To     time.Time `yaml:"to"`
	Weekly *Weekly   `yaml:"weekly,omitempty"`
}

// Weekly is a part of each week, by the clock of a time zone; End before Start is on the next day.
type Weekly struct {
	Days  []string `yaml:"days"`
	Start string   `yaml:"start"` // HH:MM
	End   string   `yaml:"end"`
	Zone  string   `yaml:"zone,omitempty"` // of the time zone database; UTC if empty

	days       [7]bool
	start, end int // minutes of the day
	loc        *time.Location
}

// Limits of a file.
const (
	MaxTerm  = 366 * 24 * time.Hour // from an entry's creation to its expiry: everything is looked at once a year
	MaxRules = 10_000
	maxFile  = 8 << 20
	maxWhen  = 2048 // bytes of a condition
	maxNodes = 400  // of a condition
)

var idRule = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

type document struct {
	Version     int      `yaml:"version"`
	Allow       []Entry  `yaml:"allow"`
	Maintenance []Window `yaml:"maintenance"`
}

// Parse reads a file. Errors name the entry at fault.
func Parse(data []byte) (*Rules, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d MiB", maxFile>>20)
	}
	sum := sha256.Sum256(data)
	r := &Rules{Version: hex.EncodeToString(sum[:6])}
	var d document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		if errors.Is(err, io.EOF) {
			return r, nil // an empty file has no rules
		}
		return nil, fmt.Errorf("it is no allow-list: %w", err)
	}
	if d.Version != 1 {
		return nil, fmt.Errorf("version must be 1, the only one there is, not %d", d.Version)
	}
	if len(d.Allow)+len(d.Maintenance) > MaxRules {
		return nil, fmt.Errorf("there are more than %d entries", MaxRules)
	}
	seen := map[string]bool{}
	check := func(list, id string, n int, err error) error {
		name := fmt.Sprintf("%s entry %d", list, n+1)
		switch {
		case err == nil && !idRule.MatchString(id):
			err = errors.New("id must be set: lower-case letters, digits and - _ . , up to 64")
		case err == nil && seen[id]:
			err = errors.New("another entry has the same id")
		case err == nil:
			seen[id] = true
			return nil
		}
		if id != "" {
			name += " (" + id + ")"
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	for i := range d.Allow {
		if err := check("allow", d.Allow[i].ID, i, d.Allow[i].prepare()); err != nil {
			return nil, err
		}
	}
	for i := range d.Maintenance {
		if err := check("maintenance", d.Maintenance[i].ID, i, d.Maintenance[i].prepare()); err != nil {
			return nil, err
		}
	}
	r.Allow, r.Maintenance = d.Allow, d.Maintenance
	return r, nil
}

func (e *Entry) prepare() error {
	switch {
	case strings.TrimSpace(e.Owner) == "" || strings.TrimSpace(e.Reason) == "":
		return errors.New("owner and reason must be set: who answers for it, and why it is harmless")
	case e.Created.IsZero() || e.Expires.IsZero():
		return errors.New("created and expires must be set, as in 2026-01-31 or 2026-01-31T18:00:00Z")
	case e.Expires.Before(e.Created):
		return errors.New("expires must not be before created")
	case e.Expires.Sub(e.Created) > MaxTerm:
		return errors.New("expires must be within a year of created: extend it when it has been looked at again")
	}
	return e.Match.prepare(true)
}

func (w *Window) prepare() error {
	switch {
	case strings.TrimSpace(w.Owner) == "" || strings.TrimSpace(w.Reason) == "":
		return errors.New("owner and reason must be set: who answers for it, and what is done then")
	case w.From.IsZero() || w.To.IsZero() || !w.From.Before(w.To):
		return errors.New("from and to must be set, from before to")
	case w.To.Sub(w.From) > MaxTerm:
		return errors.New("to must be within a year of from: extend it when it has been looked at again")
	}
	if w.Weekly != nil {
		if err := w.Weekly.prepare(); err != nil {
			return fmt.Errorf("weekly: %w", err)
		}
	}
	return w.Match.prepare(false)
}

func (w *Weekly) prepare() error {
	if len(w.Days) == 0 {
		return errors.New("days must be set, as in [saturday, sunday]")
	}
	for _, d := range w.Days {
		i := slices.IndexFunc(weekdays, func(s string) bool { return s == strings.ToLower(d) || s[:3] == strings.ToLower(d) })
		if i < 0 {
			return errors.New("days are monday to sunday")
		}
		w.days[i] = true
	}
	var err1, err2 error
	w.start, err1 = minuteOf(w.Start)
	w.end, err2 = minuteOf(w.End)
	if err1 != nil || err2 != nil || w.start == w.end {
		return errors.New("start and end must be set and differ, as in 22:00 and 04:30")
	}
	w.loc = time.UTC
	if w.Zone != "" {
		var err error
		if w.loc, err = time.LoadLocation(w.Zone); err != nil {
			return errors.New("zone is not in the time zone database: it is written as in Europe/Berlin")
		}
	}
	return nil
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"} // as time.Weekday counts

func minuteOf(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

// covers reports whether the time lies in a window. A change of the clock moves its edges as it does people's.
func (w *Weekly) covers(t time.Time) bool {
	t = t.In(w.loc)
	m, day := t.Hour()*60+t.Minute(), int(t.Weekday())
	if w.start < w.end {
		return w.days[day] && m >= w.start && m < w.end
	}
	return w.days[day] && m >= w.start || w.days[(day+6)%7] && m < w.end
}

// env is what a condition sees of a finding.
type env struct {
	Rule              string            `expr:"rule"`
	Title             string            `expr:"title"`
	Summary           string            `expr:"summary"`
	Severity          string            `expr:"severity"`
	SeverityRank      int               `expr:"severity_rank"`
	Confidence        float64           `expr:"confidence"`
	Count             int               `expr:"count"`
	Tenant            string            `expr:"tenant"`
	Principal         string            `expr:"principal"`
	PrincipalVerified bool              `expr:"principal_verified"`
	Client            string            `expr:"client"`
	Server            string            `expr:"server"`
	Tool              string            `expr:"tool"`
	Conversation      string            `expr:"conversation"`
	Key               string            `expr:"key"`
	Why               map[string]string `expr:"why"`
	Evidence          []string          `expr:"evidence"`
	References        []string          `expr:"references"`
}

func (m *Match) prepare(narrow bool) error {
	for _, s := range m.Severity {
		if Rank(s) == 0 {
			return fmt.Errorf("severity has a value that is none: choose %s", join(Severities))
		}
	}
	if m.Group != "" && (len(m.Group) != 32 || !hexDigits(m.Group)) {
		return errors.New("group must have 32 hex digits")
	}
	if narrow && m.When == "" && m.Group == "" && !slices.ContainsFunc([]string{m.Rule, m.Principal, m.Client, m.Server, m.Tool},
		func(p string) bool { return strings.Trim(p, "*") != "" }) {
		return errors.New("it would accept nearly everything: set at least one of rule, principal, client, server, tool, group and when")
	}
	if m.When == "" {
		return nil
	}
	if len(m.When) > maxWhen {
		return fmt.Errorf("when is longer than %d bytes", maxWhen)
	}
	var err error
	// No clock: the same finding is judged the same whenever it is.
	if m.program, err = expr.Compile(m.When, expr.Env(env{}), expr.AsBool(), expr.MaxNodes(maxNodes), expr.DisableBuiltin("now"), expr.DisableBuiltin("date")); err != nil {
		return fmt.Errorf("when: %w", err)
	}
	return nil
}

func (m *Match) fits(f *finding.Finding, v *vm.VM) bool {
	for _, x := range [...][2]string{{m.Rule, f.RuleID}, {m.Tenant, f.Tenant}, {m.Principal, f.PrincipalID}, {m.Client, f.ClientName}, {m.Server, f.Server}, {m.Tool, f.Tool}} {
		if x[0] != "" && !like(x[0], x[1]) {
			return false
		}
	}
	if m.Group != "" && !strings.EqualFold(m.Group, f.Group) || len(m.Severity) > 0 && !slices.Contains(m.Severity, f.Severity) {
		return false
	}
	if m.program == nil {
		return true
	}
	out, err := v.Run(m.program, env{
		Rule: f.RuleID, Title: f.Title, Summary: f.Summary, Severity: f.Severity, SeverityRank: Rank(f.Severity), Confidence: f.Confidence, Count: int(f.Count),
		Tenant: f.Tenant, Principal: f.PrincipalID, PrincipalVerified: f.PrincipalVerified, Client: f.ClientName, Server: f.Server, Tool: f.Tool,
		Conversation: f.ConversationID, Key: f.Key, Why: f.Why, Evidence: f.Evidence, References: f.References,
	})
	// A condition that cannot be decided suppresses nothing.
	ok, _ := out.(bool)
	return err == nil && ok
}

// like matches s against a pattern in which * stands for any characters.
func like(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}

// Verdict says that a finding does not alert, by whom and why.
type Verdict struct {
	By   string // `allow-list: id (owner)` or `maintenance: id (owner)`
	Note string // the reason
	Kind string // allow-list or maintenance
}

// Judge finds the first entry, of the allow-list and then of the maintenance windows, that the finding meets. It depends on the finding
// and the rules alone; the finding's time is that of its newest evidence. It is not safe for concurrent use with the same machine.
func (r *Rules) Judge(f *finding.Finding, machine *vm.VM) (Verdict, bool) {
	if r == nil {
		return Verdict{}, false
	}
	for i := range r.Allow {
		e := &r.Allow[i]
		if f.Time >= e.Created.UnixNano() && f.Time < e.Expires.UnixNano() && e.fits(f, machine) {
			return Verdict{By: "allow-list: " + e.ID + " (" + e.Owner + ")", Note: e.Reason, Kind: "allow-list"}, true
		}
	}
	for i := range r.Maintenance {
		w := &r.Maintenance[i]
		if f.Time >= w.From.UnixNano() && f.Time < w.To.UnixNano() && (w.Weekly == nil || w.Weekly.covers(time.Unix(0, f.Time))) && w.fits(f, machine) {
			return Verdict{By: "maintenance: " + w.ID + " (" + w.Owner + ")", Note: w.Reason, Kind: "maintenance"}, true
		}
	}
	return Verdict{}, false
}

// Expiring lists the allow-list entries that are in force at t and will not be after t plus within, soonest first.
func (r *Rules) Expiring(t time.Time, within time.Duration) []Entry {
	if r == nil {
		return nil
	}
	var out []Entry
	for _, e := range r.Allow {
		if e.Expires.After(t) && !e.Expires.After(t.Add(within)) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return a.Expires.Compare(b.Expires) })
	return out
}

package identity

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status of a person.
const (
	StatusActive    = "active"
	StatusSuspended = "suspended"
	StatusLeft      = "left"
)

// Kinds of a principal.
const (
	KindUser    = "user"
	KindService = "service"
	KindAgent   = "agent"
	KindUnknown = "unknown"
)

// Person is one entry of the directory: a human, a service account or an agent.
type Person struct {
	ID         string   `json:"id" yaml:"id"`                   // the principal id that events get
	Kind       string   `json:"kind" yaml:"kind"`               // user (the default), service or agent
	Team       string   `json:"team" yaml:"team"`               //
	CostCenter string   `json:"cost_center" yaml:"cost_center"` //
	Tenant     string   `json:"tenant" yaml:"tenant"`           // home tenant; optional
	Status     string   `json:"status" yaml:"status"`           // active (the default), suspended or left
	Left       string   `json:"left" yaml:"left"`               // with status left: last day (2026-10-31, UTC) or instant (RFC 3339)
	Aliases    []string `json:"aliases" yaml:"aliases"`         // other names: a subject, issuer|subject, mail address, certificate subject
	Tokens     []string `json:"tokens" yaml:"tokens"`           // fingerprints of enrolled opaque tokens and API keys
	OSUsers    []string `json:"os_users" yaml:"os_users"`       // user, or host/user

	leftAt time.Time // first instant after departure; zero if unknown
}

// Standing is what a person's status means for something that happened at some time.
type Standing uint8

// Standings.
const (
	Active Standing = iota
	Suspended
	Departed
)

// Standing judges the person at t.
func (p *Person) Standing(t time.Time) Standing {
	switch p.Status {
	case StatusSuspended:
		return Suspended
	case StatusLeft:
		if p.leftAt.IsZero() || !t.Before(p.leftAt) {
			return Departed
		}
	}
	return Active
}

// Directory finds people by what events carry of them. It is immutable.
type Directory struct {
	people  []*Person
	names   map[string]*Person
	tokens  map[string]*Person
	osUsers map[string]*Person
}

// maxPeople bounds the directory.
const maxPeople = 1_000_000

// NewDirectory checks and indexes entries. Errors name the entry by its number, from 1, and the field, never a value.
func NewDirectory(people []*Person) (*Directory, error) {
	if len(people) > maxPeople {
		return nil, fmt.Errorf("%d entries, at most %d", len(people), maxPeople)
	}
	d := &Directory{
		people:  people,
		names:   make(map[string]*Person, 2*len(people)),
		tokens:  map[string]*Person{},
		osUsers: map[string]*Person{},
	}
	owner := make(map[*Person]int, len(people))
	for i, p := range people {
		n := i + 1
		owner[p] = n
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", n, err)
		}
		put := func(m map[string]*Person, what, key string) error {
			if key == "" {
				return fmt.Errorf("entry %d: an empty value in %s", n, what)
			}
			if o := m[key]; o != nil && o != p {
				return fmt.Errorf("entry %d: its %s is also that of entry %d", n, what, owner[o])
			}
			m[key] = p
			return nil
		}
		if err := put(d.names, "id", fold(p.ID)); err != nil {
			return nil, err
		}
		for _, a := range p.Aliases {
			if err := put(d.names, "aliases", fold(a)); err != nil {
				return nil, err
			}
		}
		for _, t := range p.Tokens {
			t = strings.ToLower(t)
			if !isFingerprint(t) {
				return nil, fmt.Errorf("entry %d: tokens must be fingerprints of %d hex digits, never a token", n, FingerprintLen)
			}
			if err := put(d.tokens, "tokens", t); err != nil {
				return nil, err
			}
		}
		for _, u := range p.OSUsers {
			if err := put(d.osUsers, "os_users", u); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (p *Person) check() error {
	p.ID = Clean(strings.TrimSpace(p.ID))
	if p.ID == "" {
		return errors.New("id is missing")
	}
	switch p.Kind = strings.ToLower(p.Kind); p.Kind {
	case "":
		p.Kind = KindUser
	case KindUser, KindService, KindAgent:
	default:
		return errors.New("kind must be user, service or agent")
	}
	switch p.Status = strings.ToLower(p.Status); p.Status {
	case "":
		p.Status = StatusActive
	case StatusActive, StatusSuspended, StatusLeft:
	default:
		return errors.New("status must be active, suspended or left")
	}
	if p.Left == "" {
		return nil
	}
	if p.Status != StatusLeft {
		return errors.New("a left date needs status left")
	}
	if t, err := time.Parse(time.DateOnly, p.Left); err == nil {
		p.leftAt = t.AddDate(0, 0, 1) // the last day still counts
		return nil
	}
	t, err := time.Parse(time.RFC3339, p.Left)
	if err != nil {
		return errors.New("left must be a date such as 2026-10-31 or an RFC 3339 time")
	}
	p.leftAt = t
	return nil
}

// Len is the number of entries; a nil directory has none.
func (d *Directory) Len() int {
	if d == nil {
		return 0
	}
	return len(d.people)
}

// Find returns the entry that has name as its id or alias. Mail addresses match whatever their case, other names exactly.
func (d *Directory) Find(name string) *Person {
	if d == nil || name == "" {
		return nil
	}
	return d.names[fold(name)]
}

// Token returns the entry for which a credential of this fingerprint is enrolled.
func (d *Directory) Token(fingerprint string) *Person {
	if d == nil {
		return nil
	}
	return d.tokens[fingerprint]
}

// OSUser returns the entry of a user on a host; an entry for host/user comes before one for the user on any host.
func (d *Directory) OSUser(host, user string) *Person {
	if d == nil || user == "" {
		return nil
	}
	if p := d.osUsers[host+"/"+user]; p != nil {
		return p
	}
	return d.osUsers[user]
}

func fold(s string) string {
	if strings.IndexByte(s, '@') >= 0 {
		return strings.ToLower(s)
	}
	return s
}

func isFingerprint(s string) bool {
	if len(s) != FingerprintLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

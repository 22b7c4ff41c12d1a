package crosstenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/detectors/generation"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Declared is the file that says what belongs to whom, where that is known.
type Declared struct {
	Owners []struct {
		Tenant    string   `yaml:"tenant"`
		Servers   []string `yaml:"servers"`   // globs of server names that serve nobody else
		Resources []string `yaml:"resources"` // beginnings of URIs that are nobody else's
		Marks     []string `yaml:"marks"`     // texts that only this tenant's content holds, such as the prefix of its ids
	} `yaml:"owners"`
	Shared []struct {
		Server string `yaml:"server"` // glob
		Tool   string `yaml:"tool"`   // glob; empty: all
	} `yaml:"shared"` // what serves all alike, and is neither learned nor judged
}

// Bounds of the file.
const (
	maxFile     = 1 << 20
	maxDeclared = 1000
	maxMarks    = 64
	minMark     = 4
)

// ReadDeclared reads and checks the file.
func ReadDeclared(file string) (*Declared, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read declared owners: %w", err)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("cannot read declared owners: %s is larger than %d bytes", file, maxFile)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read declared owners: %w", err)
	}
	d := &Declared{}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(d); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read declared owners in %s: %w", file, err)
	}
	return d, d.check(file)
}

func (d *Declared) check(file string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("cannot use declared owners in %s: %s", file, fmt.Sprintf(format, args...))
	}
	n, marks := 0, 0
	for i, o := range d.Owners {
		if o.Tenant == "" {
			return bad("owner %d names no tenant", i+1)
		}
		n += len(o.Servers) + len(o.Resources)
		marks += len(o.Marks)
		for _, g := range o.Servers {
			if _, err := path.Match(g, ""); err != nil || g == "" {
				return bad("tenant %s: %q is no pattern of server names", o.Tenant, g)
			}
		}
		for _, r := range o.Resources {
			if !strings.Contains(r, ":") {
				return bad("tenant %s: resource %q does not begin with a scheme", o.Tenant, r)
			}
		}
		for _, m := range o.Marks {
			if len(m) < minMark {
				return bad("tenant %s: mark %q is shorter than %d characters and would be found everywhere", o.Tenant, m, minMark)
			}
		}
	}
	for i, s := range d.Shared {
		if s.Server == "" && s.Tool == "" {
			return bad("shared %d names neither server nor tool", i+1)
		}
		for _, g := range []string{s.Server, s.Tool} {
			if _, err := path.Match(g, ""); err != nil {
				return bad("shared %d: %q is no pattern", i+1, g)
			}
		}
	}
	if n+len(d.Shared) > maxDeclared || marks > maxMarks {
		return bad("more than %d servers, resources and shared tools, or %d marks", maxDeclared, maxMarks)
	}
	return nil
}

// shared says whether the event's server and tool serve all alike.
func (d *Declared) shared(e *event.Event) bool {
	if d == nil {
		return false
	}
	for _, s := range d.Shared {
		if (s.Server == "" || match(s.Server, generation.Server(e))) && (s.Tool == "" || match(s.Tool, e.Tool)) {
			return true
		}
	}
	return false
}

// foreign finds that the event touches what is declared to be another tenant's, and by what.
func (d *Declared) foreign(tenant string, e *event.Event) (owner, by string) {
	if d == nil {
		return "", ""
	}
	server := generation.Server(e)
	mine := false
	for _, o := range d.Owners {
		hit := ""
		for _, g := range o.Servers {
			if match(g, server) {
				hit = "server"
			}
		}
		for _, r := range o.Resources {
			if e.ResourceURI != "" && strings.HasPrefix(e.ResourceURI, r) {
				hit = "resource"
			}
		}
		for _, m := range o.Marks {
			if hit == "" && strings.Contains(e.Body, m) {
				hit = "mark"
			}
		}
		switch {
		case hit == "":
		case o.Tenant == tenant:
			if hit != "mark" { // declared to several: theirs together
				mine = true
			}
		case owner == "":
			owner, by = o.Tenant, hit
		}
	}
	if mine && by != "mark" {
		return "", ""
	}
	return owner, by
}

func match(glob, s string) bool {
	ok, _ := path.Match(glob, s)
	return ok
}

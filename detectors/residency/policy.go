// The policy file: where servers and destinations are, and what must stay where.

package residency

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
)

// Policy is the file.
type Policy struct {
	Servers      Places `yaml:"servers"`      // glob of a server's name -> region
	Destinations Places `yaml:"destinations"` // glob of a destination, as events name it -> region
	Policies     []Rule `yaml:"policies"`
}

// Rule says that classes of tenants must stay in regions.
type Rule struct {
	Tenants []string `yaml:"tenants"` // globs
	Classes []string `yaml:"classes"` // names of data classes, or tags: pii, phi, pci, secret
	Regions []string `yaml:"regions"` // allowed
	Unknown string   `yaml:"unknown"` // of a server that the file does not place: ignore (default) or raise
}

// Places maps globs to regions; the longest glob that matches counts.
type Places map[string]string

func (p Places) region(name string) string {
	best, region := "", ""
	for glob, r := range p {
		if ok, _ := path.Match(glob, name); ok && (len(glob) > len(best) || len(glob) == len(best) && glob > best) {
			best, region = glob, r
		}
	}
	return region
}

var tags = func() map[string][]string {
	m := map[string][]string{}
	for i := range class.Classes {
		m[class.Classes[i].Name] = class.Classes[i].TagNames()
	}
	return m
}()

func (r *Rule) covers(name string) bool {
	return slices.ContainsFunc(r.Classes, func(c string) bool { return c == name || slices.Contains(tags[name], c) })
}

func matchAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, name); return ok })
}

func join(regions []string) string { return strings.Join(regions, ", ") }

const maxFile = 1 << 20

// ReadPolicy reads and checks the file.
func ReadPolicy(file string) (*Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the residency policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the residency policy: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("cannot read the residency policy: %s is larger than %d bytes", file, maxFile)
	}
	p := &Policy{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read the residency policy in %s: %w", file, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("cannot use the residency policy in %s: %w", file, err)
	}
	return p, nil
}

func (p *Policy) check() error {
	for _, places := range []Places{p.Servers, p.Destinations} {
		for glob, region := range places {
			if _, err := path.Match(glob, ""); err != nil || region == "" {
				return fmt.Errorf("%q: %q is no pattern with a region", glob, region)
			}
		}
	}
	for i, r := range p.Policies {
		switch {
		case len(r.Tenants) == 0 || len(r.Classes) == 0 || len(r.Regions) == 0:
			return fmt.Errorf("policy %d needs tenants, classes and regions", i+1)
		case r.Unknown != "" && r.Unknown != "ignore" && r.Unknown != "raise":
			return fmt.Errorf("policy %d: unknown is ignore or raise, not %q", i+1, r.Unknown)
		}
		for _, c := range r.Classes {
			if _, known := tags[c]; !known && !slices.Contains([]string{"pii", "phi", "pci", "secret"}, c) {
				return fmt.Errorf("policy %d: there is no data class or tag %q (docs/detectors, internal/inspect)", i+1, c)
			}
		}
		for _, g := range r.Tenants {
			if _, err := path.Match(g, ""); err != nil {
				return fmt.Errorf("policy %d: %q is no pattern of tenants", i+1, g)
			}
		}
	}
	return nil
}

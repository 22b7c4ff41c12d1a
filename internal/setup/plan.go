// Package setup turns a few answers into the files of a state folder: what `mcpsiem init` writes.
package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Answers are what somebody wants. Zero values want nothing.
type Answers struct {
	Tenant    string
	Issuer    *Issuer
	Sinks     []Sink
	Retention string // name of a preset
}

// Issuer is an identity provider whose tokens are verified.
type Issuer struct {
	Issuer    string // the tokens' iss, exactly
	JWKSURL   string
	Audiences []string
	IDClaim   string // empty for sub
}

// Site is the file of a state folder that `mcpsiem up` lays over its configuration.
func Site(d state.Dir) string { return d.Path("site.yaml") }

// File is one file to be written.
type File struct {
	Path    string
	Content []byte
	Secret  bool
	State   string // New, Same or Differs
}

// States of a file.
const (
	New     = "new"     // is not there yet
	Same    = "same"    // is there like that
	Differs = "differs" // is there with other content
)

// Plan is what answers come to.
type Plan struct {
	Files []File // secrets first, so that what names them never comes before them
}

// Make plans the files and checks them as `mcpsiem up` would. Nothing is written to the state folder. Errors hold no secret.
func Make(ctx context.Context, d state.Dir, a Answers) (*Plan, error) {
	p := &Plan{}
	site, err := a.site()
	if err != nil {
		return nil, err
	}
	if len(a.Sinks) > 0 {
		text, err := p.sinks(d, a.Sinks)
		if err != nil {
			return nil, err
		}
		p.add(d.Sinks(), text, false)
	}
	if site != nil {
		p.add(Site(d), site, false)
	}
	if a.Retention != "" {
		text, err := retentionFile(a.Retention)
		if err != nil {
			return nil, err
		}
		p.add(d.Retention(), text, false)
	}
	for i := range p.Files {
		if err := p.Files[i].look(); err != nil {
			return nil, err
		}
	}
	return p, p.check(ctx, d)
}

func (p *Plan) add(path string, content []byte, secret bool) {
	p.Files = append(p.Files, File{Path: path, Content: content, Secret: secret})
}

func (f *File) look() error {
	old, err := os.ReadFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.State = New
	case err != nil:
		return fmt.Errorf("cannot read %s: %w", f.Path, err)
	case bytes.Equal(old, f.Content):
		f.State = Same
	default:
		f.State = Differs
	}
	return nil
}

// site is the configuration that is laid over the generated one; nil for nothing.
func (a Answers) site() ([]byte, error) {
	identity := map[string]any{}
	if a.Tenant != "" {
		if strings.TrimSpace(a.Tenant) != a.Tenant || len(a.Tenant) > 128 || strings.ContainsFunc(a.Tenant, func(r rune) bool { return r < ' ' }) {
			return nil, errors.New("the tenant's name must be one line of at most 128 bytes, without blanks around it")
		}
		identity["default_tenant"] = a.Tenant
	}
	if i := a.Issuer; i != nil {
		if i.Issuer == "" || i.JWKSURL == "" {
			return nil, errors.New("an identity provider needs both --issuer (the tokens' iss, exactly) and --jwks-url (its key set)")
		}
		is := map[string]any{"issuer": i.Issuer, "jwks_url": i.JWKSURL}
		if len(i.Audiences) > 0 {
			is["audiences"] = i.Audiences
		}
		if i.IDClaim != "" {
			is["id_claim"] = i.IDClaim
		}
		identity["issuers"] = []any{is}
	}
	if len(identity) == 0 {
		return nil, nil
	}
	return encode("# Laid over the configuration by `mcpsiem up` at its start. Every setting: docs/config.md. Check with `mcpsiem init --dry-run`.\n",
		map[string]any{"processors": map[string]any{"identity": identity}})
}

func encode(head string, v any) ([]byte, error) {
	b := bytes.NewBufferString(head)
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sinks is sinks.yaml with the sinks added to those that are there, or in the place of those with the same name.
func (p *Plan) sinks(d state.Dir, sinks []Sink) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	var doc yaml.Node
	old, err := os.ReadFile(d.Sinks())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		root.HeadComment = "# Where else events and findings go; `mcpsiem up` reads it at its start. Settings of each type: docs/sinks."
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", d.Sinks(), err)
	default:
		if _, err := distro.ReadSinks(d.Sinks()); err != nil {
			return nil, fmt.Errorf("mend this first: %w", err)
		}
		if err := yaml.Unmarshal(old, &doc); err != nil {
			return nil, fmt.Errorf("cannot read %s: it is no YAML", d.Sinks())
		}
		if len(doc.Content) > 0 && doc.Content[0].Kind == yaml.MappingNode {
			root = doc.Content[0]
		}
	}
	var list *yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "sinks" {
			list = root.Content[i+1]
		}
	}
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "sinks"}, list)
	}
	if list.Kind != yaml.SequenceNode {
		*list = yaml.Node{Kind: yaml.SequenceNode}
	}
	changed := false
	for _, s := range sinks {
		f, err := FormOf(s.Type)
		if err != nil {
			return nil, err
		}
		if err := streams.ValidName(s.Name); err != nil || s.Name == "" {
			return nil, errors.New("a sink's name must be letters, digits, - and _")
		}
		secret := func(key string) string {
			return d.Secret("sink-" + s.Name + "." + strings.ReplaceAll(key, ".", "-"))
		}
		conf, err := s.config(f, secret)
		if err != nil {
			return nil, err
		}
		for _, q := range f.Fields {
			if v := s.Values[q.Key]; q.Secret && v != "" {
				p.add(secret(q.Key), []byte(v+"\n"), true)
			}
		}
		n := &yaml.Node{}
		if err := n.Encode(struct {
			Name   string         `yaml:"name"`
			Type   string         `yaml:"type"`
			Config map[string]any `yaml:"config"`
		}{s.Name, s.Type, conf}); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(list.Content, func(n *yaml.Node) bool { return value(n, "name") == s.Name })
		switch {
		case at < 0:
			list.Content, changed = append(list.Content, n), true
		case !same(list.Content[at], n):
			list.Content[at], changed = n, true
		}
	}
	if !changed && old != nil {
		return old, nil
	}
	return encode("", root)
}

func value(n *yaml.Node, key string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// same reports whether two nodes say the same.
func same(a, b *yaml.Node) bool {
	x, err1 := yaml.Marshal(plain(a))
	y, err2 := yaml.Marshal(plain(b))
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func plain(n *yaml.Node) any {
	var v any
	_ = n.Decode(&v)
	return v
}

func retentionFile(preset string) ([]byte, error) {
	var names []string
	for _, r := range retention.Presets() {
		if r.Name == preset {
			return encode("# How long records are kept: docs/retention.md. Check it with `mcpsiem retention --help`.\n", retention.Policy{
				Version: "1", Classes: []retention.Class{{Name: preset, Preset: preset}},
			})
		}
		names = append(names, r.Name)
	}
	return nil, fmt.Errorf("there is no retention preset %q; there are %s", preset, strings.Join(names, ", "))
}

// Check checks the operator's files that are in a state folder, as `mcpsiem up` does before it starts anything. It returns which there are.
func Check(ctx context.Context, d state.Dir) (files []string, err error) {
	if _, err := os.Stat(string(d)); err != nil {
		return nil, fmt.Errorf("cannot read the state folder: %w", err)
	}
	if _, err := distro.CheckSinks(ctx, d.Sinks()); err != nil {
		return nil, err
	}
	var p Plan
	for _, path := range []string{d.Sinks(), Site(d), d.Retention()} {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.add(path, b, false)
		files = append(files, path)
	}
	return files, p.check(ctx, d)
}

// check renders what `mcpsiem up` would run with the plan's files, in a folder of its own, and checks that.
func (p *Plan) check(ctx context.Context, d state.Dir) error {
	tmp, err := os.MkdirTemp("", "mcpsiem-init-")
	if err != nil {
		return fmt.Errorf("cannot check the files: %w", err)
	}
	defer os.RemoveAll(tmp)
	main, err := distro.Laptop{
		OTLPHTTP: "127.0.0.1:4318", OTLPGRPC: "127.0.0.1:4317", NATSURL: "nats://127.0.0.1:14222", ClickHouse: "127.0.0.1:19000", HealthAddr: "127.0.0.1:13133",
		PageAddr: "127.0.0.1:18600", MetricsHost: "127.0.0.1", MetricsPort: "18888", Secrets: d.Path("secrets"), DetectDir: d.Path("detect"), RulesDir: d.Rules(),
		SealDir: d.Path("seal"), AllowList: d.AllowList(), LogFile: filepath.Join(tmp, "log"), ClickHouseHTTP: "127.0.0.1:18123",
		JournalFile: d.Path("journal.json"), RetentionDir: d.Path("retention"), ArchiveDir: d.Path("archive"), WatchDirectory: d.Directory(),
		WatchBudgets: d.Budgets(), WatchRetention: d.Retention(), WatchRoles: d.Roles(),
	}.Render()
	if err != nil {
		return err
	}
	files := []string{filepath.Join(tmp, "config.yaml")}
	if err := os.WriteFile(files[0], main, 0o600); err != nil {
		return fmt.Errorf("cannot check the files: %w", err)
	}
	for _, f := range p.Files {
		if f.Secret {
			continue
		}
		at := filepath.Join(tmp, filepath.Base(f.Path))
		if err := os.WriteFile(at, f.Content, 0o600); err != nil {
			return fmt.Errorf("cannot check the files: %w", err)
		}
		switch f.Path {
		case d.Sinks():
			list, err := distro.ReadSinks(at)
			if err != nil {
				return rename(err, tmp, string(d))
			}
			text, err := distro.RenderSinks(list, map[string]any{"url": "nats://127.0.0.1:14222", "username": "pipeline", "password_file": d.Secret(state.SecretNATSPipeline)})
			if err != nil {
				return err
			}
			at = filepath.Join(tmp, "config-sinks.yaml")
			if err := os.WriteFile(at, text, 0o600); err != nil {
				return fmt.Errorf("cannot check the files: %w", err)
			}
			files = append(files, at)
		case Site(d):
			files = append(files, at)
		case d.Retention():
			if _, err := retention.Load(at); err != nil {
				return rename(err, tmp, string(d))
			}
		}
	}
	return rename(distro.Validate(ctx, files), tmp, string(d))
}

// rename puts the state folder into an error in place of the folder where the check was made.
func rename(err error, from, to string) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), from, to))
}

// Write writes what is new. For a file that is there with other content it asks replace; secrets and configuration alike. It returns the files that were written.
func (p *Plan) Write(replace func(File) (bool, error)) (written []File, err error) {
	for _, f := range p.Files {
		switch f.State {
		case Same:
			continue
		case Differs:
			yes, err := replace(f)
			if err != nil {
				return written, err
			}
			if !yes {
				continue
			}
		}
		if err := write(f); err != nil {
			return written, err
		}
		written = append(written, f)
	}
	return written, nil
}

// write makes a file that is whole or not there, readable by its owner alone.
func write(f File) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("cannot write %s: %w", f.Path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), ".new-") // 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", f.Path, err)
	}
	_, err = tmp.Write(f.Content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.Path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("cannot write %s: %w", f.Path, err)
	}
	return nil
}

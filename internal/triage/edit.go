package triage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// header of a file that a command makes.
const header = `# Findings that are known and put up with, and maintenance windows. docs/findings.md describes the file; a change is in force within
# seconds. ` + "`mcpsiem findings allow`" + ` edits it too.
`

// Add appends an entry to the allow-list in the file, which is made if need be; comments stay. before is called when the new content is
// known to be good and not yet written; its error stops the change.
func Add(path string, e Entry, before func() error) error {
	return edit(path, before, func(doc *yaml.Node) error {
		e.Created, e.Expires = e.Created.UTC().Truncate(time.Second), e.Expires.UTC().Truncate(time.Second)
		var n yaml.Node
		if err := n.Encode(e); err != nil {
			return err
		}
		list := child(doc, "allow")
		if list == nil {
			list = &yaml.Node{Kind: yaml.SequenceNode}
			doc.Content = append(doc.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "allow"}, list)
		}
		if list.Kind != yaml.SequenceNode {
			*list = yaml.Node{Kind: yaml.SequenceNode}
		}
		list.Style = 0
		list.Content = append(list.Content, &n)
		return nil
	})
}

// ErrNoEntry says that the allow-list has no entry of that id.
var ErrNoEntry = errors.New("the allow-list has no entry of that id (see `mcpsiem findings allow list`)")

// End ends an entry at t. It stays in the file, so that findings of its time are judged by it in a replay too.
func End(path, id string, t time.Time, before func() error) error {
	return edit(path, before, func(doc *yaml.Node) error {
		if list := child(doc, "allow"); list != nil {
			for _, e := range list.Content {
				if n := child(e, "id"); n == nil || n.Value != id {
					continue
				}
				var old Entry
				if err := e.Decode(&old); err != nil {
					return err
				}
				if !old.Expires.After(t) {
					return errors.New("the entry has ended already")
				}
				if t.Before(old.Created) {
					t = old.Created
				}
				n := child(e, "expires")
				n.Value, n.Tag, n.Style = t.UTC().Format(time.RFC3339), "!!timestamp", 0
				return nil
			}
		}
		return ErrNoEntry
	})
}

func child(m *yaml.Node, key string) *yaml.Node {
	if m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// edit changes the file as a whole or not at all. Two commands at once take turns.
func edit(path string, before func() error, change func(doc *yaml.Node) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot change the allow-list: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("cannot change the allow-list: %w", err)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(data)) == 0 {
		data, err = []byte(header+"version: 1\n"), nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the allow-list: %w", err)
	}
	if _, err := Parse(data); err != nil {
		return fmt.Errorf("cannot change the allow-list %s, mend it first: %w", path, err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil || len(root.Content) != 1 {
		return fmt.Errorf("cannot change the allow-list %s: it is no YAML mapping", path)
	}
	if err := change(root.Content[0]); err != nil {
		return fmt.Errorf("cannot change the allow-list: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&root); err != nil {
		return fmt.Errorf("cannot change the allow-list: %w", err)
	}
	if _, err := Parse(out.Bytes()); err != nil {
		return fmt.Errorf("cannot change the allow-list: %w", err)
	}
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".allowlist-*")
	if err != nil {
		return fmt.Errorf("cannot write the allow-list: %w", err)
	}
	_, err = f.Write(out.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot write the allow-list: %w", err)
	}
	return nil
}

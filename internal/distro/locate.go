package distro

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Locate finds the line of a configuration file on which the key path (joined by ::) stands, or of the deepest part of it
// that is there. It returns 0 where even the first key is missing or the file is no YAML.
func Locate(file, path string) int {
	src, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	_, line := find(src, path)
	return line
}

// locateKey finds the line of a key at any depth below path.
func locateKey(file, path, key string) int {
	src, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	node, _ := find(src, path)
	var walk func(n *yaml.Node) int
	walk = func(n *yaml.Node) int {
		if n == nil {
			return 0
		}
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == key {
				return c.Line
			}
			if l := walk(c); l > 0 {
				return l
			}
		}
		return 0
	}
	return walk(node)
}

// find walks a key path and returns the deepest node of it that is there, and the line of its key.
func find(src []byte, path string) (*yaml.Node, int) {
	var doc yaml.Node
	if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return nil, 0
	}
	node, line := doc.Content[0], 0
	for _, key := range strings.Split(path, "::") {
		next := (*yaml.Node)(nil)
		if node.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == key {
					line, next = node.Content[i].Line, node.Content[i+1]
					break
				}
			}
		}
		if next == nil {
			break
		}
		node = next
	}
	return node, line
}

var (
	readingFor  = regexp.MustCompile(`'(\w+)' error reading configuration for "([^"]+)"`)
	invalidKeys = regexp.MustCompile(`has invalid keys: ([\w, -]+)`)
	unknownType = regexp.MustCompile(`'(\w+)' unknown type: "[^"]*" for id: "([^"]+)"`)
	keyPath     = regexp.MustCompile(`\b(receivers|processors|exporters|connectors|extensions|service)::[\w/:.-]+`)
)

// Explain adds to a Collector configuration error the file and line at fault, where they can be told from its text.
func Explain(file string, err error) error {
	text := err.Error()
	line := 0
	if m := readingFor.FindStringSubmatch(text); m != nil {
		path := m[1] + "::" + m[2]
		line = Locate(file, path)
		if k := invalidKeys.FindStringSubmatch(text); k != nil {
			if l := locateKey(file, path, strings.TrimSpace(strings.Split(k[1], ",")[0])); l > 0 {
				line = l
			}
		}
	} else if m := unknownType.FindStringSubmatch(text); m != nil {
		line = Locate(file, m[1]+"::"+m[2])
	} else if m := keyPath.FindString(text); m != "" {
		line = Locate(file, strings.TrimRight(m, ":."))
	}
	if line > 0 {
		return fmt.Errorf("%s:%d: %w", file, line, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

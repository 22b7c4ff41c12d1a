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
	var doc yaml.Node
	if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return 0
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
	return line
}

var (
	readingFor  = regexp.MustCompile(`'(\w+)' error reading configuration for "([^"]+)"`)
	invalidKeys = regexp.MustCompile(`'([\w.\[\]-]*)' has invalid keys: ([\w, -]+)`)
	keyPath     = regexp.MustCompile(`\b(receivers|processors|exporters|connectors|extensions|service)::[\w/:.-]+`)
)

// Explain adds to a Collector configuration error the file and line at fault, where they can be told from its text.
func Explain(file string, err error) error {
	text := err.Error()
	path := ""
	if m := readingFor.FindStringSubmatch(text); m != nil {
		path = m[1] + "::" + m[2]
		if k := invalidKeys.FindStringSubmatch(text); k != nil {
			if k[1] != "" {
				path += "::" + strings.ReplaceAll(k[1], ".", "::")
			}
			path += "::" + strings.TrimSpace(strings.Split(k[2], ",")[0])
		}
	} else if m := keyPath.FindString(text); m != "" {
		path = strings.TrimRight(m, ":.")
	}
	if line := Locate(file, path); path != "" && line > 0 {
		return fmt.Errorf("%s:%d: %w", file, line, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

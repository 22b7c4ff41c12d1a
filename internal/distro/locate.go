// Telling what is wrong with a configuration, where: one line for each fault, with the file and the line that it is about.

package distro

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where a key stands.
type place struct {
	file string
	line int
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// locate finds the key path in the file that holds the most of it, of several such in the last, which is the one in force. Where no file holds even the
// first key, the place has no line.
func locate(files []string, path ...string) (p place) {
	p = place{file: files[len(files)-1]}
	most := 0
	for i := len(files) - 1; i >= 0; i-- {
		src, err := os.ReadFile(files[i])
		if err != nil {
			continue
		}
		if line, depth := find(src, path); depth > most {
			p, most = place{files[i], line}, depth
		}
	}
	return p
}

// find walks a key path, whose parts may also be indices of lists, and returns the line of the last part that is there and how many are.
func find(src []byte, path []string) (line, depth int) {
	var doc yaml.Node
	if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return 0, 0
	}
	node := doc.Content[0]
	for ; depth < len(path); depth++ {
		next := (*yaml.Node)(nil)
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == path[depth] {
					line, next = node.Content[i].Line, node.Content[i+1]
					break
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(path[depth]); err == nil && i >= 0 && i < len(node.Content) {
				next = node.Content[i]
				line = next.Line
			}
		}
		if next == nil {
			break
		}
		node = next
	}
	return line, depth
}

// readable says which files cannot be read or are no YAML, before the Collector says it in its way.
func readable(files []string) error {
	var errs []error
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot read configuration: %w", err))
			continue
		}
		var n yaml.Node
		if err := yaml.Unmarshal(src, &n); err != nil {
			text := strings.TrimPrefix(err.Error(), "yaml: ")
			if m := yamlLine.FindStringSubmatch(text); m != nil {
				errs = append(errs, fmt.Errorf("%s:%s: not valid YAML: %s", f, m[1], m[2]))
			} else {
				errs = append(errs, fmt.Errorf("%s: not valid YAML: %s", f, text))
			}
			continue
		}
		if len(n.Content) > 0 && n.Content[0].Kind != yaml.MappingNode {
			errs = append(errs, fmt.Errorf("%s:%d: a configuration is a map of sections: processors, exporters and so on", f, n.Content[0].Line))
		}
	}
	return errors.Join(errs...)
}

// What the Collector's errors look like.
var (
	yamlLine    = regexp.MustCompile(`^line (\d+): (.*)$`)
	heading     = regexp.MustCompile(`decoding failed due to the following error\(s\):$`)
	readingFor  = regexp.MustCompile(`^'(\w+)' error reading configuration for "([^"]+)"`)
	invalidKeys = regexp.MustCompile(`has invalid keys: ([\w, -]+)`)
	unknownType = regexp.MustCompile(`^'(\w+)' unknown type: "[^"]*" for id: "([^"]+)"(?: \(valid values: \[(.*)\]\))?`)
	wrongValue  = regexp.MustCompile(`^'([^']*)' (.*)$`)
	keyPath     = regexp.MustCompile(`\b(?:receivers|processors|exporters|connectors|extensions|service)::[\w/:.-]+`)
)

// explain turns an error of the Collector about a configuration into one line for each fault, with the place where it can be told.
func explain(files []string, err error) error {
	var errs []error
	add := func(path []string, format string, args ...any) {
		p := locate(files, path...)
		errs = append(errs, fmt.Errorf("%s: %s", p, fmt.Sprintf(format, args...)))
	}
	var component []string // that the lines are about
	for _, text := range faults(err) {
		if m := readingFor.FindStringSubmatch(text); m != nil {
			component = m[1:]
			if heading.MatchString(text) {
				continue
			}
		}
		if heading.MatchString(text) {
			continue
		}
		about := strings.Join(component, "::")
		if m := invalidKeys.FindStringSubmatch(text); m != nil {
			for _, key := range strings.Split(m[1], ", ") {
				if len(component) == 0 {
					add([]string{key}, "there is no section %s", key)
					continue
				}
				errs = append(errs, fmt.Errorf("%s: %s has no key %s (docs/config.md lists them)", locateKey(files, component, key), about, key))
			}
			continue
		}
		if m := unknownType.FindStringSubmatch(text); m != nil {
			there := strings.Fields(m[3])
			slices.Sort(there)
			add(m[1:3], "%s: there is no component %s; there are %s", m[1], m[2], strings.Join(there, ", "))
			continue
		}
		if at := keyPath.FindStringIndex(text); at != nil {
			path := strings.Split(strings.TrimRight(text[at[0]:at[1]], ":."), "::")
			add(append(path, words(text[at[1]:])...), "%s", text[at[0]:])
			continue
		}
		if m := wrongValue.FindStringSubmatch(text); m != nil {
			path := append(component[:len(component):len(component)], words(m[1])...)
			add(path, "%s: %s", strings.Join(path, "::"), m[2])
			continue
		}
		add(nil, "%s", text)
	}
	return errors.Join(errs...)
}

// words are what can be keys and indices at the beginning of an error's text, as in "issuers[0]: jwks_url must".
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(".:[] ", r) })
}

// locateKey finds a key at any depth below a component, in the last file that has it.
func locateKey(files, component []string, key string) place {
	for i := len(files) - 1; i >= 0; i-- {
		src, err := os.ReadFile(files[i])
		if err != nil {
			continue
		}
		var doc yaml.Node
		if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
			continue
		}
		n := doc.Content[0]
		for _, part := range component {
			if i := keyIndex(n, part); i >= 0 {
				n = n.Content[i+1]
			} else {
				n = &yaml.Node{}
			}
		}
		if line := lineOfKey(n, key); line > 0 {
			return place{files[i], line}
		}
	}
	return locate(files, component...)
}

package identity

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// directoryFormats lists the formats of a directory file by its extension. To add one: a function here and a line in it.
var directoryFormats = map[string]func([]byte) ([]*Person, error){
	".csv":  peopleCSV,
	".json": peopleJSON,
	".yaml": peopleYAML,
	".yml":  peopleYAML,
}

// ParseDirectory reads a directory in the format that the file's name tells. Errors hold no values from it.
func ParseDirectory(name string, b []byte) (*Directory, error) {
	f := directoryFormats[strings.ToLower(filepath.Ext(name))]
	if f == nil {
		return nil, errors.New("unknown format: the file's name must end in .csv, .json, .yaml or .yml")
	}
	people, err := f(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, err
	}
	return NewDirectory(people)
}

// peopleYAML reads a list of entries, or an object with that list under `people`.
func peopleYAML(b []byte) ([]*Person, error) {
	var doc struct {
		People []*Person `yaml:"people"`
	}
	strict := func(v any) error {
		d := yaml.NewDecoder(bytes.NewReader(b))
		d.KnownFields(true)
		if err := d.Decode(v); err != nil && err != io.EOF {
			return err
		}
		return nil
	}
	var list []*Person
	err := strict(&list)
	if err == nil {
		return nonNil(list)
	}
	if err2 := strict(&doc); err2 == nil {
		return nonNil(doc.People)
	} else if bytes.Contains(b, []byte("people:")) {
		err = err2
	}
	// The library's message quotes values; its line number is all that may leave.
	if m := yamlLine.FindString(err.Error()); m != "" {
		return nil, fmt.Errorf("%s: not a list of entries with the documented fields", m)
	}
	return nil, errors.New("not a list of entries with the documented fields")
}

var yamlLine = regexp.MustCompile(`line \d+`)

// peopleJSON reads the same as YAML, or SCIM 2.0 resources (RFC 7643).
func peopleJSON(b []byte) ([]*Person, error) {
	var probe map[string]json.RawMessage
	if json.Unmarshal(b, &probe) == nil && (probe["schemas"] != nil || probe["Resources"] != nil) {
		return peopleSCIM(b)
	}
	var first []struct {
		Schemas []string `json:"schemas"`
	}
	if json.Unmarshal(b, &first) == nil && len(first) > 0 && len(first[0].Schemas) > 0 {
		return peopleSCIM(b)
	}
	strict := func(v any) error {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		return d.Decode(v)
	}
	var list []*Person
	if strict(&list) == nil {
		return nonNil(list)
	}
	var doc struct {
		People []*Person `json:"people"`
	}
	err := strict(&doc)
	if err == nil {
		return nonNil(doc.People)
	}
	var syn *json.SyntaxError
	if errors.As(err, &syn) {
		return nil, fmt.Errorf("not valid JSON at byte %d", syn.Offset)
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return nil, fmt.Errorf("a value of the wrong type at byte %d", typ.Offset)
	}
	return nil, errors.New("not a list of entries with the documented fields")
}

func nonNil(people []*Person) ([]*Person, error) {
	if i := slices.Index(people, nil); i >= 0 {
		return nil, fmt.Errorf("entry %d is empty", i+1)
	}
	return people, nil
}

// peopleCSV reads a header line with field names, then a line for each entry; lists are separated by semicolons.
func peopleCSV(b []byte) ([]*Person, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.TrimLeadingSpace = true
	r.Comment = '#'
	head, err := r.Read()
	if err == io.EOF {
		return nil, nil
	}
	if err != nil {
		return nil, csvError(err)
	}
	set := make([]func(*Person, string), len(head))
	for i, h := range head {
		if set[i] = csvColumns[strings.ToLower(strings.TrimSpace(h))]; set[i] == nil {
			return nil, fmt.Errorf("column %d of the header is unknown; known are: id, kind, team, cost_center, tenant, status, left, aliases, tokens, os_users", i+1)
		}
	}
	var people []*Person
	for {
		row, err := r.Read()
		if err == io.EOF {
			return people, nil
		}
		if err != nil {
			return nil, csvError(err)
		}
		p := &Person{}
		for i, v := range row {
			set[i](p, strings.TrimSpace(v))
		}
		people = append(people, p)
	}
}

var csvColumns = map[string]func(*Person, string){
	"id":          func(p *Person, v string) { p.ID = v },
	"kind":        func(p *Person, v string) { p.Kind = v },
	"team":        func(p *Person, v string) { p.Team = v },
	"cost_center": func(p *Person, v string) { p.CostCenter = v },
	"tenant":      func(p *Person, v string) { p.Tenant = v },
	"status":      func(p *Person, v string) { p.Status = v },
	"left":        func(p *Person, v string) { p.Left = v },
	"aliases":     func(p *Person, v string) { p.Aliases = semicolons(v) },
	"tokens":      func(p *Person, v string) { p.Tokens = semicolons(v) },
	"os_users":    func(p *Person, v string) { p.OSUsers = semicolons(v) },
}

func semicolons(v string) []string {
	var out []string
	for s := range strings.SplitSeq(v, ";") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func csvError(err error) error {
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return fmt.Errorf("line %d: %w", pe.Line, pe.Err)
	}
	return errors.New("not valid CSV")
}

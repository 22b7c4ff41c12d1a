package splunk

import (
	"bufio"
	"encoding/xml"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := AddOn()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not what schemas/mappings/cim.yaml and the exporter say: go generate ./deploy/splunk (%v)", name, err)
		}
	}
}

// conf reads a Splunk configuration file: stanzas of settings, in order. Anything else is a fault.
func conf(t *testing.T, path string) map[string]map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]map[string]string{}
	var cur map[string]string
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			name := strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
			if !strings.HasSuffix(line, "]") || out[name] != nil {
				t.Errorf("%s:%d: bad or repeated stanza", path, n)
			}
			cur = map[string]string{}
			out[name] = cur
		default:
			k, v, ok := strings.Cut(line, " = ")
			if !ok || cur == nil || strings.HasSuffix(v, `\`) || strings.HasSuffix(v, " ") {
				t.Errorf("%s:%d: no setting: %s", path, n, line)
				continue
			}
			if _, twice := cur[k]; twice {
				t.Errorf("%s:%d: %s twice", path, n, k)
			}
			cur[k] = v
		}
	}
	return out
}

func walk(t *testing.T, ext string) (paths []string) {
	t.Helper()
	for _, app := range []string{"TA-mcpsiem", "mcpsiem_app"} {
		err := filepath.WalkDir(app, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(p) == ext {
				paths = append(paths, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no %s files", ext)
	}
	return paths
}

func TestConfSyntax(t *testing.T) {
	for _, p := range walk(t, ".conf") {
		for name, settings := range conf(t, p) {
			if len(settings) == 0 && filepath.Base(p) != "fields.conf" {
				t.Errorf("%s: [%s] is empty", p, name)
			}
		}
	}
	for _, p := range walk(t, ".meta") {
		conf(t, p)
	}
	for _, p := range walk(t, ".xml") {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(string(b)))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
		}
	}
}

var (
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	word   = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_.]*(\()?`)
)

// fieldsOf are the identifiers of an eval expression that are no functions, operators or strings.
func fieldsOf(expr string) []string {
	var out []string
	for _, m := range word.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
		if strings.HasSuffix(m, "(") || slices.Contains([]string{"OR", "AND", "NOT"}, m) {
			continue
		}
		out = append(out, m)
	}
	return out
}

func TestEveryMappedFieldIsSent(t *testing.T) {
	sent := splunkhec.EmittedFields()
	props := conf(t, "TA-mcpsiem/default/props.conf")
	evals := 0
	for st, settings := range props {
		for k, v := range settings {
			switch kind, _, _ := strings.Cut(k, "-"); kind {
			case "EVAL":
				evals++
				for _, f := range fieldsOf(v) {
					if !slices.Contains(sent, f) {
						t.Errorf("[%s] %s uses %q, which the exporter does not send", st, k, f)
					}
				}
			case "FIELDALIAS":
				from, to, ok := strings.Cut(v, " AS ")
				if f := strings.TrimSuffix(strings.Trim(from, `"`), "{}"); !ok || f != to || !slices.Contains(sent, f) {
					t.Errorf("[%s] %s = %s: the exporter does not send that", st, k, v)
				}
			case "REPORT":
				if conf(t, "TA-mcpsiem/default/transforms.conf")[v] == nil {
					t.Errorf("[%s] %s: no transform %s", st, k, v)
				}
			}
		}
	}
	if evals < 40 {
		t.Errorf("only %d evaluated fields", evals)
	}
	for f := range conf(t, "TA-mcpsiem/default/fields.conf") {
		if !slices.Contains(sent, strings.TrimPrefix(f, splunkhec.IndexedPrefix)) {
			t.Errorf("fields.conf: %s", f)
		}
	}
}

func TestModels(t *testing.T) {
	c, err := LoadCIM()
	if err != nil {
		t.Fatal(err)
	}
	sent := splunkhec.EmittedFields()
	mapped := map[string]map[string]string{}
	for _, st := range c.SourceTypes {
		mapped[st.Name] = st.Fields
	}
	seen := map[string]bool{}
	for _, m := range c.Models {
		seen[m.Name] = true
		if mapped[m.SourceType] == nil {
			t.Errorf("%s: no source type %s", m.EventType, m.SourceType)
		}
		for _, f := range m.Wants {
			if mapped[m.SourceType][f] == "" && !slices.Contains(sent, f) {
				t.Errorf("%s: %s wants %s, which is neither mapped nor sent", m.EventType, m.Name, f)
			}
		}
		for _, f := range compared(m.Search) {
			if !slices.Contains(sent, f) {
				t.Errorf("%s: the search uses %q, which the exporter does not send", m.EventType, f)
			}
		}
	}
	for _, name := range []string{"Alerts", "Data_Access", "Authentication", "Change", "DLP"} {
		if !seen[name] {
			t.Errorf("no records for %s", name)
		}
	}
	tags := conf(t, "TA-mcpsiem/default/tags.conf")
	for et := range conf(t, "TA-mcpsiem/default/eventtypes.conf") {
		if len(tags["eventtype="+et]) == 0 {
			t.Errorf("event type %s has no tags", et)
		}
	}
}

var (
	comparison = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)\s*(?:!=|=|>|<| IN )`)
	listed     = regexp.MustCompile(`(?:\bBY|\btable|\bdedup|\bmvexpand|\bfillnull value=0|\bsort(?: 0)?) ([^|]*)`)
	called     = regexp.MustCompile(`\b(?:sum|avg|dc)\((\w+)\)`)
	named      = regexp.MustCompile(` AS (\w+)`)
)

func compared(search string) (out []string) {
	for _, m := range comparison.FindAllStringSubmatch(quoted.ReplaceAllString(search, `""`), -1) {
		out = append(out, m[1])
	}
	return out
}

func TestSearchesUseFieldsThatAreSent(t *testing.T) {
	c, err := LoadCIM()
	if err != nil {
		t.Fatal(err)
	}
	macros := conf(t, "TA-mcpsiem/default/macros.conf")
	known := append(splunkhec.EmittedFields(), "_time", "index", "sourcetype", "value", "count", "mitre_technique_id")
	for _, st := range c.SourceTypes {
		for k := range st.Fields {
			known = append(known, k)
		}
	}
	for _, f := range splunkhec.DefaultIndexed() {
		known = append(known, splunkhec.IndexedPrefix+f)
	}
	check := func(where, search string) {
		t.Helper()
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(search, -1) {
			if macros[m[1]] == nil {
				t.Errorf("%s: no macro %s", where, m[1])
			}
		}
		own := known
		for _, m := range named.FindAllStringSubmatch(search, -1) {
			own = append(own, m[1])
		}
		bare := regexp.MustCompile("`[^`]+`").ReplaceAllString(quoted.ReplaceAllString(search, `""`), "")
		used := compared(bare)
		for _, m := range listed.FindAllStringSubmatch(bare, -1) {
			for _, f := range strings.Fields(m[1]) {
				if f != "-" && !strings.HasPrefix(f, "value=") {
					used = append(used, f)
				}
			}
		}
		for _, m := range called.FindAllStringSubmatch(bare, -1) {
			used = append(used, m[1])
		}
		for _, f := range used {
			if !slices.Contains(own, f) {
				t.Errorf("%s uses %q, which nothing makes", where, f)
			}
		}
		if len(used) == 0 && !strings.Contains(search, "count") && where != "mcpsiem_index" {
			t.Errorf("%s: nothing to check in %q", where, search)
		}
	}
	for name, m := range macros {
		check(name, m["definition"])
	}
	for name, s := range conf(t, "mcpsiem_app/default/savedsearches.conf") {
		check(name, s["search"])
	}
	views := 0
	for _, p := range walk(t, ".xml") {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Queries []string `xml:"row>panel>single>search>query"`
			Charts  []string `xml:"row>panel>chart>search>query"`
			Tables  []string `xml:"row>panel>table>search>query"`
		}
		if err := xml.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		for _, q := range slices.Concat(v.Queries, v.Charts, v.Tables) {
			views++
			check(p, q)
		}
	}
	if views < 15 {
		t.Errorf("%d searches of dashboards", views)
	}
	nav, err := os.ReadFile("mcpsiem_app/default/data/ui/nav/default.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`view name="(\w+)"`).FindAllStringSubmatch(string(nav), -1) {
		if _, err := os.Stat("mcpsiem_app/default/data/ui/views/" + m[1] + ".xml"); err != nil && m[1] != "search" {
			t.Error(err)
		}
	}
}

package configdoc

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/mcpsiem/mcpsiem/internal/distro"
)

var update = flag.Bool("update", false, "write docs/config.md and schemas/config.schema.json")

const root = "../.."

func components(t *testing.T) []Component {
	t.Helper()
	f, err := distro.Factories()
	if err != nil {
		t.Fatal(err)
	}
	comps := Components(f)
	c := NewComments(root)
	for i := range comps {
		c.Describe(&comps[i])
	}
	return comps
}

// TestFiles holds the files to the code.
func TestFiles(t *testing.T) {
	comps := components(t)
	schema, err := Schema(comps)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{"docs/config.md": []byte(Reference(comps)), "schemas/config.schema.json": append(schema, '\n')} {
		at := filepath.Join(root, file)
		if *update {
			if err := os.WriteFile(at, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the components say (%v): go generate ./internal/configdoc", file, err)
		}
	}
}

// TestReference: what a person looks up is there, and each example is YAML that the schema takes.
func TestReference(t *testing.T) {
	comps := components(t)
	text := Reference(comps)
	for _, want := range []string{"## receiver jetstream", "# Workers process batches" /* replaced below */, "keys_dir", "ack_wait: 10s"} {
		if want == "# Workers process batches" {
			want = "`workers` process batches at the same time."
		}
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the reference", want)
		}
	}
	s := schema(t, comps)
	n := 0
	for _, part := range strings.Split(text, "```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		if err := s.Validate(decode(t, example)); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
		n++
	}
	if n < 10 {
		t.Errorf("only %d components of our own", n)
	}
}

func schema(t *testing.T, comps []Component) *jsonschema.Schema {
	t.Helper()
	b, err := Schema(comps)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSchema takes every configuration that is shipped, and refuses what the Collector would.
func TestSchema(t *testing.T) {
	s := schema(t, components(t))
	files, err := filepath.Glob(filepath.Join(root, "deploy/config/*.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(decode(t, string(b))); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	refused := func(text string) {
		t.Helper()
		if s.Validate(decode(t, text)) == nil {
			t.Errorf("taken: %s", text)
		}
	}
	refused("procesors: {}")
	refused("processors: {batch: {}}")
	refused("processors: {inspect: {polcy_file: x}}")
	refused("receivers: {jetstream/x: {workers: many}}")
	refused("receivers: {jetstream/x: {ack_wait: soon}}")
	refused("service: {pipelines: {metrics: {}}}")
}

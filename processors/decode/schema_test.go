package decode

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What the JSON format reads is what schemas/event.schema.json describes.
func TestJSONFormFollowsItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../schemas/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile("testdata/gateway.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(in)), "\n") {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(line)))
		if err != nil {
			t.Fatal(err)
		}
		_, ours := parseJSONForm(line)
		if valid := schema.Validate(v) == nil; valid != ours {
			t.Errorf("schema says %v, the format %v: %s", valid, ours, line)
		}
	}
}

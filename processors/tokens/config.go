package tokens

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	bpe "github.com/mcpsiem/mcpsiem/internal/tokens"
)

// Config is the configuration of the tokens processor.
type Config struct {
	// Encoding counts tokens where no rule of Encodings applies. Built in: o200k_base, cl100k_base, p50k_base, r50k_base.
	Encoding string `mapstructure:"encoding"`
	// Encodings choose another encoding for some events; the first rule that matches wins.
	Encodings []EncodingRule `mapstructure:"encodings"`
	// EncodingFiles are further encodings.
	EncodingFiles []EncodingFile `mapstructure:"encoding_files"`
	// Models name the model that reads and writes the messages of some events which do not name it; the first rule that matches wins.
	Models []ModelRule `mapstructure:"models"`
	// DefaultModel is the model where neither the event nor a rule names one. Empty: such events get no cost.
	DefaultModel string `mapstructure:"default_model"`
	// PricesFile is a price file instead of the one built in; it is read again when it changes.
	PricesFile string `mapstructure:"prices_file"`
	// PricesInterval is how often PricesFile is looked at for a change; at least a second.
	PricesInterval time.Duration `mapstructure:"prices_interval"`
	// MaxBytes is the size of a message above which its tokens are not counted; 0: every message is.
	MaxBytes int `mapstructure:"max_bytes"`
	// MaxTools is how many tool definitions of one list are recorded each by itself; all are counted.
	MaxTools int `mapstructure:"max_tools"`
}

// Match says which events a rule is for. A field that is empty matches all; * stands for any characters; case does not matter.
type Match struct {
	Tenant string `mapstructure:"tenant"`
	Server string `mapstructure:"server"`
	Client string `mapstructure:"client"`
}

// ModelRule names the model for some events.
type ModelRule struct {
	Match `mapstructure:",squash"`
	Model string `mapstructure:"model"`
}

// EncodingRule names the encoding for some events.
type EncodingRule struct {
	Match `mapstructure:",squash"`
	// Model is matched against the event's model, however it was found.
	Model    string `mapstructure:"model"`
	Encoding string `mapstructure:"encoding"`
}

// EncodingFile is an encoding read from a .tiktoken file at start.
type EncodingFile struct {
	Name string `mapstructure:"name"`
	Path string `mapstructure:"path"`
	// Split is how text is cut before merging: o200k, cl100k or gpt2.
	Split string `mapstructure:"split"`
}

func createDefaultConfig() component.Config {
	return &Config{Encoding: "o200k_base", PricesInterval: 10 * time.Second, MaxTools: 4096}
}

// Validate reports what cannot work.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	known := bpe.Names()
	for i, f := range c.EncodingFiles {
		switch _, ok := bpe.ParseSplit(f.Split); {
		case f.Name == "" || f.Path == "":
			fail("encoding_files[%d]: name and path are required", i)
		case slices.Contains(known, f.Name):
			fail("encoding_files[%d]: an encoding %q exists already", i, f.Name)
		case !ok:
			fail("encoding_files[%d]: split is %q, want o200k, cl100k or gpt2: the rule belongs to the vocabulary, see whoever publishes it", i, f.Split)
		}
		known = append(known, f.Name)
	}
	check := func(key, name string) {
		if !slices.Contains(known, name) {
			fail("%s: no encoding %q; there are %s, and more can be given in encoding_files", key, name, strings.Join(known, ", "))
		}
	}
	check("encoding", c.Encoding)
	for i, r := range c.Encodings {
		check(fmt.Sprintf("encodings[%d]", i), r.Encoding)
		if r.Match == (Match{}) && r.Model == "" {
			fail("encodings[%d]: matches every event; name it in `encoding` instead", i)
		}
	}
	for i, r := range c.Models {
		if r.Model == "" {
			fail("models[%d]: model is required", i)
		}
		if r.Match == (Match{}) {
			fail("models[%d]: matches every event; name it in `default_model` instead", i)
		}
	}
	if c.PricesInterval < time.Second {
		fail("prices_interval: %s is less than a second", c.PricesInterval)
	}
	if c.MaxBytes < 0 {
		fail("max_bytes: %d is negative; 0 is no limit", c.MaxBytes)
	}
	if c.MaxTools < 1 {
		fail("max_tools: %d is less than 1", c.MaxTools)
	}
	return errors.Join(errs...)
}

package tokens

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.yaml.in/yaml/v3"
)

func nopTelemetry() component.TelemetrySettings { return componenttest.NewNopTelemetrySettings() }

func TestConfig(t *testing.T) {
	if err := componenttest.CheckConfigStruct(createDefaultConfig()); err != nil {
		t.Error(err)
	}
	cfg := createDefaultConfig().(*Config)
	err := confmap.NewFromStringMap(map[string]any{
		"encoding":        "cl100k_base",
		"encodings":       []any{map[string]any{"server": "git*", "model": "m*", "encoding": "mine"}},
		"encoding_files":  []any{map[string]any{"name": "mine", "path": "/x.tiktoken", "split": "gpt2"}},
		"models":          []any{map[string]any{"tenant": "acme", "client": "c", "model": "gpt-5.4"}},
		"default_model":   "claude-opus-5",
		"prices_file":     "/p.yaml",
		"prices_interval": "1m",
		"max_bytes":       10,
		"max_tools":       20,
	}).Unmarshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if cfg.Encodings[0].Server != "git*" || cfg.Models[0].Client != "c" || cfg.PricesInterval != time.Minute || cfg.EncodingFiles[0].Split != "gpt2" {
		t.Errorf("read %+v", cfg)
	}
}

// The example in README.md is a valid configuration and shows every key.
func TestReadmeConfig(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(block), &doc); err != nil {
		t.Fatal(err)
	}
	conf, err := confmap.NewFromStringMap(doc).Sub("processors::tokens")
	if err != nil {
		t.Fatal(err)
	}
	cfg := createDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	for f := range reflect.TypeFor[Config]().Fields() {
		if !conf.IsSet(f.Tag.Get("mapstructure")) {
			t.Errorf("README.md does not show %s", f.Tag.Get("mapstructure"))
		}
	}
}

func TestConfigFailures(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	f(func(c *Config) { c.Encoding = "gpt9" }, "o200k_base")
	f(func(c *Config) { c.Encodings = []EncodingRule{{Model: "x", Encoding: "y"}} }, "encodings[0]: no encoding")
	f(func(c *Config) { c.Encodings = []EncodingRule{{Encoding: "o200k_base"}} }, "matches every event")
	f(func(c *Config) { c.Models = []ModelRule{{Model: "x"}} }, "default_model")
	f(func(c *Config) { c.Models = []ModelRule{{Match: Match{Server: "x"}}} }, "model is required")
	f(func(c *Config) { c.EncodingFiles = []EncodingFile{{Name: "x"}} }, "path are required")
	f(func(c *Config) { c.EncodingFiles = []EncodingFile{{Name: "o200k_base", Path: "p", Split: "o200k"}} }, "exists already")
	f(func(c *Config) { c.EncodingFiles = []EncodingFile{{Name: "x", Path: "p", Split: "bert"}} }, "split is")
	f(func(c *Config) { c.PricesInterval = 0 }, "less than a second")
	f(func(c *Config) { c.MaxBytes = -1 }, "negative")
	f(func(c *Config) { c.MaxTools = 0 }, "less than 1")
}

func TestStartFailures(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, consumertest.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	f(func(c *Config) { c.PricesFile = none }, "prices_file")
	f(func(c *Config) {
		c.EncodingFiles = []EncodingFile{{Name: "x", Path: none, Split: "o200k"}}
		c.Encoding = "x"
	}, `encoding "x"`)
}

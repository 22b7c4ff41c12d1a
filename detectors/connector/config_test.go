package connector

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/mcpsiem/mcpsiem/detectors"
)

func load(conf map[string]any) (*Config, error) {
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(conf).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, xconfmap.Validate(cfg)
}

func TestConfigStruct(t *testing.T) {
	if err := componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()); err != nil {
		t.Error(err)
	}
}

func TestConfigAccepts(t *testing.T) {
	all := len(detectors.All)
	f := func(conf map[string]any, detectors int) *Config {
		t.Helper()
		c, err := load(conf)
		if err != nil {
			t.Fatal(err)
		}
		in, err := c.instances()
		if err != nil || len(in) != detectors {
			t.Errorf("%d detectors: %v", len(in), err)
		}
		return c
	}
	f(nil, all)
	c := f(map[string]any{"nats": map[string]any{"url": "nats://h:1"}, "snapshot_bucket": "b", "catch_up_limit": 0}, all)
	if c.CatchUpLimit != 0 || c.NATS.Get().URL != "nats://h:1" || c.NATS.Get().ConnectTimeout == 0 {
		t.Errorf("%+v", c)
	}
	f(map[string]any{"detectors": map[string]any{"capture_loss": map[string]any{"enabled": false}, "credential_leak": map[string]any{"enabled": true, "window": "5m"}}}, all-1)
}

func TestConfigRefuses(t *testing.T) {
	f := func(want string, conf map[string]any) {
		t.Helper()
		if _, err := load(conf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
	detector := func(id string, conf map[string]any) map[string]any {
		return map[string]any{"detectors": map[string]any{id: conf}}
	}
	f("exclude each other", map[string]any{"snapshot_dir": "a", "snapshot_bucket": "b", "nats": map[string]any{}})
	f("needs nats", map[string]any{"snapshot_bucket": "b"})
	f("at least 1s", map[string]any{"snapshot_interval": "1ms"})
	f("not be negative", map[string]any{"lateness": "-1s"})
	f("dedupe_capacity", map[string]any{"dedupe_capacity": 0})
	f("snapshot_name", map[string]any{"snapshot_name": "../x"})
	f("snapshot_bucket", map[string]any{"snapshot_bucket": "a b", "nats": map[string]any{}})
	f("colour", map[string]any{"colour": "red"})
	f("there is no detector \"credential_leek\"", detector("credential_leek", nil))
	f("true or false", detector("credential_leak", map[string]any{"enabled": "perhaps"}))
	f("colour", detector("credential_leak", map[string]any{"colour": "red"}))
	f("threshold must be", detector("credential_leak", map[string]any{"threshold": 2}))
	f("window must be", detector("capture_loss", map[string]any{"window": "0s"}))
	f("high_count", detector("capture_gap", map[string]any{"high_count": 0}))
	f("learn must not", detector("tool_definition_drift", map[string]any{"learn": "-1s"}))
	f("at most 1", detector("injection_signal", map[string]any{"strong": 7}))
	f("window must be", detector("protocol_anomaly", map[string]any{"window": "-1s"}))
}

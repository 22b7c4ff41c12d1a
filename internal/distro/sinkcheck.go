// Checking sinks.yaml by the exporters' own rules, before anything is started: each fault at its line.

package distro

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.yaml.in/yaml/v3"
)

// CheckSinks reads sinks.yaml and checks each sink's settings as its exporter will. Errors name file and line, all of them at once.
func CheckSinks(ctx context.Context, file string) ([]Sink, error) {
	list, err := ReadSinks(file)
	if err != nil || len(list) == 0 {
		return list, err
	}
	f, err := Factories()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, s := range list {
		factory, ok := f.Exporters[component.MustNewType(s.Type)]
		if !ok {
			errs = append(errs, fmt.Errorf("%s:%d: sink %s: this build of mcpsiem has no exporter %s", file, s.node.Line, s.Name, s.Type))
			continue
		}
		for _, fault := range faults(s.checkConfig(ctx, factory.CreateDefaultConfig())) {
			errs = append(errs, fmt.Errorf("%s:%d: sink %s: %s", file, s.lineOf(fault), s.Name, fault))
		}
	}
	return list, errors.Join(errs...)
}

// ExporterConfig is the sink's settings laid over the defaults of its exporter, with ${env:NAME} and ${file:PATH} replaced.
func (s Sink) ExporterConfig(ctx context.Context) (component.Config, error) {
	f, err := Factories()
	if err != nil {
		return nil, err
	}
	factory, ok := f.Exporters[component.MustNewType(s.Type)]
	if !ok {
		return nil, fmt.Errorf("this build of mcpsiem has no exporter %s", s.Type)
	}
	cfg := factory.CreateDefaultConfig()
	return cfg, s.checkConfig(ctx, cfg)
}

func (s Sink) checkConfig(ctx context.Context, cfg component.Config) error {
	conf, err := Expand(ctx, s.Config)
	if err != nil {
		return err
	}
	if err := conf.Unmarshal(cfg); err != nil {
		return err
	}
	return xconfmap.Validate(cfg)
}

// Expand replaces ${env:NAME} and ${file:PATH} in settings as the Collector does.
func Expand(ctx context.Context, settings map[string]any) (*confmap.Conf, error) {
	text, err := yaml.Marshal(map[string]any{"settings": settings})
	if err != nil {
		return nil, err
	}
	r, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"yaml:" + string(text)},
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory(), yamlprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	if err != nil {
		return nil, err
	}
	defer r.Shutdown(ctx)
	conf, err := r.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	return conf.Sub("settings")
}

// faults are the lines of an error, each once: what errors.Join makes of several.
func faults(err error) (out []string) {
	if err == nil {
		return nil
	}
	for _, l := range strings.Split(err.Error(), "\n") {
		if l = strings.TrimSpace(l); l != "" && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

var quotedKey = regexp.MustCompile(`'([\w.:\[\]]+)'`)

// lineOf finds the line of the setting that an error's text begins with or quotes, else that of the sink's config, else of the sink.
func (s Sink) lineOf(text string) int {
	line := s.node.Line
	i := keyIndex(s.node, "config")
	if i < 0 {
		return line
	}
	line, conf := s.node.Content[i].Line, s.node.Content[i+1]
	if m := invalidKeys.FindStringSubmatch(text); m != nil {
		if l := lineOfKey(conf, strings.TrimSpace(strings.Split(m[1], ",")[0])); l > 0 {
			return l
		}
	}
	texts := []string{text}
	for _, m := range quotedKey.FindAllStringSubmatch(text, 4) {
		texts = append(texts, m[1])
	}
	for _, t := range texts {
		found := 0
		n := conf
		for _, word := range words(t) {
			i := keyIndex(n, word)
			if i < 0 {
				break
			}
			found, n = n.Content[i].Line, n.Content[i+1]
		}
		if found > 0 {
			return found
		}
	}
	return line
}

func keyIndex(n *yaml.Node, key string) int {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func lineOfKey(n *yaml.Node, key string) int {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == key {
			return c.Line
		}
		if l := lineOfKey(c, key); l > 0 {
			return l
		}
	}
	return 0
}

// FindSink is the sink of this name; the error names those that there are.
func FindSink(list []Sink, name string) (Sink, error) {
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return Sink{}, errors.New("there are no sinks: write sinks.yaml in the state folder (docs/sinks.md) and start mcpsiem again")
	}
	slices.Sort(names)
	return Sink{}, fmt.Errorf("there is no such sink in sinks.yaml; there are %s", strings.Join(names, ", "))
}

// Package distro is mcpsiem's Collector distribution: which components it holds, what it refuses in a configuration, the
// configuration of the all-in-one installation, and how a Collector is run and checked.
package distro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/otelcol"
)

// Version is set by the linker; a build from the source tree says "dev".
var Version = "dev"

// VersionText is the version with what the Go tool chain knows of the build.
func VersionText() string {
	v := Version
	if bi, ok := debug.ReadBuildInfo(); ok {
		v += " " + bi.GoVersion
	}
	return v
}

func resolver(files []string) confmap.ResolverSettings {
	uris := make([]string, len(files))
	for i, f := range files {
		uris[i] = "file:" + f
	}
	return confmap.ResolverSettings{
		URIs:              uris,
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory(), yamlprovider.NewFactory()},
		DefaultScheme:     "env",
	}
}

// New prepares a Collector that is configured by files, later ones over earlier ones. It handles no signals: end it with
// Shutdown.
func New(files []string) (*otelcol.Collector, error) {
	return otelcol.NewCollector(otelcol.CollectorSettings{
		Factories:               Factories,
		BuildInfo:               component.BuildInfo{Command: "mcpsiem", Description: "flight recorder and alarm for MCP", Version: Version},
		DisableGracefulShutdown: true,
		ConfigProviderSettings:  otelcol.ConfigProviderSettings{ResolverSettings: resolver(files)},
	})
}

// Validate returns what is wrong with a configuration, each with file and line where they can be told: what the Collector
// refuses, and what Guard does.
func Validate(ctx context.Context, files []string) error {
	if err := readable(files); err != nil {
		return err
	}
	r, err := confmap.NewResolver(resolver(files))
	if err != nil {
		return err
	}
	conf, err := r.Resolve(ctx)
	if err != nil {
		return explain(files, err)
	}
	defer r.Shutdown(ctx)
	var errs []error
	for _, p := range Guard(conf.ToStringMap()) {
		errs = append(errs, at(files, p))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	col, err := New(files)
	if err != nil {
		return err
	}
	if err := col.DryRun(ctx); err != nil {
		return explain(files, err)
	}
	return nil
}

// at puts the place of a problem before it.
func at(files []string, p Problem) error {
	where := locate(files, strings.Split(p.Path, "::")...)
	return fmt.Errorf("%s: %w", where, p)
}

// Run checks the configuration and runs a Collector until ctx ends or it fails. started is called once it runs.
func Run(ctx context.Context, files []string, started func()) error {
	if err := Validate(ctx, files); err != nil {
		return err
	}
	tuneGC()
	col, err := New(files)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- col.Run(context.WithoutCancel(ctx)) }()
	if started != nil {
		go waitRunning(ctx, col, started)
	}
	select {
	case err := <-done:
		return clean(err)
	case <-ctx.Done():
		col.Shutdown()
		return clean(<-done)
	}
}

// Batches are short-lived: collecting them less often saves a tenth of the CPU for some memory. Near the soft limit the collector
// works as hard as ever. GOGC and GOMEMLIMIT win.
const (
	gcPercent   = 200
	memoryLimit = 1 << 30 // bytes
)

func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// clean shortens paths of the working directory in an error.
func clean(err error) error {
	if err == nil {
		return nil
	}
	wd, _ := os.Getwd()
	if wd == "" {
		return err
	}
	if s := strings.ReplaceAll(err.Error(), wd+string(filepath.Separator), ""); s != err.Error() {
		return errors.New(s)
	}
	return err
}

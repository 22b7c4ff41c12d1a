package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcpsiem/mcpsiem/internal/mcpconfig"
)

type wrapFlags struct {
	only, except, labels                []string
	tap, tenant, endpoint, token, state string
	dryRun                              bool
}

const wrapShapes = `
FILE is a configuration of MCP servers: claude_desktop_config.json, ~/.claude.json or .mcp.json (Claude
Code), .cursor/mcp.json, .vscode/mcp.json or VS Code's settings.json, and others of these shapes. Comments
and trailing commas are fine.`

func (f *flags) addWrap() {
	w := &f.wrap
	f.list(&w.only, "only", "NAME", "treat this server only; may be repeated")
	f.list(&w.except, "except", "NAME", "leave this server alone; may be repeated")
	f.toggle(&w.dryRun, "dry-run", "change nothing, show what would change; secrets are masked")
}

func wrapCommand() *command {
	return &command{
		name: "wrap", args: "FILE", short: "put the stdio servers of a client's configuration under the tap",
		long: `Edits FILE so that every stdio server in it runs under mcptap stdio. All other bytes of the file stay as they
are. A server that is wrapped already is left; one that is reached by URL is listed with what to do.
` + wrapShapes + `

A backup is left beside FILE, with FILE's mode, for mcptap unwrap. Restart the client afterwards.`,
		example: `  mcptap wrap --dry-run ~/.claude.json
  mcptap wrap ~/.claude.json
  mcptap wrap --only github --label team=blue .vscode/mcp.json
`,
		flags: func(f *flags) {
			f.addWrap()
			w := &f.wrap
			f.list(&w.labels, "label", "KEY=VALUE", "a label for the taps; may be repeated")
			f.str(&w.tenant, "tenant", "TENANT", "", "tenant for the taps")
			f.str(&w.endpoint, "endpoint", "URL", "", "collector for the taps, if not the one on this machine")
			f.str(&w.token, "token-file", "FILE", "", "token file for the taps, if not the usual one")
			f.str(&w.state, "state-dir", "DIR", "", "state folder for the taps, if not the usual one")
			f.str(&w.tap, "tap", "FILE", "", "mcptap as the client shall run it; without it this executable")
		},
		run: func(f *flags, args []string) error { return runWrap(f, args, mcpconfig.WrapFile) },
	}
}

func unwrapCommand() *command {
	return &command{
		name: "unwrap", args: "FILE", short: "take the servers of a configuration out from under the tap",
		long: `Undoes mcptap wrap. If FILE is still what wrap left, it becomes what it was before, byte for byte; if it was
changed since, each server gets its own command and arguments back and the changes stay.
` + wrapShapes,
		example: `  mcptap unwrap ~/.claude.json
  mcptap unwrap --only github --dry-run .vscode/mcp.json
`,
		flags: func(f *flags) { f.addWrap() },
		run:   func(f *flags, args []string) error { return runWrap(f, args, mcpconfig.UnwrapFile) },
	}
}

func runWrap(f *flags, args []string, do func(string, mcpconfig.Options, bool) (mcpconfig.Result, error)) error {
	if len(args) != 1 {
		return usage("which FILE? One configuration file is expected")
	}
	w := &f.wrap
	o := mcpconfig.Options{Tap: w.tap, Only: w.only, Except: w.except, Credential: plainCredential}
	if o.Tap == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("cannot find this executable, use --tap: %w", err)
		}
		o.Tap = self
	}
	for _, l := range w.labels {
		o.Flags = append(o.Flags, "--label="+l)
	}
	for _, v := range []struct{ flag, value string }{{"tenant", w.tenant}, {"endpoint", w.endpoint}, {"token-file", w.token}, {"state-dir", w.state}} {
		if v.value == "" {
			continue
		}
		if v.flag == "token-file" || v.flag == "state-dir" { // the client may run the tap in another folder
			abs, err := filepath.Abs(v.value)
			if err != nil {
				return fmt.Errorf("cannot make --%s absolute: %w", v.flag, err)
			}
			v.value = abs
		}
		o.Flags = append(o.Flags, "--"+v.flag+"="+v.value)
	}
	r, err := do(args[0], o, w.dryRun)
	if err != nil {
		return err
	}
	if w.dryRun {
		fmt.Fprint(f.stdout, r.Diff)
	}
	for _, s := range r.Servers {
		line := fmt.Sprintf("%s %s: %s", s.Where, s.Name, s.Action)
		if s.Reason != "" {
			line += " (" + s.Reason + ")"
		}
		fmt.Fprintln(f.stdout, line)
	}
	switch {
	case !r.Changed:
		fmt.Fprintln(f.stdout, "nothing to change")
	case w.dryRun:
		fmt.Fprintln(f.stdout, "nothing was changed: this was a dry run")
	default:
		fmt.Fprintf(f.stdout, "%s is changed; restart its client\n", r.Path)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/retention"
	"github.com/mcpsiem/mcpsiem/internal/setup"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// initOptions are the flags of `init`.
type initOptions struct {
	state     string
	tenant    string
	wrap      []string
	sinks     []string
	issuer    setup.Issuer
	retention string
	tap       string

	dryRun, asJSON, yes, overwrite bool
}

func newInit() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:     "init",
		GroupID: "run",
		Short:   "Ask a few questions and write the files that `mcpsiem up` reads",
		Long: `Set up an installation: name of the tenant, identity provider, sinks, how long records are kept, and which MCP clients' servers to tap.
On a terminal it asks for what no flag says; Enter leaves a thing out. Elsewhere, and with --yes, it asks nothing and does what the flags say.

It writes site.yaml, sinks.yaml, retention.yaml and, 0600, secrets/sink-* of the state folder, and only after all of it has passed the check of
` + "`mcpsiem up`" + `. A file that is there with other content is not replaced without asking, or --overwrite. The same answers again change nothing.
Secrets are asked for without echo, or read from files: never from the command line. Taps are put in by ` + "`mcptap wrap`, which leaves a backup, and are taken\nout by `mcptap unwrap`.",
		Example: `  mcpsiem init
  mcpsiem init --dry-run --tenant acme --retention soc2
  mcpsiem init --yes --wrap ~/.cursor/mcp.json
  mcpsiem init --yes --issuer https://login.example.com/ --jwks-url https://login.example.com/jwks --audience mcp
  mcpsiem init --yes --sink type=splunkhec,endpoint=https://splunk.example.com:8088,token-file=hec.token`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var ask asker
			if f, ok := c.InOrStdin().(*os.File); ok && !o.yes && !o.asJSON && term.IsTerminal(int(f.Fd())) {
				ask = &terminal{in: f, lines: bufio.NewReader(f), out: c.ErrOrStderr()}
			}
			return runInit(c.Context(), o, ask, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.state, "state", state.Default(), "state folder `DIR` (env MCPSIEM_STATE)")
	f.StringVar(&o.tenant, "tenant", "", "the tenant that events without another one belong to `NAME`")
	f.StringArrayVar(&o.wrap, "wrap", nil, "put the stdio servers of this client's configuration under the tap `FILE`; may be given more than once")
	f.StringArrayVar(&o.sinks, "sink", nil, "a sink, as type=TYPE,name=NAME,KEY=VALUE,...; secrets as KEY-file=PATH `SINK`; may be given more than once")
	f.StringVar(&o.issuer.Issuer, "issuer", "", "identity provider: its tokens' iss, exactly `URL`")
	f.StringVar(&o.issuer.JWKSURL, "jwks-url", "", "its key set `URL`")
	f.StringArrayVar(&o.issuer.Audiences, "audience", nil, "an audience that its tokens must name `AUD`; may be given more than once")
	f.StringVar(&o.issuer.IDClaim, "id-claim", "", "the claim that names the principal `CLAIM` (default sub)")
	f.StringVar(&o.retention, "retention", "", "how long records are kept `PRESET`: "+strings.Join(presetNames(), ", "))
	f.StringVar(&o.tap, "tap", "", "mcptap, as clients shall run it `FILE` (default: beside this program)")
	f.BoolVar(&o.dryRun, "dry-run", false, "write nothing, show what would be written")
	f.BoolVar(&o.yes, "yes", false, "ask nothing")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace files that are there with other content")
	f.BoolVar(&o.asJSON, "json", false, "print JSON, ask nothing")
	_ = c.MarkFlagFilename("wrap", "json")
	return c
}

func presetNames() (out []string) {
	for _, p := range retention.Presets() {
		out = append(out, p.Name)
	}
	return out
}

// asker asks a person.
type asker interface {
	Line(question, otherwise string) (string, error)
	Secret(question string) (string, error)
}

// terminal asks on a terminal.
type terminal struct {
	in    *os.File
	lines *bufio.Reader
	out   io.Writer
}

func (t *terminal) Line(question, otherwise string) (string, error) {
	if otherwise != "" {
		question += " [" + otherwise + "]"
	}
	fmt.Fprintf(t.out, "%s: ", question)
	line, err := t.lines.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("nothing is written: cannot read the answer: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return otherwise, nil
	}
	return line, nil
}

func (t *terminal) Secret(question string) (string, error) {
	fmt.Fprintf(t.out, "%s (not shown): ", question)
	b, err := term.ReadPassword(int(t.in.Fd()))
	fmt.Fprintln(t.out)
	if err != nil {
		return "", fmt.Errorf("nothing is written: cannot read the answer: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// initReport is what init did, or would do.
type initReport struct {
	State  string        `json:"state"`
	DryRun bool          `json:"dry_run"`
	Files  []initFile    `json:"files"`
	Wraps  []initWrapped `json:"wrapped"`
}

type initFile struct {
	Path   string `json:"path"`
	Secret bool   `json:"secret"`
	Action string `json:"action"` // written, unchanged, kept (other content is there); in a dry run: would be written, ...
	text   []byte
}

type initWrapped struct {
	Path string   `json:"path"`
	Said []string `json:"said"` // by mcptap wrap
}

func runInit(ctx context.Context, o initOptions, ask asker, out io.Writer) error {
	abs, err := filepath.Abs(o.state)
	if err != nil {
		return err
	}
	d := state.Dir(abs)
	a, err := o.answers(ask)
	if err != nil {
		return err
	}
	clients, err := o.clients(ask)
	if err != nil {
		return err
	}
	plan, err := setup.Make(ctx, d, a)
	if err != nil {
		return withCode(exitUsage, err)
	}
	r := initReport{State: string(d), DryRun: o.dryRun, Files: []initFile{}, Wraps: []initWrapped{}}
	if !o.dryRun {
		if _, err := state.Create(string(d)); err != nil { // with its own secrets, so that taps find their token
			return err
		}
	}
	actions := map[string]string{setup.Same: "unchanged", setup.New: "written", setup.Differs: "kept: other content is there; --overwrite replaces it"}
	written := map[string]bool{}
	replace := func(f setup.File) (bool, error) {
		if o.overwrite || ask == nil {
			return o.overwrite, nil
		}
		yes, err := ask.Line(f.Path+" is there with other content. Replace it? (yes or no)", "no")
		return yes == "yes" || yes == "y", err
	}
	if !o.dryRun {
		files, err := plan.Write(replace)
		for _, f := range files {
			written[f.Path] = true
		}
		if err != nil {
			return err
		}
	}
	for _, f := range plan.Files {
		action := actions[f.State]
		switch {
		case o.dryRun && f.State == setup.New, o.dryRun && o.overwrite && f.State == setup.Differs:
			action = "would be written"
		case written[f.Path]:
			action = "written"
		}
		r.Files = append(r.Files, initFile{Path: f.Path, Secret: f.Secret, Action: action, text: f.Content})
	}
	for _, file := range clients {
		said, err := o.wrapClient(ctx, d, file)
		if err != nil {
			return err
		}
		r.Wraps = append(r.Wraps, initWrapped{file, said})
	}
	if o.asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return printInit(out, r)
}

func printInit(w io.Writer, r initReport) error {
	for _, f := range r.Files {
		fmt.Fprintf(w, "%s: %s\n", f.Path, f.Action)
		if r.DryRun && !f.Secret {
			for _, line := range strings.Split(strings.TrimRight(string(f.text), "\n"), "\n") {
				fmt.Fprintf(w, "    %s\n", line)
			}
		}
	}
	for _, c := range r.Wraps {
		for _, line := range c.Said {
			fmt.Fprintln(w, line)
		}
	}
	if len(r.Files)+len(r.Wraps) == 0 {
		_, err := fmt.Fprintln(w, "nothing was asked for, so nothing is set up beyond the defaults. `mcpsiem init --help` lists what can be.")
		return err
	}
	if r.DryRun {
		_, err := fmt.Fprintln(w, "nothing was changed: this was a dry run")
		return err
	}
	stateArg := ""
	if r.State != state.Default() {
		stateArg = " --state " + r.State
	}
	_, err := fmt.Fprintf(w, "\nstart, or restart, it:  mcpsiem up%s\n", stateArg)
	return err
}

// answers come from flags, and from a person for what no flag says.
func (o *initOptions) answers(ask asker) (a setup.Answers, err error) {
	a = setup.Answers{Tenant: o.tenant, Retention: o.retention}
	for _, text := range o.sinks {
		s, files, err := setup.ParseSink(text)
		if err != nil {
			return a, withCode(exitUsage, err)
		}
		for key, path := range files {
			if s.Values[key], err = readPassword(path); err != nil {
				return a, err
			}
			if s.Values[key] == "" {
				return a, withCode(exitUsage, fmt.Errorf("%s is empty", path))
			}
		}
		a.Sinks = append(a.Sinks, s)
	}
	if i := o.issuer; i.Issuer != "" || i.JWKSURL != "" || len(i.Audiences) > 0 || i.IDClaim != "" {
		a.Issuer = &o.issuer
	}
	if ask == nil {
		return a, nil
	}
	if a.Tenant == "" {
		if a.Tenant, err = ask.Line("Tenant: the team or company whose traffic this is (Enter: default)", ""); err != nil {
			return a, err
		}
	}
	if a.Issuer == nil {
		if a.Issuer, err = askIssuer(ask); err != nil {
			return a, err
		}
	}
	if len(a.Sinks) == 0 {
		if a.Sinks, err = askSinks(ask); err != nil {
			return a, err
		}
	}
	if a.Retention == "" {
		a.Retention, err = until(ask.Line, "Retention preset: "+strings.Join(presetNames(), ", ")+" (Enter: nothing is ever removed)", "", func(name string) error {
			if name != "" && !slices.Contains(presetNames(), name) {
				return fmt.Errorf("there is no preset %q", name)
			}
			return nil
		})
	}
	return a, err
}

// until asks again, saying what is wrong, as long as something is.
func until(ask func(question, otherwise string) (string, error), question, otherwise string, wrong func(string) error) (string, error) {
	text := question
	for {
		answer, err := ask(text, otherwise)
		if err != nil {
			return "", err
		}
		fault := wrong(answer)
		if fault == nil {
			return answer, nil
		}
		text = fault.Error() + "\n" + question
	}
}

func askIssuer(ask asker) (*setup.Issuer, error) {
	var i setup.Issuer
	var audiences string
	anything := func(string) error { return nil }
	for _, q := range []struct {
		to    *string
		text  string
		wrong func(string) error
	}{
		{&i.Issuer, "Identity provider: the tokens' iss, exactly (Enter: none; tokens stay claims)", anything},
		{&i.JWKSURL, "  URL of its key set (jwks_uri)", func(u string) error {
			if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://127.0.0.1") && !strings.HasPrefix(u, "http://localhost") {
				return errors.New("  this must be an https URL, as the provider's /.well-known/openid-configuration names it")
			}
			return nil
		}},
		{&audiences, "  audiences that a token must name, separated by blanks (Enter: any)", anything},
		{&i.IDClaim, "  claim that names people, e.g. email (Enter: sub)", anything},
	} {
		var err error
		if *q.to, err = until(ask.Line, q.text, "", q.wrong); err != nil {
			return nil, err
		}
		if i.Issuer == "" {
			return nil, nil
		}
	}
	i.Audiences = strings.Fields(audiences)
	return &i, nil
}

func askSinks(ask asker) ([]setup.Sink, error) {
	var types []string
	for _, f := range setup.Available() {
		types = append(types, f.Type)
	}
	var out []setup.Sink
	for {
		typ, err := until(ask.Line, "Sink: where else events and findings go: "+strings.Join(types, ", ")+" (Enter: no more)", "", func(typ string) error {
			if typ == "" {
				return nil
			}
			_, err := setup.FormOf(typ)
			return err
		})
		if err != nil || typ == "" {
			return out, err
		}
		f, err := setup.FormOf(typ)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		s := setup.Sink{Type: typ, Values: map[string]string{}}
		if s.Name, err = ask.Line("  name", typ); err != nil {
			return nil, err
		}
		for _, q := range f.Fields {
			text := "  " + q.Ask
			if q.Example != "" {
				text += ", e.g. " + q.Example
			}
			how := ask.Line
			if q.Secret {
				how = func(question, _ string) (string, error) { return ask.Secret(question) }
			}
			s.Values[q.Key], err = until(how, text, q.Default, func(v string) error {
				if v == "" && q.Required {
					return errors.New("  this is needed")
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
}

// knownClients are configurations of MCP clients, below the home folder or the working directory.
var knownClients = struct{ home, here []string }{
	home: []string{
		".claude.json", ".config/Claude/claude_desktop_config.json", "Library/Application Support/Claude/claude_desktop_config.json",
		".cursor/mcp.json", ".config/Code/User/mcp.json", "Library/Application Support/Code/User/mcp.json",
	},
	here: []string{".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json"},
}

// clients are the configurations to wrap: those of the flags, and those that are found and agreed to.
func (o *initOptions) clients(ask asker) ([]string, error) {
	if ask == nil || len(o.wrap) > 0 {
		return o.wrap, nil
	}
	var found []string
	if home, err := os.UserHomeDir(); err == nil {
		for _, f := range knownClients.home {
			found = append(found, filepath.Join(home, f))
		}
	}
	if wd, err := os.Getwd(); err == nil {
		for _, f := range knownClients.here {
			found = append(found, filepath.Join(wd, f))
		}
	}
	var out []string
	seen := map[string]bool{}
	for _, f := range found {
		if st, err := os.Stat(f); err != nil || st.IsDir() || seen[f] {
			continue
		}
		seen[f] = true
		yes, err := ask.Line("Put the servers in "+f+" under the tap? (yes or no)", "no")
		if err != nil {
			return nil, err
		}
		if yes == "yes" || yes == "y" {
			out = append(out, f)
		}
	}
	return out, nil
}

// wrapClient lets mcptap wrap a configuration.
func (o *initOptions) wrapClient(ctx context.Context, d state.Dir, file string) ([]string, error) {
	tap := o.tap
	if tap == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("cannot find mcptap, use --tap: %w", err)
		}
		tap = filepath.Join(filepath.Dir(self), "mcptap")
	}
	args := []string{"wrap"}
	if o.dryRun {
		args = append(args, "--dry-run")
	}
	if o.tenant != "" {
		args = append(args, "--tenant", o.tenant)
	}
	if string(d) != state.Default() {
		args = append(args, "--token-file", d.Secret(state.SecretOTLPToken))
	}
	b, err := exec.CommandContext(ctx, tap, append(args, file)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("cannot wrap %s: %s", file, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("cannot run mcptap: %w (build it, or name it with --tap)", err)
	}
	return strings.Split(strings.TrimRight(string(b), "\n"), "\n"), nil
}

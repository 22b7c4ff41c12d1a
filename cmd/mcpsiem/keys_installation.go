package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// Keys of the installation as a whole: which there are, what each is for, and what its loss means.

// installationKey is a key or password in the folder of secrets.
type installationKey struct {
	Name   string    `json:"name"`
	Use    string    `json:"use"`
	Lost   string    `json:"if_lost"`
	Rotate string    `json:"rotation"`
	File   string    `json:"file"`
	Since  time.Time `json:"since,omitzero"` // when the file was last written
	State  string    `json:"state"`          // ok, missing, or what is wrong
	Source string    `json:"source"`         // where the key is: file, or where the file refers to

	optional bool
}

var knownKeys = []installationKey{
	{Name: state.SecretJetStreamKey, Use: "encrypts RAW, EVENTS and FINDINGS on disk", Lost: "what is in the streams and not stored or exported yet cannot be read; up refuses to start", Rotate: "mcpsiem keys rotate --key jetstream, while everything runs"},
	{Name: state.SecretMasterKey, Use: "with tenants' keys: pseudonyms and fingerprints of content", Lost: "no placeholder can be made or recognised again; new ones do not correlate with old ones", Rotate: "tenant by tenant: mcpsiem keys rotate"},
	{Name: state.SecretIdentityKey, Use: "fingerprints of credentials", Lost: "a credential looks like a new one; revocations by fingerprint end", Rotate: "mcpsiem keys rotate --key identity, while everything runs"},
	{Name: "seal.key", Use: "signs the logs of the audit trail", Lost: "logs cannot go on and new ones begin; what was signed stays verifiable with key.pub", Rotate: "mcpsiem keys rotate --key seal, while everything runs"},
	{Name: keysource.WrapFile, Use: "wraps the keys of tenants and archives", Lost: "those keys cannot be read: bodies are withheld until it is back, archives stay shut", Rotate: "mcpsiem keys rotate --key wrap, while everything runs", optional: true},
	{Name: state.SecretOTLPToken, Use: "what taps and agents send with", Lost: "taps spool until they have the new one", Rotate: "remove the file, restart, give it to the taps"},
	{Name: state.SecretPage, Use: "opens the built-in page", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretNATSPipeline, Use: "NATS, all that the pipeline may", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretNATSViewer, Use: "NATS, redacted streams", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretClickHouseAdm, Use: "ClickHouse, the schema", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretClickHousePipe, Use: "ClickHouse, reads and inserts", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretClickHouseRead, Use: "ClickHouse, analysts", Lost: "nothing", Rotate: "remove the file, restart"},
	{Name: state.SecretClickHouseRemove, Use: "ClickHouse, retention and erasure", Lost: "nothing", Rotate: "remove the file, restart"},
}

// look fills in what is on disk. Material is not read.
func (k installationKey) look(d state.Dir) installationKey {
	if k.File == "" {
		k.File = d.Secret(k.Name)
	}
	st, err := os.Stat(k.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.State = "missing"
	case err != nil:
		k.State = "cannot be read"
	case st.Mode().Perm()&0o077 != 0:
		k.State, k.Since = fmt.Sprintf("mode %#o: others may read it, consider it known", st.Mode().Perm()), st.ModTime()
	case st.Size() == 0:
		k.State = "empty"
	default:
		k.State, k.Since = "ok", st.ModTime()
	}
	if k.State == "ok" {
		k.Source = k.where()
		if p := readRotation(d); p.Key == k.Name && p.Key != "" {
			k.State = "not rotated: " + p.Problem
		}
	}
	return k
}

// where says where the key is. Only references are read.
func (k installationKey) where() string {
	f, err := os.Open(k.File)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if keysource.IsWrapped(string(b)) {
		return "file, wrapped"
	}
	if err != nil || !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return "file"
	}
	var of struct {
		From *keysource.Source `json:"seed_from"`
		Sign *keysource.Source `json:"sign"`
		Seed string            `json:"seed"`
	}
	switch _ = json.Unmarshal(b, &of); {
	case of.Seed != "":
		return "file"
	case of.From != nil && of.From.Validate() == nil:
		return of.From.Kind()
	case of.Sign != nil && of.Sign.Validate() == nil:
		return "signs: " + of.Sign.Kind()
	}
	if s, _, err := keysource.Parse(b); err == nil {
		return s.Kind()
	}
	return "a reference that cannot be followed"
}

// test fetches a key, or signs something with it, where it is not in the file.
func (k *installationKey) test(ctx context.Context) {
	if k.State != "ok" || strings.HasPrefix(k.Source, "file") && !strings.HasPrefix(k.Source, "file /") {
		return
	}
	var err error
	if k.Name == "seal.key" {
		var key *seal.Key
		if key, err = seal.LoadKey(k.File); err == nil {
			_, err = key.SignText("test", "test of the signing key\nnothing\n")
		}
	} else {
		_, err = keysource.Read(ctx, k.Name, k.File)
	}
	if err != nil {
		k.State = err.Error()
	}
}

func installationKeys(d state.Dir) []installationKey {
	var out []installationKey
	for _, k := range knownKeys {
		if k = k.look(d); !k.optional || k.State != "missing" || wrapNeeded(d) {
			out = append(out, k)
		}
	}
	known, _ := filepath.Glob(d.Secret(state.SecretIdentityKey + keysource.FormerMark + "*"))
	for _, f := range known {
		out = append(out, installationKey{Name: filepath.Base(f), File: f, Use: "knows credentials that were enrolled or bound before the last rotation", Lost: "these credentials are unknown", Rotate: "remove it when they are enrolled anew"}.look(d))
	}
	spools, _ := filepath.Glob(d.Path("tap", "key"))
	former, _ := filepath.Glob(d.Path("tap", "key.former.*"))
	for _, f := range append(spools, former...) {
		k := installationKey{Name: "spool " + filepath.Base(f), File: f, Use: "encrypts what taps of this machine spool", Lost: "what they spooled cannot be read and is counted as lost", Rotate: "mcpsiem keys rotate --key spool, or mcptap rotate-key, while they run"}
		if filepath.Base(f) != "key" {
			k.Use, k.Rotate = "opens what was spooled before the last rotation", "removed when nothing needs it"
		}
		out = append(out, k.look(d))
	}
	archives, _ := filepath.Glob(d.Secret("archive/*"))
	for _, f := range archives {
		keys, _ := filepath.Glob(filepath.Join(f, "*.key"))
		for _, key := range keys {
			out = append(out, installationKey{Name: "archive " + filepath.Base(f) + "/" + strings.TrimSuffix(filepath.Base(key), ".key")[:8], File: key, Use: "encrypts an archive of retention", Lost: "that archive cannot be read", Rotate: "with an erasure from the archive; destroyed by mcpsiem keys destroy --tenant"}.look(d))
		}
	}
	people, _ := filepath.Glob(d.Secret("role-*.password"))
	for _, f := range people {
		out = append(out, installationKey{Name: strings.TrimSuffix(filepath.Base(f), ".password"), File: f, Use: "ClickHouse, a person's account", Lost: "nothing", Rotate: "mcpsiem roles remove and add"}.look(d))
	}
	return out
}

// wrapNeeded says whether a key is wrapped, so that without the wrapping key it is lost.
func wrapNeeded(d state.Dir) bool {
	files, _ := filepath.Glob(d.Secret("archive/*/*.key"))
	more, _ := filepath.Glob(d.Secret("tenants/*/*.key"))
	for _, f := range append(files, more...) {
		if b, err := os.ReadFile(f); err == nil && (keysource.IsWrapped(string(b)) || bytes.Contains(b, []byte(`"wrapped":"`))) {
			return true
		}
	}
	return false
}

func newKeysInstallation() *cobra.Command {
	var dir string
	var asJSON, test bool
	c := &cobra.Command{
		Use: "installation", Short: "Check the installation's own keys: what each is for, and what its loss means", Args: cobra.NoArgs,
		Long:    "List every key and password of the installation, where it is, since when, whether others may read it, what is lost with it and how it is replaced. Exit code 5 if one is missing, open to others, or could not be rotated.\nWith --test, keys that are elsewhere (a program, the environment) are fetched, and the signing key signs something. Material is never shown. docs/keys.md has more.",
		Example: "  mcpsiem keys installation\n  mcpsiem keys installation --test\n  mcpsiem keys installation --json",
		RunE: func(c *cobra.Command, _ []string) error {
			list := installationKeys(state.Dir(dir))
			for i := range list {
				if test {
					list[i].test(c.Context())
				}
			}
			if asJSON {
				if err := printJSON(c, list); err != nil {
					return err
				}
			} else if err := printInstallationKeys(c.OutOrStdout(), list); err != nil {
				return err
			}
			bad := 0
			for _, k := range list {
				if k.State != "ok" {
					bad++
				}
			}
			if bad > 0 {
				return withCode(exitCheck, fmt.Errorf("%d %s not as it should be", bad, plural(bad, "key is", "keys are")))
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	c.Flags().BoolVar(&test, "test", false, "fetch keys that are elsewhere, and sign something")
	return c
}

func printInstallationKeys(w io.Writer, list []installationKey) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "KEY\tSTATE\tWHERE\tSINCE\tFOR\tIF LOST\tROTATION\t")
	for _, k := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", printable(k.Name), printable(k.State), printable(k.Source), when(k.Since), k.Use, k.Lost, k.Rotate)
	}
	return tw.Flush()
}

// recordKey puts what was done to a tenant's key on record.
func (k *keysTarget) recordKey(c *cobra.Command, action audit.Action, details map[string]string) {
	k.record(c, action, "pseudonym key", details)
}

// record puts what was done to a key on record. Without a running installation there is no trail to write to, which is said.
func (k *keysTarget) record(c *cobra.Command, action audit.Action, target string, details map[string]string) {
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
	defer cancel()
	cfg, err := k.nats(true)
	if err == nil {
		err = audit.WriteTo(ctx, cfg, audit.Record{Action: action, Target: target, Tenant: k.tenant, Details: details})
	}
	if err != nil {
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: warning: this is not on record:", err)
	}
}

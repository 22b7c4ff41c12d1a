package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// Keys of tenants: what pseudonyms and body fingerprints are made with, together with the master key.

func newKeys() *cobra.Command {
	c := &cobra.Command{
		Use:     "keys",
		GroupID: "mend",
		Short:   "Keys: of tenants' pseudonyms (list, rotate, destroy), and of the installation",
		Long: `Every tenant has a key of its own, which its pseudonyms and body fingerprints are made with, together with the master key. It can be
destroyed alone: then what is stored of this tenant under pseudonyms has no way back and no comparison, whoever holds the master key.

Running processes notice within a second. Key material is never shown.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newKeysList(), newKeysRotate(), newKeysDestroy(), newKeysInstallation())
	return c
}

// keysTarget names the folder of keys, and the tenant.
type keysTarget struct {
	target
	dir    string
	tenant string
}

func (k *keysTarget) bind(c *cobra.Command, tenant bool) {
	k.target.bind(c, true, true)
	c.Flags().StringVar(&k.dir, "keys-dir", "", "keys_dir of the inspect processor `DIR`; by default that of the state folder")
	if tenant {
		c.Flags().StringVar(&k.tenant, "tenant", "", "the `TENANT` (required)")
		_ = c.MarkFlagRequired("tenant")
	}
}

// keys is the folder of the tenants' keys.
func (k *keysTarget) keys() string {
	if k.dir != "" {
		return k.dir
	}
	return state.Dir(k.stateDir).Secret("tenants")
}

func (k *keysTarget) open() (*pseudonym.Tenants, error) {
	s, err := pseudonym.OpenTenants(k.keys())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w (no event has been inspected yet, or the keys are elsewhere: see --keys-dir and --state)", err)
	}
	return s, err
}

// explain says of a missing key what to look at.
func (k *keysTarget) explain(err error) error {
	if errors.Is(err, pseudonym.ErrNoKey) {
		return fmt.Errorf("%w: %s (see `mcpsiem keys list`; a tenant gets a key with its first event)", err, printable(k.tenant))
	}
	return err
}

func newKeysList() *cobra.Command {
	var k keysTarget
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List every key: where it is, its age, what losing it means, how it is replaced; and the tenants' keys",
		Long: `List the keys and passwords of the installation, then those of tenants with epoch and id. Material is never shown.
` + "`mcpsiem keys installation`" + ` is the check of the first list, with an exit code for monitoring.`,
		Example: "  mcpsiem keys list --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := struct {
				Installation []installationKey     `json:"installation"`
				Tenants      []pseudonym.TenantKey `json:"tenants"`
			}{Tenants: []pseudonym.TenantKey{}}
			if d := state.Dir(k.stateDir); exists(d.Path("secrets")) {
				all.Installation = installationKeys(d)
			}
			s, err := k.open()
			if err == nil {
				var list []pseudonym.TenantKey
				if list, err = s.List(); list != nil {
					all.Tenants = list
				}
			}
			if err != nil && (!errors.Is(err, os.ErrNotExist) || all.Installation == nil) {
				return err
			}
			if asJSON {
				return printJSON(c, all)
			}
			out := c.OutOrStdout()
			if all.Installation != nil {
				if err := printInstallationKeys(out, all.Installation); err != nil {
					return err
				}
				fmt.Fprintln(out)
			}
			if err != nil {
				_, err := fmt.Fprintln(out, "no tenant has a key: no event has been inspected yet, or the keys are elsewhere (--keys-dir)")
				return err
			}
			if err := printKeys(out, all.Tenants); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, "\nIf a tenant's key is lost, its placeholders and body fingerprints of that time cannot be made or compared again, by anyone; nothing else is lost.")
			return err
		},
	}
	k.bind(c, false)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return c
}

func printKeys(out io.Writer, list []pseudonym.TenantKey) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tWHERE\tCREATED\tEPOCH\tKEY ID\tKEPT\tDESTROYED\tPROBLEM")
	for _, k := range list {
		epoch, id := strconv.FormatUint(k.Epoch, 10), k.ID
		if k.Epoch == 0 {
			epoch, id = "-", "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", printable(k.Tenant), wrappedText(k), when(k.Created), epoch, id, k.Kept, when(k.Destroyed), printable(k.Problem))
	}
	return w.Flush()
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// printable quotes a name that could upset a terminal or a table.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return strconv.QuoteToGraphic(s)
		}
	}
	return s
}

func newKeysRotate() *cobra.Command {
	var k keysTarget
	var which, file string
	c := &cobra.Command{
		Use:   "rotate --tenant TENANT | --key NAME",
		Short: "Give a tenant, the streams or the audit trail a new key, without a restart",
		Long: `With --tenant: make a new key for the tenant. From about a second later on, the same value gets another pseudonym than before, so that what is
stored before and after does not correlate. The former keys are kept; destroy removes them, too.

With --key seal: the logs of the audit trail are signed with another key from now on. It is announced in a statement that both keys sign, which key.pub and evidence bundles carry; what the old key
would sign beyond is not believed. The new key is made, or is the file seal.key.next beside seal.key, if you put one there (a key elsewhere: docs/keys.md). A running installation goes over to it within seconds.
Give auditors and witnesses the new public key.

With --key jetstream: RAW, EVENTS, FINDINGS and all other streams of the embedded NATS are under another key from now on, with all that is in them and every consumer where it was. The new key is made, or is the
file jetstream.key.next beside jetstream.key, if you put one there. In a running installation NATS is away for a moment: senders keep what they have and connect again by themselves. Cut off at any point, it goes on
with the next start.

With --key wrap: the keys of tenants and archives, which lie in files of their own so that each can be destroyed, are wrapped with another key: the one that you put, or whose place you name, in wrap.key.next beside
their folders. Without such a file a new key is made if wrap.key holds one; if it names a place, what is not wrapped yet is wrapped with the key there. Running processes take part.

With --key spool: the taps that use this state folder encrypt what they spool with another key from their next batch on; what is spooled already stays readable. On a machine that has taps alone: mcptap rotate-key.

With --key identity: credentials have other fingerprints from about a second later on, so that events before and after do not correlate by credential. Who is enrolled in people.yaml or bound with a fingerprint under the
former key stays that, as long as its file (identity.key.former.*) is there: enrol them anew with ` + "`mcpsiem identity fingerprint`" + `, then remove it.`,
		Example: "  mcpsiem keys rotate --tenant acme\n  mcpsiem keys rotate --key seal\n  mcpsiem keys rotate --key jetstream\n  mcpsiem keys rotate --key wrap\n  mcpsiem keys rotate --key spool\n  mcpsiem keys rotate --key identity",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (which == "") == (k.tenant == "") {
				return withCode(exitUsage, errors.New("name one: --tenant TENANT or --key NAME"))
			}
			switch which {
			case "":
			case "seal":
				return k.rotateSeal(c, file)
			case "jetstream":
				return k.rotateJetStream(c)
			case "wrap":
				return k.rotateWrap(c)
			case "identity":
				return k.rotateIdentity(c)
			case "spool":
				file := state.Dir(k.stateDir).Path("tap", "key")
				if err := tap.RotateSpoolKey(file); err != nil {
					return err
				}
				k.record(c, audit.KeyRotate, "spool key", nil)
				_, err := fmt.Fprintf(c.OutOrStdout(), "what taps of this folder spool from now on is encrypted with the new key in %s; the former key goes when all that needs it has been sent\n", file)
				return err
			default:
				return withCode(exitUsage, errors.New("--key is seal, jetstream, wrap, spool or identity; `mcpsiem keys list` says how the others are rotated"))
			}
			s, err := k.open()
			if err != nil {
				return err
			}
			key, err := s.Rotate(k.tenant)
			if err != nil {
				return k.explain(err)
			}
			k.recordKey(c, audit.KeyRotate, map[string]string{"key_id": key.ID, "epoch": strconv.FormatUint(key.Epoch, 10)})
			_, err = fmt.Fprintf(c.OutOrStdout(), "tenant %s has key %s of epoch %d; %d former kept\n", printable(k.tenant), key.ID, key.Epoch, key.Kept-1)
			return err
		},
	}
	k.bind(c, false)
	c.Flags().StringVar(&k.tenant, "tenant", "", "the `TENANT`")
	c.Flags().StringVar(&which, "key", "", "`NAME` of a key of the installation: seal, jetstream, wrap, spool or identity")
	c.Flags().StringVar(&file, "key-file", "", "key_file of the seal extension `FILE`; by default secrets/seal.key of the state folder")
	return c
}

// rotateSeal puts the next signing key in place, and waits until whoever seals has gone over to it, or does it where nobody seals.
func (k *keysTarget) rotateSeal(c *cobra.Command, file string) error {
	d := state.Dir(k.stateDir)
	if file == "" {
		file = d.Secret("seal.key")
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("cannot rotate the signing key: there is none yet: %w", err)
	}
	next, err := seal.PrepareRotation(file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	for {
		now, err := seal.LoadKey(file)
		if err != nil {
			return err
		}
		if now.Public() == next.Public() {
			break
		}
		if done, err := seal.RotateStopped(d.Path("seal"), file); err != nil {
			return err
		} else if done {
			k.tenant = ""
			fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: nobody seals now: the rotation is in seal.key and key.pub, and on record only there")
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the installation has not gone over to %s yet: it does when the seal is well again (`mcpsiem status`)", seal.NextKeyFile(file))
		case <-time.After(300 * time.Millisecond):
		}
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "the logs are signed with %s from now on\nGive auditors and witnesses the new key.pub of each tenant (in %s).\n", next.Public(), d.Path("seal"))
	return err
}

func newKeysDestroy() *cobra.Command {
	var k keysTarget
	var yes bool
	c := &cobra.Command{
		Use:   "destroy --tenant TENANT [--yes]",
		Short: "Destroy every key of a tenant: its pseudonyms lose all meaning",
		Long: `Show what becomes meaningless, and after the tenant's name is typed, or with --yes, overwrite and remove every key of the tenant.
A tombstone with the time stays. The next event gives the tenant a new key.

Nothing brings a destroyed key back, but a backup of the folder of keys: delete it from there, too.`,
		Example: "  mcpsiem keys destroy --tenant acme\n  mcpsiem keys destroy --tenant acme --yes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := k.open()
			if err != nil {
				return err
			}
			key, err := s.Describe(k.tenant)
			if errors.Is(err, pseudonym.ErrNoKey) && k.archiveKeys() > 0 {
				err = nil // only archives are left
			}
			if err != nil {
				return k.explain(err)
			}
			out := c.OutOrStdout()
			if err := k.consequences(c.Context(), out, key); err != nil {
				return err
			}
			if !yes {
				if err := k.confirm(c.InOrStdin(), out); err != nil {
					return err
				}
			}
			n, err := s.Destroy(k.tenant)
			if err != nil && !(errors.Is(err, pseudonym.ErrNoKey) && k.archiveKeys() > 0) {
				return k.explain(err)
			}
			archives, kept, err := k.destroyArchives(c.Context())
			k.recordKey(c, audit.KeyDestroy, map[string]string{"keys": strconv.Itoa(n), "archive_keys": strconv.Itoa(archives)})
			fmt.Fprintf(out, "destroyed: %d %s", n, plural(n, "key", "keys"))
			if archives > 0 {
				fmt.Fprintf(out, ", and %d of archives", archives)
			}
			fmt.Fprintln(out)
			if kept != "" {
				fmt.Fprintln(out, "archives keep their keys:", kept)
			}
			return err
		},
	}
	k.bind(c, true)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// consequences says what destruction makes meaningless.
func (k *keysTarget) consequences(ctx context.Context, out io.Writer, key pseudonym.TenantKey) error {
	_, err := fmt.Fprintf(out, `tenant       %s
keys         %d, the oldest of %s; in use %s, epoch %d
stored       %s
meaningless  placeholders such as <email:...> and body fingerprints of all these events, in every copy of them
unreadable   the tenant's archives, unless a legal hold could be about one of them
stays        what a policy keeps or masks, identities in attributes; new events get a new key
`, printable(k.tenant), key.Kept, when(key.First), key.ID, key.Epoch, k.stored(ctx))
	return err
}

// archiveKeys counts the keys of the tenant's archives.
func (k *keysTarget) archiveKeys() int {
	archives, err := (&removal{target: k.target}).archives()
	if err != nil {
		return 0
	}
	return archives.CountKeys(k.tenant)
}

// destroyArchives destroys the keys of the tenant's archives, unless a legal hold could be about one of them, or nobody can say. kept is why not.
func (k *keysTarget) destroyArchives(ctx context.Context) (n int, kept string, err error) {
	r := removal{target: k.target}
	archives, err := r.archives()
	if err != nil || archives.CountKeys(k.tenant) == 0 {
		return 0, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	rm, err := r.remover(ctx)
	if err != nil {
		return 0, "the store cannot be asked for legal holds; do it again when it runs", nil
	}
	defer rm.Conn.Close()
	held, err := rm.HeldArchives(ctx, k.tenant)
	switch {
	case err != nil:
		return 0, "the store cannot be asked for legal holds; do it again when it runs", nil
	case held:
		return 0, "a legal hold could be about them (mcpsiem hold list)", nil
	}
	n, err = archives.DestroyKeys(k.tenant)
	return n, "", err
}

// stored counts the tenant's events, where a store can be asked.
func (k *keysTarget) stored(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := k.store(ctx)
	if err != nil {
		return "events are not counted, the store cannot be asked"
	}
	defer conn.Close()
	var n uint64
	var from, to time.Time
	if err := conn.QueryRow(ctx, "SELECT count(), min(ts), max(ts) FROM events WHERE tenant = ?", k.tenant).Scan(&n, &from, &to); err != nil {
		return "events are not counted, the store cannot be asked"
	}
	if n == 0 {
		return "no events"
	}
	return fmt.Sprintf("%d events, %s to %s", n, when(from), when(to))
}

// confirm asks for the tenant's name, on a terminal only.
func (k *keysTarget) confirm(in io.Reader, out io.Writer) error {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return withCode(exitUsage, errors.New("nothing is destroyed: this cannot be undone, so without a terminal to ask on it needs --yes"))
	}
	fmt.Fprintf(out, "\nThis cannot be undone. To destroy, type the tenant's name: ")
	line, err := bufio.NewReader(io.LimitReader(f, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("nothing is destroyed: cannot read the answer: %w", err)
	}
	if got := strings.TrimRight(line, "\r\n"); got != k.tenant && got != printable(k.tenant) || got == "" {
		return withCode(exitUsage, errors.New("nothing is destroyed: that is not the tenant's name"))
	}
	return nil
}

package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// The audit trail: what is stored against what was sealed.

func newAudit() *cobra.Command {
	c := &cobra.Command{
		Use:     "audit",
		GroupID: "mend",
		Short:   "Check that what is stored is what was sealed, and that nothing is missing",
		Long: `Every stored event and finding is sealed in a Merkle log of its tenant. These commands compare the store with the logs, show the signed
checkpoints, prove single events, and count what is missing before it could be stored. See docs/audit-trail.md.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newAuditVerify(), newAuditCheckpoints(), newAuditProof(), newAuditCoverage())
	return c
}

// sealTarget is where logs, keys and the store are.
type sealTarget struct {
	target
	dir    string
	asJSON bool
}

func (s *sealTarget) bind(c *cobra.Command, nats bool) {
	s.target.bind(c, nats, true)
	c.Flags().StringVar(&s.dir, "seal-dir", "", "folder of the logs `DIR`; by default that of the state folder")
	c.Flags().BoolVar(&s.asJSON, "json", false, "print JSON")
}

func (s *sealTarget) sealDir() string {
	if s.dir != "" {
		return s.dir
	}
	return state.Dir(s.stateDir).Path("seal")
}

// db reads as an account that sees every copy of a row.
func (s *sealTarget) db() (*seal.DB, error) {
	cfg, err := s.clickhouse(true)
	if err != nil {
		return nil, err
	}
	return seal.NewDB(cfg), nil
}

func (s *sealTarget) tenants(ctx context.Context, db *seal.DB, one string) ([]string, error) {
	if one != "" {
		return []string{one}, nil
	}
	return db.Tenants(ctx)
}

// verifierKey reads a public key: the key itself, or a file with it.
func verifierKey(s string) (string, error) {
	if s == "" || strings.Count(s, "+") >= 2 && !strings.ContainsAny(s, "\n ") {
		return s, nil
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return "", fmt.Errorf("cannot read the public key: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// trustFlags say whom a person trusts to have stamped and cosigned.
type trustFlags struct {
	tsaCA     string
	witnesses []string
}

func (t *trustFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&t.tsaCA, "tsa-ca", "", "certificates that time stamps have to lead to, PEM `FILE`")
	c.Flags().StringArrayVar(&t.witnesses, "witness", nil, "verifier key of a witness whose cosignatures count `FILE or KEY`; may be given more than once")
}

func (t *trustFlags) read() (seal.Trust, error) {
	var out seal.Trust
	var err error
	if t.tsaCA != "" {
		if out.TSA, err = os.ReadFile(t.tsaCA); err != nil {
			return out, fmt.Errorf("cannot read the certificates: %w", err)
		}
	}
	for _, w := range t.witnesses {
		k, err := verifierKey(w)
		if err == nil {
			_, err = seal.WitnessName(k)
		}
		if err != nil {
			return out, withCode(exitUsage, err)
		}
		out.Witnesses = append(out.Witnesses, k)
	}
	return out, nil
}

// parsePeriod reads --from and --to: RFC 3339, a date, or how long ago (720h). Empty is open.
func parsePeriod(from, to string) (a, b time.Time, err error) {
	one := func(name, s string) (time.Time, error) {
		if s == "" {
			return time.Time{}, nil
		}
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02T15:04:05"} {
			if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
				return t, nil
			}
		}
		if d, err := time.ParseDuration(s); err == nil && d > 0 {
			return time.Now().Add(-d).UTC(), nil
		}
		return time.Time{}, withCode(exitUsage, fmt.Errorf("--%s is no time: write 2026-11-01, 2026-11-01T09:00:00Z, or how long ago, 720h", name))
	}
	if a, err = one("from", from); err != nil {
		return
	}
	if b, err = one("to", to); err != nil {
		return
	}
	if !a.IsZero() && !b.IsZero() && !a.Before(b) {
		err = withCode(exitUsage, errors.New("--from is not before --to"))
	}
	return
}

func newAuditVerify() *cobra.Command {
	var s sealTarget
	var tenant, from, to, key string
	var checkpoints []string
	var t trustFlags
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute every stored row's leaf and compare it with the signed log",
		Long: `Read the stored rows again, compute their leaves, and compare: with the log's tiles, those with the signed checkpoint, and that with every checkpoint
that was signed before. Each row that was changed, removed, added or moved is named by its event id and leaf. Exit code 5 if there is any.

--from and --to bound the rows that are read; the log itself is always checked as a whole. A period trusts seal_leaves for which leaf is of
which time: run it without one now and then.

Time stamps (RFC 3161) and cosignatures of witnesses are checked as well; --tsa-ca and --witness bring along whom you trust to have made them, else what is
kept beside them is believed.

--key gives the public key (file or text) instead of the copy beside the log, and --checkpoint signed checkpoints that were kept elsewhere,
e.g. by a SIEM (audit action seal.checkpoint) or anchors.file: with both, nobody who can write on this machine is trusted.`,
		Example: `  mcpsiem audit verify
  mcpsiem audit verify --tenant acme --from 2026-10-01 --to 2026-11-01 --json
  mcpsiem audit verify --tenant acme --key acme.pub --checkpoint /mnt/worm/acme-00000000000000120000.checkpoint
  mcpsiem audit verify --tsa-ca tsa-root.pem --witness 'witness.example.com/w1+1a2b3c4d+BA...'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			begin, end, err := parsePeriod(from, to)
			if err != nil {
				return err
			}
			if key, err = verifierKey(key); err != nil {
				return err
			}
			if (key != "" || len(checkpoints) > 0) && tenant == "" {
				return withCode(exitUsage, errors.New("--key and --checkpoint are of one log: name its --tenant"))
			}
			trust, err := t.read()
			if err != nil {
				return err
			}
			var notes [][]byte
			for _, f := range checkpoints {
				b, err := os.ReadFile(f)
				if err != nil {
					return fmt.Errorf("cannot read a checkpoint: %w", err)
				}
				notes = append(notes, b)
			}
			db, err := s.db()
			if err != nil {
				return err
			}
			defer db.Close()
			tenants, err := s.tenants(ctx, db, tenant)
			if err != nil {
				return withCode(exitUnreachable, err)
			}
			reports, bad := []*seal.Report{}, uint64(0)
			for _, tenant := range tenants {
				r, err := seal.Verify(ctx, db, seal.VerifyOptions{Tenant: tenant, Dir: s.sealDir(), VerifierKey: key, From: begin, To: end, Checkpoints: notes, Trust: trust})
				if err != nil {
					return fmt.Errorf("cannot verify tenant %s: %w", printable(tenant), err)
				}
				reports = append(reports, r)
				bad += r.ProblemCount
				s.recordVerify(ctx, c.ErrOrStderr(), r)
			}
			if s.asJSON {
				err = printJSON(c, reports)
			} else {
				err = printVerify(c.OutOrStdout(), reports)
			}
			if err == nil && bad > 0 {
				return withCode(exitCheck, fmt.Errorf("%d %s: what is stored is not what was sealed", bad, plural(int(min(bad, 2)), "problem", "problems")))
			}
			return err
		},
	}
	s.bind(c, true)
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "only this `TENANT`")
	f.StringVar(&from, "from", "", "rows from this `TIME` on")
	f.StringVar(&to, "to", "", "rows before this `TIME`")
	f.StringVar(&key, "key", "", "public key of the log `FILE or KEY`")
	t.bind(c)
	f.StringArrayVar(&checkpoints, "checkpoint", nil, "a signed checkpoint that was kept elsewhere `FILE`; may be given more than once")
	return c
}

// recordVerify puts the check on record. One that cannot be recorded still counts.
func (s *sealTarget) recordVerify(ctx context.Context, warn io.Writer, r *seal.Report) {
	cfg, err := s.nats(true)
	if err == nil {
		outcome := ""
		if !r.OK {
			outcome = "error"
		}
		err = audit.WriteTo(ctx, cfg, audit.Record{Action: audit.AuditVerify, Target: r.Origin, Tenant: r.Tenant, Outcome: outcome,
			Details: map[string]string{"size": fmt.Sprint(r.Size), "matched": fmt.Sprint(r.Matched), "problems": fmt.Sprint(r.ProblemCount)}})
	}
	if err != nil {
		fmt.Fprintln(warn, "mcpsiem: warning: this verification is not on record:", err)
	}
}

func printVerify(w io.Writer, reports []*seal.Report) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TENANT\tLEAVES\tCHECKED\tMATCHED\tSUPERSEDED\tDELETED\tNOT YET SEALED\tCHECKPOINTS\tANCHORED UP TO\tPROBLEMS\t")
	for _, r := range reports {
		anchored := "-"
		if r.Anchored != nil {
			anchored = fmt.Sprint(r.Anchored.Size)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t\n", printable(r.Tenant), r.Size, r.Checked, r.Matched, r.Superseded, r.Deleted, r.NotYetSealed, r.Checkpoints, anchored, r.ProblemCount)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		if r.NotChecked != "" {
			fmt.Fprintf(w, "  %s: not checked: %s\n", printable(r.Tenant), r.NotChecked)
		}
		for i, p := range r.Problems {
			if i == 100 {
				fmt.Fprintf(w, "  ... %d more, see --json\n", r.ProblemCount-100)
				break
			}
			leaf := ""
			if p.Leaf != nil {
				leaf = fmt.Sprintf(" leaf %d", *p.Leaf)
			}
			fmt.Fprintf(w, "  %s: %s %s %s%s: %s\n", printable(r.Tenant), p.What, p.Kind, p.ID, leaf, p.Detail)
		}
	}
	return nil
}

func newAuditCheckpoints() *cobra.Command {
	var s sealTarget
	var tenant string
	var limit int
	c := &cobra.Command{
		Use:   "checkpoints",
		Short: "List the newest signed checkpoints of each log",
		Long: `List signed checkpoints: what the log of a tenant was at a time, and what others said about it: time stamping authorities (tsa), witnesses, locked buckets. Not every
checkpoint is sent to each (anchors.*.interval): a later one covers those before it. A place that could not be reached is shown with the reason, and below how far it is behind.
--json has the signed notes, the public keys and the proofs.`,
		Example: "  mcpsiem audit checkpoints --tenant acme --limit 5\n  mcpsiem audit checkpoints --json | jq -r '.[0].note'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			db, err := s.db()
			if err != nil {
				return err
			}
			defer db.Close()
			tenants, err := s.tenants(c.Context(), db, tenant)
			if err != nil {
				return withCode(exitUnreachable, err)
			}
			rows, err := s.checkpoints(c.Context(), db, tenants, limit)
			if err != nil {
				return err
			}
			if s.asJSON {
				return printJSON(c, rows)
			}
			return printCheckpoints(c.OutOrStdout(), rows)
		},
	}
	s.bind(c, false)
	c.Flags().StringVar(&tenant, "tenant", "", "only this `TENANT`")
	c.Flags().IntVar(&limit, "limit", 10, "newest `N` of each log")
	return c
}

func newAuditProof() *cobra.Command {
	var s sealTarget
	var tenant string
	c := &cobra.Command{
		Use:   "proof EVENT_ID --tenant TENANT",
		Short: "Prove that an event or finding is in the signed log",
		Long: `Print a proof (https://c2sp.org/tlog-proof) that the leaf of an event or finding is in the log of the newest checkpoint. It is checked before it is printed.
--json adds what ties the leaf to the row: salt and canonical form.`,
		Example: "  mcpsiem audit proof a48b3fa0-00ea-c16c-0000-000000000003 --tenant acme > event.tlog-proof",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return withCode(exitUsage, errors.New("that is no event id: it has 32 hex digits, with or without dashes"))
			}
			db, err := s.db()
			if err != nil {
				return err
			}
			defer db.Close()
			dir := filepath.Join(s.sealDir(), seal.FolderOf(tenant))
			signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
			if err != nil {
				return fmt.Errorf("cannot read the log's checkpoint: %w", err)
			}
			key, err := os.ReadFile(filepath.Join(dir, "key.pub"))
			if err != nil {
				return fmt.Errorf("cannot read the public key: %w", err)
			}
			cp, err := seal.OpenCheckpoint(signed, string(key))
			if err != nil {
				return withCode(exitCheck, err)
			}
			leaves, err := db.LeavesOf(c.Context(), tenant, id)
			if err != nil {
				return err
			}
			if len(leaves) == 0 {
				return withCode(exitCheck, errors.New("nothing of this id is sealed (yet): see `mcpsiem status`"))
			}
			matches, err := db.Match(c.Context(), tenant, leaves[len(leaves)-1:], &seal.Keep{})
			if err != nil {
				return err
			}
			m := matches[0]
			if m.State != seal.Matched || m.Index >= cp.Size {
				return withCode(exitCheck, fmt.Errorf("leaf %d is not opened by the stored row: see `mcpsiem audit verify --tenant %s`", m.Index, printable(tenant)))
			}
			proof, err := tlog.ProveRecord(int64(cp.Size), int64(m.Index), seal.NewTiles(dir, cp.Size))
			if err == nil {
				err = tlog.CheckRecord(proof, int64(cp.Size), tlog.Hash(cp.Root), int64(m.Index), tlog.Hash(m.Hash))
			}
			if err != nil {
				return withCode(exitCheck, fmt.Errorf("the log does not prove leaf %d: see `mcpsiem audit verify --tenant %s`", m.Index, printable(tenant)))
			}
			var b strings.Builder
			fmt.Fprintf(&b, "c2sp.org/tlog-proof@v1\nindex %d\n", m.Index)
			for _, h := range proof {
				fmt.Fprintln(&b, base64.StdEncoding.EncodeToString(h[:]))
			}
			fmt.Fprintf(&b, "\n%s", signed)
			if !s.asJSON {
				_, err := io.WriteString(c.OutOrStdout(), b.String())
				return err
			}
			return printJSON(c, map[string]any{"tenant": tenant, "kind": m.Kind, "id": m.ID, "leaf_index": m.Index, "leaf_hash": hex.EncodeToString(m.Hash[:]),
				"salt": hex.EncodeToString(m.Salt[:]), "canonical_version": m.Version, "canonical": string(m.Canonical), "key": strings.TrimSpace(string(key)), "proof": b.String()})
		},
	}
	s.bind(c, false)
	c.Flags().StringVar(&tenant, "tenant", "default", "of this `TENANT`")
	return c
}

func newAuditCoverage() *cobra.Command {
	var s sealTarget
	var tenant, from, to string
	c := &cobra.Command{
		Use:   "coverage",
		Short: "Count what passed the taps, what is stored, what is missing and why",
		Long: `Count, for a tenant and period: messages that the taps numbered, those of them stored, those missing (reported as lost by the tap, or unexplained), dead letters
of the store, rows not sealed yet, truncated and withheld content, clocks that disagree.`,
		Example: "  mcpsiem audit coverage --from 24h\n  mcpsiem audit coverage --tenant acme --from 2026-10-01 --to 2026-11-01 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			begin, end, err := parsePeriod(from, to)
			if err != nil {
				return err
			}
			if begin.IsZero() {
				begin = time.Unix(0, 0)
			}
			if end.IsZero() {
				end = time.Now()
			}
			db, err := s.db()
			if err != nil {
				return err
			}
			defer db.Close()
			tenants, err := s.tenants(c.Context(), db, tenant)
			if err != nil {
				return withCode(exitUnreachable, err)
			}
			rows := []*seal.Coverage{}
			for _, t := range tenants {
				r, err := seal.ReadCoverage(c.Context(), db, t, begin, end)
				if err != nil {
					return err
				}
				rows = append(rows, r)
			}
			if s.asJSON {
				return printJSON(c, rows)
			}
			tw := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "TENANT\tPASSED TAPS\tSTORED\tMISSING\tREPORTED LOST\tUNEXPLAINED\tEVENTS\tFINDINGS\tSEALED\tNOT YET\tDEAD LETTERS\tWITHHELD\tSKEWED\t")
			for _, r := range rows {
				fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", printable(r.Tenant), r.Passed, r.Stored, r.Missing, r.LostTap, r.Gaps, r.Events, r.Findings, r.Sealed, r.NotSealed, r.DeadLetters, r.Withheld, r.Skewed)
			}
			return tw.Flush()
		},
	}
	s.bind(c, false)
	c.Flags().StringVar(&tenant, "tenant", "", "only this `TENANT`")
	c.Flags().StringVar(&from, "from", "", "from this `TIME` on, or how long ago")
	c.Flags().StringVar(&to, "to", "", "before this `TIME`; by default now")
	return c
}

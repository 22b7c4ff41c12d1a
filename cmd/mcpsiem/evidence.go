package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/evidence"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

// Evidence bundles for auditors.

func newEvidence() *cobra.Command {
	c := &cobra.Command{
		Use:     "evidence",
		GroupID: "look",
		Short:   "Export evidence for an audit, and check such a bundle offline",
		Long: `An evidence bundle is one ZIP file: a tenant's events and findings of a period, access, inventory, changes, coverage and deletions, what supports evidence
for which control of a framework, a report, and everything that is needed to check it against one public key. See docs/evidence.md.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newEvidenceExport(), newEvidenceVerify(), newEvidenceFrameworks())
	return c
}

func newEvidenceExport() *cobra.Command {
	var s sealTarget
	var tenant, from, to, framework, control, out, keyFile string
	var quiet, resume bool
	c := &cobra.Command{
		Use:   "export --from TIME --to TIME --framework NAME --out FILE",
		Short: "Write an evidence bundle",
		Long: `Write an evidence bundle. The export is put on record in the audit trail first (evidence.export); without that record there is no bundle. Rows that are no longer what
was sealed are left out and listed as exceptions. Needs the signing key, and disk for about the size of the bundle again while it runs.

What was read so far is in a folder beside the bundle (FILE.work). If the export is cut off, the same command with --resume goes on from there, and writes the bundle that
would have been written: of the same checkpoint, byte for byte as long as the store's tables did not change.`,
		Example: `  mcpsiem evidence export --tenant acme --from 2026-10-01 --to 2026-11-01 --framework soc2 --out acme-october.zip
  mcpsiem evidence export --tenant acme --from 2026-10-01 --to 2026-11-01 --framework soc2 --out acme-october.zip --resume
  mcpsiem evidence export --from 2026-11-01 --to 2026-11-22 --framework pci --control 10.3.4 --out pci.zip`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			begin, end, err := parsePeriod(from, to)
			if err != nil {
				return err
			}
			fw, err := compliance.Find(framework)
			if err != nil {
				return withCode(exitUsage, err)
			}
			if keyFile == "" {
				keyFile = state.Dir(s.stateDir).Secret("seal.key")
			}
			if _, err := os.Stat(keyFile); err != nil {
				return fmt.Errorf("cannot export evidence: there is no signing key: %w", err)
			}
			key, err := seal.LoadKey(keyFile)
			if err != nil {
				return err
			}
			db, err := s.db()
			if err != nil {
				return err
			}
			defer db.Close()
			nats, err := s.nats(true)
			if err != nil {
				return err
			}
			details := map[string]string{"from": begin.Format(time.RFC3339), "to": end.Format(time.RFC3339), "framework": framework, "control": control}
			if begun, cut := evidence.CutOff(out); cut && !resume {
				return fmt.Errorf("%w: go on with it (--resume), or remove %s.work", evidence.ErrCutOff, out)
			} else if cut {
				details["resumed"] = begun
			}
			// The record would begin a log: of a tenant that nobody has heard of there is neither.
			if _, err := os.Stat(filepath.Join(s.sealDir(), seal.FolderOf(tenant), "checkpoint")); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cannot export evidence: nothing of tenant %q is sealed in %s (`mcpsiem audit checkpoints` names the logs)", tenant, s.sealDir())
			}
			me := audit.Me()
			id := strings.ReplaceAll(uuid.NewString(), "-", "")
			now := time.Now()
			if err := audit.WriteTo(ctx, nats, audit.Record{Action: audit.EvidenceExport, Target: out, Tenant: tenant, Time: now, ID: id,
				Details: details}); err != nil {
				return fmt.Errorf("cannot export evidence without a record of it: %w", err)
			}
			began := time.Now()
			o := evidence.Options{Tenant: tenant, From: begin, To: end, Framework: fw, Control: control, Out: out, Dir: s.sealDir(), Key: key, Now: now,
				ExportedBy: me.ID + "@" + me.Issuer, RecordID: id, Version: distro.VersionText(), Resume: resume}
			if !quiet {
				last := time.Now()
				o.Progress = func(done, total uint64) {
					if time.Since(last) > time.Second {
						last = time.Now()
						fmt.Fprintf(c.ErrOrStderr(), "%d of %d leaves (%d%%)\n", done, total, 100*done/max(total, 1))
					}
				}
			}
			debug.SetGCPercent(50) // most of what it holds is the same memory used again: to collect sooner costs little and holds a third less
			m, err := evidence.Export(ctx, db, o)
			if err != nil {
				return err
			}
			if s.asJSON {
				return printJSON(c, m)
			}
			st, err := os.Stat(out)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d events, %d findings, %d exceptions, %s, %.1f s\nGive this key to who checks it, by another way than the bundle:\n%s\n",
				out, m.Events, m.Findings, m.Exceptions, bytesText(uint64(st.Size())), time.Since(began).Seconds(), key.VerifierKey(tenant))
			return nil
		},
	}
	s.bind(c, true)
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "default", "of this `TENANT`")
	f.StringVar(&from, "from", "", "from this `TIME` on (required)")
	f.StringVar(&to, "to", "", "before this `TIME` (required)")
	f.StringVar(&framework, "framework", "", "map to the controls of this framework `NAME` (required; see `mcpsiem evidence frameworks`)")
	f.StringVar(&control, "control", "", "map to this control only `ID`")
	f.StringVar(&out, "out", "", "write to `FILE` (required)")
	f.StringVar(&keyFile, "key-file", "", "signing key `FILE`; by default that of the state folder")
	f.BoolVar(&resume, "resume", false, "go on with an export to this file that was cut off; begin it if there is none")
	f.BoolVarP(&quiet, "quiet", "q", false, "no progress")
	for _, n := range []string{"from", "to", "framework", "out"} {
		_ = c.MarkFlagRequired(n)
	}
	return c
}

func newEvidenceVerify() *cobra.Command {
	var key string
	var asJSON bool
	var t trustFlags
	c := &cobra.Command{
		Use:   "verify FILE --key KEY",
		Short: "Check an evidence bundle, offline",
		Long: `Check a bundle with nothing but the file and the public key of the log: signatures, every file, every event and finding against the log, the log against its
signed checkpoint, and earlier checkpoints against that. Names what does not fit. Exit code 5 if there is anything.

The key has to come from its owner by another way than the bundle. So do --tsa-ca and --witness, from who runs those: without them the bundle's own
copies are believed, and time stamps and cosignatures say no more than the exporter does.`,
		Example: "  mcpsiem evidence verify acme-october.zip --key acme.pub\n  mcpsiem evidence verify acme-october.zip --key 'mcpsiem.local/3f.../acme+1a2b3c4d+AR...' --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := verifierKey(key)
			if err != nil {
				return err
			}
			trust, err := t.read()
			if err != nil {
				return err
			}
			r, err := evidence.Verify(args[0], k, trust)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c, r)
			} else {
				err = printEvidence(c.OutOrStdout(), r)
			}
			if err == nil && !r.OK {
				return withCode(exitCheck, errors.New("the bundle is not what was exported"))
			}
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "public key of the log `FILE or KEY` (required)")
	_ = c.MarkFlagRequired("key")
	t.bind(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printEvidence(w io.Writer, r *evidence.Report) error {
	fmt.Fprintf(w, "log          %s, %d leaves\ntenant       %s, %s to %s\nin the log   %d events, %d findings\nexceptions   %d\ncheckpoints  %d\n",
		r.Origin, r.TreeSize, printable(r.Tenant), r.From, r.To, r.Events, r.Findings, r.Exceptions, r.Checkpoints)
	for _, v := range r.Vouched {
		fmt.Fprintf(w, "sealed by    %s, says %s (%s)\n", v.At, printable(v.Name), v.Kind)
	}
	if len(r.Vouched) == 0 {
		fmt.Fprintln(w, "sealed by    the installation's own word: no time stamp or cosignature covers all of it")
	} else if !r.TrustGiven {
		fmt.Fprintln(w, "             checked with certificates and keys from the bundle itself: give --tsa-ca and --witness")
	}
	if r.OK {
		_, err := fmt.Fprintln(w, "Everything fits.")
		return err
	}
	fmt.Fprintf(w, "\n%d %s:\n", r.ProblemCount, plural(int(min(r.ProblemCount, 2)), "problem", "problems"))
	for i, p := range r.Problems {
		if i == 100 {
			fmt.Fprintln(w, "  ... more, see --json")
			break
		}
		where := printable(p.File)
		if p.Line > 0 {
			where += fmt.Sprintf(" line %d", p.Line)
		}
		if p.ID != "" {
			where += ", " + p.ID
		}
		if p.Leaf != "" {
			where += ", leaf " + p.Leaf
		}
		if where == "" {
			where = "bundle"
		}
		fmt.Fprintf(w, "  %s: %s\n", where, p.Detail)
	}
	return nil
}

func newEvidenceFrameworks() *cobra.Command {
	return &cobra.Command{
		Use:     "frameworks",
		Example: "  mcpsiem evidence frameworks",
		Short:   "List frameworks and their controls",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := compliance.All()
			if err != nil {
				return err
			}
			for _, f := range all {
				fmt.Fprintf(c.OutOrStdout(), "%-10s %s, %s\n%11s%s\n", f.ID, f.Title, f.Version, "", strings.Join(f.ControlIDs(), ", "))
			}
			return nil
		},
	}
}

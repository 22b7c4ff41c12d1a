package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// finding of a check: ok, warn or fail, with what to do.
type diagnosis struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func newDoctor() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: "mend",
		Short:   "Check the installation and say what to fix",
		Long: `Check the state folder and its permissions, disk space, the ClickHouse library, and, where mcpsiem runs, that every part
answers, refuses strangers, has its schema and streams, keeps up, and hears its taps. Exit code 5 if a check fails.`,
		Example: "  mcpsiem doctor",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ds := t.examine(c.Context())
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(ds); err != nil {
					return err
				}
			} else {
				printDiagnoses(c.OutOrStdout(), ds)
			}
			for _, d := range ds {
				if d.Result == "fail" {
					return withCode(exitCheck, errors.New("some checks failed"))
				}
			}
			return nil
		},
	}
	t.bind(c, true, true)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printDiagnoses(w io.Writer, ds []diagnosis) {
	for _, d := range ds {
		fmt.Fprintf(w, "%-5s %-22s %s\n", d.Result, d.Check, d.Detail)
		if d.Fix != "" {
			fmt.Fprintf(w, "      %-22s fix: %s\n", "", d.Fix)
		}
	}
}

// examine runs the checks in an order in which the first failure explains the following ones.
func (t *target) examine(ctx context.Context) []diagnosis {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var ds []diagnosis
	add := func(check, result, detail, fix string) { ds = append(ds, diagnosis{check, result, detail, fix}) }
	d := state.Dir(t.stateDir)

	elsewhere := t.natsURL != "" || t.chAddr != "" // the installation is not the one of the state folder
	if !elsewhere {
		if _, err := os.Stat(string(d)); err != nil {
			add("state folder", "warn", string(d)+" does not exist yet", "start `mcpsiem up` once")
		} else {
			checkPermissions(d, add)
			checkSpace(d, add)
		}
		if path, err := chdb.Cached(chdb.EnsureOptions{}); err != nil {
			add("ClickHouse library", "warn", "not fetched yet", "`mcpsiem up` fetches it by npm (178 MB, once)")
		} else {
			add("ClickHouse library", "ok", path, "")
		}
	}

	pid, running := d.Holder()
	if !running && !elsewhere {
		add("running", "warn", "no mcpsiem runs on this state folder", "start it with `mcpsiem up`")
		return ds
	}
	if running && !elsewhere {
		add("running", "ok", fmt.Sprintf("pid %d", pid), "")
		if e, err := d.ReadEndpoints(); err == nil {
			checkOTLP(ctx, e, add)
		}
	}
	t.checkStreams(ctx, add)
	t.checkStore(ctx, add)
	if r, err := t.report(ctx); err == nil {
		checkReport(r, add)
	}
	return ds
}

type adder func(check, result, detail, fix string)

func checkPermissions(d state.Dir, add adder) {
	var loose []string
	_ = filepath.WalkDir(d.Path("secrets"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if st, err := e.Info(); err == nil && st.Mode().Perm()&0o077 != 0 {
			loose = append(loose, path)
		}
		return nil
	})
	if len(loose) > 0 {
		add("secrets", "fail", "others may read "+strings.Join(loose, ", "), "chmod -R go= "+d.Path("secrets"))
		return
	}
	add("secrets", "ok", "readable by you alone", "")
}

func checkSpace(d state.Dir, add adder) {
	var st unix.Statfs_t
	if err := unix.Statfs(string(d), &st); err != nil {
		add("disk space", "warn", "cannot be read", "")
		return
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	switch {
	case free < 512<<20:
		add("disk space", "fail", bytesText(free)+" free", "free some space: with a full disk new events are refused and wait in the taps' spools")
	case free < 5<<30:
		add("disk space", "warn", bytesText(free)+" free", "")
	default:
		add("disk space", "ok", bytesText(free)+" free", "")
	}
}

// checkOTLP asks the OTLP endpoint as a stranger: it must answer, and refuse.
func checkOTLP(ctx context.Context, e state.Endpoints, add adder) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.OTLPHTTP+"/v1/logs", strings.NewReader("{}"))
	if err != nil {
		add("OTLP endpoint", "fail", err.Error(), "")
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		add("OTLP endpoint", "fail", "does not answer on "+e.OTLPHTTP, "see the log in the state folder; restart mcpsiem")
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		add("OTLP endpoint", "fail", fmt.Sprintf("answers a request without a token with %d", resp.StatusCode), "configure an authenticator for the otlp receiver")
		return
	}
	add("OTLP endpoint", "ok", e.OTLPHTTP+", refuses strangers", "")
}

func (t *target) checkStreams(ctx context.Context, add adder) {
	nc, js, err := t.jetstream(ctx, false)
	if err != nil {
		add("NATS", "fail", err.Error(), "see the log in the state folder; check URL and credentials")
		return
	}
	defer nc.Close()
	for _, name := range []string{streams.Raw, streams.Events, streams.Findings, streams.Dead} {
		s, err := js.Stream(ctx, name)
		if err != nil {
			add("stream "+name, "fail", "is missing", "start a pipeline that writes to it; streams are made at start")
			continue
		}
		info := s.CachedInfo()
		if limit := info.Config.MaxBytes; limit > 0 && float64(info.State.Bytes) > 0.9*float64(limit) {
			add("stream "+name, "fail", bytesText(info.State.Bytes)+" of "+bytesText(uint64(limit)), "it is nearly full and will refuse events: see which consumer lags in `mcpsiem status`")
			continue
		}
		add("stream "+name, "ok", fmt.Sprintf("%d batches, %s", info.State.Msgs, bytesText(info.State.Bytes)), "")
	}
}

func (t *target) checkStore(ctx context.Context, add adder) {
	cfg, err := t.clickhouse(false)
	if err != nil {
		add("ClickHouse", "fail", err.Error(), "")
		return
	}
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		add("ClickHouse", "fail", err.Error(), "see clickhouse.log in the state folder")
		return
	}
	defer conn.Close()
	if err := store.CheckSchema(ctx, conn); err != nil {
		add("ClickHouse", "fail", err.Error(), "run `mcpsiem migrate`")
		return
	}
	add("ClickHouse", "ok", cfg.Endpoint+", schema is current", "")
}

func checkReport(r report, add adder) {
	for _, p := range r.Problems {
		add("accounting", "fail", p, "")
	}
	if len(r.Problems) == 0 {
		add("accounting", "ok", "nothing is missing", "")
	}
	if len(r.Taps) == 0 {
		add("taps", "warn", "none has been heard", "mcptap stdio --name NAME -- COMMAND, or mcptap wrap FILE")
	} else {
		add("taps", "ok", fmt.Sprintf("%d, the last heard %s ago", len(r.Taps), time.Since(r.Taps[0].LastSeen).Round(time.Second)), "")
	}
}

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// Checkpoints and what others said about them.

type checkpointRow struct {
	Tenant   string      `json:"tenant"`
	SignedAt time.Time   `json:"signed_at"`
	Size     uint64      `json:"size"`
	Root     string      `json:"root"`
	Valid    bool        `json:"valid"`
	Key      string      `json:"key"`
	Note     string      `json:"note"`
	Anchors  []anchorRow `json:"anchors"`
}

type anchorRow struct {
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	At      time.Time `json:"at"`                // of the attempt
	Outcome string    `json:"outcome"`           // ok, or why not
	Vouched time.Time `json:"vouched,omitzero"`  // the time that the proof says, once it is checked
	Proof   []byte    `json:"proof,omitempty"`   // base64
	Problem string    `json:"problem,omitempty"` // the proof is there and not good
}

func (s *sealTarget) checkpoints(ctx context.Context, db *seal.DB, tenants []string, limit int) ([]checkpointRow, error) {
	rows := []checkpointRow{}
	for _, t := range tenants {
		kept, err := db.Checkpoints(ctx, t, "", limit)
		if err != nil {
			return nil, err
		}
		if len(kept) == 0 {
			continue
		}
		low := kept[0].Checkpoint.Size
		for _, k := range kept {
			low = min(low, k.Checkpoint.Size)
		}
		anchors, err := db.Anchors(ctx, t, fmt.Sprintf("size >= %d", low))
		if err != nil {
			return nil, err
		}
		// Of each place the newest that holds, though it may be older than what is listed.
		newest, err := db.NewestAnchors(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, a := range newest {
			if a.Size < low {
				old, err := db.Checkpoints(ctx, t, fmt.Sprintf("size = %d", a.Size), 1)
				if err != nil {
					return nil, err
				}
				if len(old) > 0 && !slices.ContainsFunc(kept, func(k seal.SignedCheckpoint) bool { return k.Checkpoint.Size == a.Size }) {
					kept = append(kept, old...)
				}
				anchors = append(anchors, a)
			}
		}
		key, _ := os.ReadFile(filepath.Join(s.sealDir(), seal.FolderOf(t), "key.pub"))
		for _, k := range kept {
			cp, err := seal.OpenCheckpoint(k.Note, string(key))
			row := checkpointRow{t, k.SignedAt, k.Checkpoint.Size, hex.EncodeToString(cp.Root[:]), err == nil, strings.TrimSpace(string(key)), string(k.Note), []anchorRow{}}
			for _, a := range anchors {
				if a.Size != k.Checkpoint.Size {
					continue
				}
				r := anchorRow{Kind: a.Kind, Name: a.Name, At: a.At, Outcome: a.Outcome, Proof: a.Proof}
				if a.Outcome == seal.AnchorOK {
					if r.Vouched, err = seal.CheckAnchor(a, k.Note, seal.Trust{}); err != nil {
						r.Problem = err.Error()
					}
				}
				row.Anchors = append(row.Anchors, r)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func printCheckpoints(w io.Writer, rows []checkpointRow) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TENANT\tSIGNED\tLEAVES\tROOT\tSIGNATURE\tANCHORS")
	type place struct{ tenant, kind, name string }
	type standing struct {
		size   uint64
		at     time.Time
		failed string
		since  time.Time
	}
	places := map[place]*standing{}
	newest := map[string]checkpointRow{}
	for _, r := range rows {
		var list []string
		for _, a := range r.Anchors {
			p := place{r.Tenant, a.Kind, a.Name}
			if places[p] == nil {
				places[p] = &standing{}
			}
			switch st := places[p]; {
			case a.Outcome == seal.AnchorOK && a.Problem == "":
				list = append(list, a.Kind+" "+printable(a.Name))
				if r.Size >= st.size {
					st.size, st.at = r.Size, a.At
				}
			case a.Problem != "":
				list = append(list, a.Kind+" "+printable(a.Name)+" BAD")
			default:
				list = append(list, a.Kind+" "+printable(a.Name)+" failed")
				if a.At.After(st.since) {
					st.failed, st.since = a.Outcome, a.At
				}
			}
		}
		if r.Size > newest[r.Tenant].Size {
			newest[r.Tenant] = r
		}
		if list == nil {
			list = []string{"-"}
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(r.Tenant), r.SignedAt.Format(time.RFC3339), r.Size, r.Root, map[bool]string{true: "good", false: "BAD"}[r.Valid], strings.Join(list, ", "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var order []place
	for p := range places {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b place) int {
		return strings.Compare(a.tenant+"\x00"+a.kind+a.name, b.tenant+"\x00"+b.kind+b.name)
	})
	for _, p := range order {
		st := places[p]
		fmt.Fprintf(w, "%s: %s %s: ", printable(p.tenant), p.kind, printable(p.name))
		if st.size == 0 {
			fmt.Fprint(w, "nothing anchored")
		} else {
			fmt.Fprintf(w, "%d of %d leaves anchored, %s", st.size, newest[p.tenant].Size, st.at.Format(time.RFC3339))
		}
		if st.since.After(st.at) {
			fmt.Fprintf(w, "; last attempt %s: %s", st.since.Format(time.RFC3339), printable(st.failed))
		}
		fmt.Fprintln(w)
	}
	return nil
}

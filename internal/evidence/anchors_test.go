package evidence

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/witnesstest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/internal/timestamp"
	"github.com/mcpsiem/mcpsiem/internal/timestamp/tsatest"
)

// What others said about checkpoints is in the bundle, and is checked with what the auditor brought along.
func TestAnchors(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	key := o.Key.VerifierKey("acme")
	tsa, w := tsatest.New(t), witnesstest.New(t, "witness.example/w1")
	w.Know(t, key)
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	kept, err := db.Checkpoints(context.Background(), "acme", "", 0)
	if err != nil || len(kept) < 4 {
		t.Fatal(len(kept), err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	seen := uint64(0)
	for _, k := range kept {
		cp, err := seal.OpenCheckpoint(k.Note, key)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := timestamp.Request(ctx, client, tsa.URL, k.Note, timestamp.Options{Roots: tsa.Roots})
		if err != nil {
			t.Fatal(err)
		}
		line, _, err := seal.Cosign(ctx, client, w.URL, w.Key, seen, k.Note, cp, seal.NewTiles(filepath.Join(dir, "acme"), cp.Size))
		if err != nil {
			t.Fatal(err)
		}
		seen = cp.Size
		for _, a := range []seal.Anchor{{Kind: seal.AnchorTSA, Name: "tsa.example", Proof: token, Trust: string(tsa.CAPEM)}, {Kind: seal.AnchorWitness, Name: "witness.example/w1", Proof: line, Trust: w.Key}} {
			a.Tenant, a.Size, a.At, a.Outcome = "acme", cp.Size, time.Now(), seal.AnchorOK
			if err := db.InsertAnchor(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	export(t, o)
	check := func(path string, trust seal.Trust, want string) *Report {
		t.Helper()
		r, err := Verify(path, key, trust)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != (want == "") || want != "" && !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.File == fileAnchors && strings.Contains(p.Detail, want) }) {
			t.Errorf("want %q: %s", want, text(r))
		}
		return r
	}
	r := check(o.Out, seal.Trust{}, "")
	if r.Timestamps < 3 || r.Cosignatures < 3 || len(r.Vouched) != 2 || r.TrustGiven {
		t.Errorf("%s", text(r))
	}
	r = check(o.Out, seal.Trust{TSA: tsa.CAPEM, Witnesses: []string{w.Key}}, "")
	if at, err := time.Parse(time.RFC3339, r.Vouched[0].At); err != nil || time.Since(at).Abs() > time.Minute || !r.TrustGiven {
		t.Errorf("%s", text(r))
	}
	check(o.Out, seal.Trust{TSA: tsatest.New(t).CAPEM}, "no chain leads")
	check(o.Out, seal.Trust{Witnesses: []string{witnesstest.New(t, "witness.example/w1").Key}}, "no cosignature of the witness")

	// All signed again by who has the log's key: what others signed cannot be.
	edit := func(want string, change func(a []anchor) []anchor) {
		t.Helper()
		files := contents(t, o.Out)
		var a []anchor
		if err := json.Unmarshal(files[fileAnchors], &a); err != nil {
			t.Fatal(err)
		}
		files[fileAnchors], _ = json.Marshal(change(a))
		var order []string
		for n := range files {
			order = append(order, n)
		}
		slices.Sort(order)
		check(rewrite(t, o.Out, files, order, o.Key, ""), seal.Trust{TSA: tsa.CAPEM, Witnesses: []string{w.Key}}, want)
	}
	edit("of other bytes", func(a []anchor) []anchor {
		i := slices.IndexFunc(a, func(x anchor) bool { return x.Kind == seal.AnchorTSA })
		a[i].Note, a[i].Proof = a[i+1].Note, a[i+1].Proof
		return a
	})
	edit("no cosignature", func(a []anchor) []anchor {
		i := slices.IndexFunc(a, func(x anchor) bool { return x.Kind == seal.AnchorWitness })
		a[i].Note, a[i].Proof = a[i+1].Note, a[i+1].Proof
		return a
	})
	edit("of one log", func(a []anchor) []anchor { a[0].Proof = nil; return a[:1] })
	edit("does not know", func(a []anchor) []anchor { a[0].Kind = "oracle"; return a })
	edit("no time stamp", func(a []anchor) []anchor { a[0].Data = []byte("x"); return a })
	edit("not a signed", func(a []anchor) []anchor { a[0].Note = "x"; return a })
}

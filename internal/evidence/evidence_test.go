package evidence

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

func TestMain(m *testing.M) {
	if flag.Parse(); flag.Lookup("test.fuzz").Value.String() != "" { // needs no store
		os.Exit(m.Run())
	}
	storetest.Main(m.Run)
}

func options(t testing.TB, dir, out string) Options {
	t.Helper()
	f, err := compliance.Find("soc2")
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.LoadKey(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Tenant: "acme", From: sealtest.Start.Add(500 * time.Millisecond), To: sealtest.Start.Add(2500 * time.Millisecond), Framework: f, Out: out, Dir: dir, Key: key,
		Now: sealtest.Start.Add(time.Hour), ExportedBy: "auditor@host", RecordID: "r", Version: "test"}
}

// sealed stores and seals 300 events of acme and 5 findings; findings are one second apart, events 10 ms.
func sealed(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	admin := storetest.Open(t, chdb.UserAdmin)
	sealtest.Clear(t, admin)
	e := sealtest.Exporter(t)
	for i := range 3 {
		sealtest.Store(t, e, sealtest.Batch(uint64(10+i), append(sealtest.Events("acme", 1+100*i, 100), sealtest.Events("beta", 1+i*5, 5)...)...))
		sealtest.Seal(t, dir, uint64(10+i), 0)
	}
	for i := range 5 {
		sealtest.Store(t, e, sealtest.FindingBatch(uint64(1+i), sealtest.Finding("acme", i)))
	}
	sealtest.Seal(t, dir, 12, 10)
	return dir
}

func export(t testing.TB, o Options) *Manifest {
	t.Helper()
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	m, err := Export(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func verify(t testing.TB, path, key string) *Report {
	t.Helper()
	r, err := Verify(path, key, seal.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestBundle(t *testing.T) {
	dir := sealed(t)
	out := filepath.Join(t.TempDir(), "a.zip")
	o := options(t, dir, out)
	m := export(t, o)
	if m.Events != 200 || m.Findings != 2 || m.Exceptions != 0 || m.TreeSize != 305 {
		t.Errorf("%s", text(m))
	}
	r := verify(t, out, o.Key.VerifierKey("acme"))
	if !r.OK || r.Events != 200 || r.Findings != 2 || r.Checkpoints != 5 {
		t.Errorf("%s", text(r))
	}
	// The same again is the same, byte for byte, and leaves no other file.
	o2 := o
	o2.Out = filepath.Join(filepath.Dir(out), "b.zip")
	export(t, o2)
	a, _ := os.ReadFile(out)
	b, _ := os.ReadFile(o2.Out)
	if !bytes.Equal(a, b) {
		t.Error("the same export differs")
	}
	if entries, _ := os.ReadDir(filepath.Dir(out)); len(entries) != 2 {
		t.Errorf("%v", entries)
	}
	files := contents(t, out)
	if !bytes.HasPrefix(files[filePDF], []byte("%PDF-")) || !bytes.Contains(files[fileHTML], []byte("CC7.2")) || bytes.Contains(files[fileHTML], []byte("is compliant")) {
		t.Error("reports")
	}
	var cov seal.Coverage
	if json.Unmarshal(files[fileCoverage], &cov) != nil || cov.Passed != 200 || cov.Stored != 200 || cov.Events != 200 || cov.Sealed != 202 {
		t.Errorf("%s", files[fileCoverage])
	}
	for name, want := range map[string]string{fileAccess: "user1@example.com", fileEventsCSV: "leaf_index,ts,event_id", fileControls: "CC7.2", fileRedaction: `"events_with_raw_attributes": 0`, fileVerify: o.Key.Origin("acme")} {
		if !bytes.Contains(files[name], []byte(want)) {
			t.Errorf("%s has no %q:\n%.600s", name, want, files[name])
		}
	}
	// Rows held a few at a time make the same bundle.
	defer func(n uint64) { maxBytes = n }(maxBytes)
	maxBytes = 1000
	export(t, o2)
	if b, _ := os.ReadFile(o2.Out); !bytes.Equal(a, b) {
		t.Error("the export depends on how many rows are held")
	}
	defer func(n uint64) { seal.IDsAtOnce = n }(seal.IDsAtOnce)
	seal.IDsAtOnce = 30
	export(t, o2)
	if b, _ := os.ReadFile(o2.Out); !bytes.Equal(a, b) {
		t.Error("the export depends on how many ids are counted at once")
	}
	// One control, nothing in the period, an unknown control, a tenant without a log.
	o3 := o
	o3.Control, o3.Out = "CC7.2", filepath.Join(t.TempDir(), "c.zip")
	export(t, o3)
	if c := contents(t, o3.Out)[fileControls]; bytes.Contains(c, []byte("CC6.1")) || !bytes.Contains(c, []byte("CC7.2")) {
		t.Errorf("%s", c)
	}
	o3.From, o3.To = o.To.Add(time.Hour), o.To.Add(2*time.Hour)
	if m := export(t, o3); m.Events != 0 {
		t.Errorf("%s", text(m))
	}
	if r := verify(t, o3.Out, o.Key.VerifierKey("acme")); !r.OK {
		t.Errorf("%s", text(r))
	}
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	o3.Control = "CC99"
	if _, err := Export(context.Background(), db, o3); err == nil || !strings.Contains(err.Error(), "CC7.2") {
		t.Error(err)
	}
	o3 = o
	o3.Tenant = "nobody"
	if _, err := Export(context.Background(), db, o3); err == nil {
		t.Error("a bundle of a tenant without a log")
	}
}

// A row that is not what was sealed does not get into a bundle as if it were.
func TestExportTampered(t *testing.T) {
	dir := sealed(t)
	admin := storetest.Open(t, chdb.UserAdmin)
	for _, q := range []string{
		"ALTER TABLE mcpsiem.events UPDATE principal_id = 'eve' WHERE tenant = 'acme' AND tap_seq = 100 SETTINGS mutations_sync = 2",
		"DELETE FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq IN (101, 102)",
	} {
		if err := admin.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	if m := export(t, o); m.Events != 197 || m.Exceptions != 3 {
		t.Errorf("%s", text(m))
	}
	ex := string(contents(t, o.Out)[fileExceptions])
	if strings.Count(ex, "missing") != 2 || strings.Count(ex, "changed") != 1 {
		t.Error(ex)
	}
	if r := verify(t, o.Out, o.Key.VerifierKey("acme")); !r.OK || r.Events != 197 {
		t.Errorf("%s", text(r))
	}
}

func contents(t testing.TB, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = b
	}
	return out
}

// rewrite makes a bundle of other files. With key, whoever does it has the signing key too, and mends manifest and signatures.
func rewrite(t *testing.T, path string, files map[string][]byte, order []string, key *seal.Key, twice string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "forged.zip")
	a, err := newArchive(out)
	if err != nil {
		t.Fatal(err)
	}
	if key != nil {
		var m Manifest
		if err := json.Unmarshal(files[fileManifest], &m); err != nil {
			t.Fatal(err)
		}
		m.Files = nil
		for _, n := range order {
			if n != fileManifest && n != fileSignature {
				sum := seal.Digest(files[n])
				m.Files = append(m.Files, FileInfo{n, uint64(len(files[n])), hex.EncodeToString(sum[:])})
			}
		}
		b, _ := json.MarshalIndent(m, "", "  ")
		sum := seal.Digest(b)
		files[fileManifest] = b
		if files[fileSignature], err = key.SignText("acme", statement("manifest", hex.EncodeToString(sum[:]))); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range order {
		if b, ok := files[n]; ok {
			if err := a.add(n, b); err != nil {
				t.Fatal(err)
			}
			if n == twice {
				a.add(n, b)
			}
		}
	}
	sign := func(sha string) ([]byte, error) { return []byte("no signature"), nil }
	if key != nil {
		sign = func(sha string) ([]byte, error) { return key.SignText("acme", statement("file", sha)) }
	}
	if err := a.close(sign); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever is done to a bundle is named. In the second half the forger has the signing key, so that only the log itself is in the way.
func TestForged(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	export(t, o)
	key := o.Key.VerifierKey("acme")
	whole, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	other, err := seal.LoadKey(filepath.Join(t.TempDir(), "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	other.Log = o.Key.Log
	check := func(t *testing.T, path, file, detail string) {
		t.Helper()
		r := verify(t, path, key)
		if r.OK || !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.File == file && strings.Contains(p.Detail, detail) }) {
			t.Errorf("%q in %q is not named: %.2000s", detail, file, text(r))
		}
	}
	raw := func(name, file, detail string, change func(b []byte) []byte) {
		t.Run(name, func(t *testing.T) {
			p := filepath.Join(t.TempDir(), "x.zip")
			if err := os.WriteFile(p, change(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, p, file, detail)
		})
	}
	raw("cut in half", "", "cut off", func(b []byte) []byte { return b[:len(b)/2] })
	raw("last byte cut", "", "", func(b []byte) []byte { return b[:len(b)-1] })
	raw("empty", "", "cut off", func(b []byte) []byte { return nil })
	raw("byte appended", "", "", func(b []byte) []byte { return append(b, 'x') })
	raw("byte prepended", "", "", func(b []byte) []byte { return append([]byte("x"), b...) })
	raw("comment removed", "", "", func(b []byte) []byte { return b[:len(b)-200] })
	raw("time of a file changed", "", "some byte", func(b []byte) []byte { b[10] ^= 1; return b })
	raw("content of the first file changed", fileEvents, "damaged", func(b []byte) []byte { b[200] ^= 0xff; return b })

	edit := func(name, file, detail string, k *seal.Key, change func(files map[string][]byte)) {
		t.Run(name, func(t *testing.T) {
			files := contents(t, o.Out)
			var order []string
			for n := range files {
				order = append(order, n)
			}
			slices.Sort(order)
			change(files)
			for n := range files {
				if !slices.Contains(order, n) {
					order = append(order, n)
				}
			}
			order = slices.DeleteFunc(order, func(n string) bool { return files[n] == nil })
			check(t, rewrite(t, o.Out, files, order, k, ""), file, detail)
		})
	}
	lines := func(b []byte) [][]byte { l := bytes.SplitAfter(b, []byte("\n")); return l[:len(l)-1] }
	forge := func(b []byte) []byte {
		return bytes.Replace(b, []byte("user3@example.com"), []byte("user4@example.com"), 1)
	}

	edit("event changed, nothing mended", fileEvents, "changed", nil, func(f map[string][]byte) { f[fileEvents] = forge(f[fileEvents]) })
	edit("event changed, nothing mended: file", fileEvents, "not the one that the manifest names", nil, func(f map[string][]byte) { f[fileEvents] = forge(f[fileEvents]) })
	edit("report changed", filePDF, "not the one that the manifest names", nil, func(f map[string][]byte) { f[filePDF][100] ^= 1 })
	edit("file added", "extra.txt", "added", nil, func(f map[string][]byte) { f["extra.txt"] = []byte("x") })
	edit("file removed", fileCoverage, "missing", nil, func(f map[string][]byte) { delete(f, fileCoverage) })
	edit("manifest removed", fileManifest, "missing", nil, func(f map[string][]byte) { delete(f, fileManifest) })
	edit("manifest no JSON", fileManifest, "cannot be read", nil, func(f map[string][]byte) { f[fileManifest] = []byte("{") })
	edit("manifest changed", fileManifest, "not the one that was signed", nil, func(f map[string][]byte) {
		f[fileManifest] = bytes.Replace(f[fileManifest], []byte("auditor@host"), []byte("someone@else"), 1)
	})
	edit("future format", fileManifest, "does not know", nil, func(f map[string][]byte) {
		f[fileManifest] = bytes.Replace(f[fileManifest], []byte(`"mcpsiem-evidence/1"`), []byte(`"mcpsiem-evidence/9"`), 1)
	})
	edit("all signed with another key", fileCheckpoint, "no signature of the given key", other, func(f map[string][]byte) {
		f[fileCheckpoint], _ = other.Sign("acme", seal.Checkpoint{Origin: other.Origin("acme"), Size: 305})
		f[fileKey] = []byte(other.VerifierKey("acme") + "\n")
	})
	edit("key swapped", fileKey, "not the given one", nil, func(f map[string][]byte) { f[fileKey] = []byte(other.VerifierKey("acme") + "\n") })

	edit("event changed, all mended", fileEvents, "changed", o.Key, func(f map[string][]byte) { f[fileEvents] = forge(f[fileEvents]) })
	edit("event removed with its leaf", fileEvents, "manifest says", o.Key, func(f map[string][]byte) {
		l := lines(f[fileEvents])
		f[fileEvents] = bytes.Join(slices.Delete(slices.Clone(l), 7, 8), nil)
		f[fileEventLeafs] = slices.Delete(f[fileEventLeafs], 7*24, 8*24)
	})
	edit("event removed with its leaf, the count mended", fileHashes, "neither a line nor an exception", o.Key, func(f map[string][]byte) {
		f[fileEvents] = bytes.Join(slices.Delete(slices.Clone(lines(f[fileEvents])), 7, 8), nil)
		f[fileEventLeafs] = slices.Delete(f[fileEventLeafs], 7*24, 8*24)
		f[fileManifest] = bytes.Replace(f[fileManifest], []byte(`"events": 200`), []byte(`"events": 199`), 1)
	})
	edit("event removed", fileEvents, "changed", o.Key, func(f map[string][]byte) {
		f[fileEvents] = bytes.Join(slices.Delete(slices.Clone(lines(f[fileEvents])), 7, 8), nil)
	})
	edit("last event removed", fileEvents, "lines were removed", o.Key, func(f map[string][]byte) {
		l := lines(f[fileEvents])
		f[fileEvents] = bytes.Join(l[:len(l)-1], nil)
	})
	edit("event added", fileEvents, "out of order", o.Key, func(f map[string][]byte) {
		l := lines(f[fileEvents])
		f[fileEvents] = append(f[fileEvents], l[5]...)
		f[fileEventLeafs] = append(f[fileEventLeafs], f[fileEventLeafs][5*24:6*24]...)
	})
	edit("event added without a leaf", fileEventLeafs, "lines were added", o.Key, func(f map[string][]byte) { f[fileEvents] = append(f[fileEvents], lines(f[fileEvents])[5]...) })
	edit("events change places", fileEvents, "changed", o.Key, func(f map[string][]byte) {
		l := lines(f[fileEvents])
		l[3], l[4] = l[4], l[3]
		f[fileEvents] = bytes.Join(l, nil)
	})
	edit("line end cut", fileEvents, "damaged from here", o.Key, func(f map[string][]byte) { f[fileEvents] = bytes.TrimSuffix(f[fileEvents], []byte("\n")) })
	edit("salt changed", fileEvents, "changed", o.Key, func(f map[string][]byte) { f[fileEventLeafs][20] ^= 1 })
	edit("finding changed", fileFindings, "changed", o.Key, func(f map[string][]byte) {
		f[fileFindings] = bytes.Replace(f[fileFindings], []byte("high"), []byte("low"), 1)
	})
	edit("leaf index beyond the log", fileEvents, "not in the bundle", o.Key, func(f map[string][]byte) { f[fileEventLeafs][0] = 0x7f })
	edit("a hash changed to fit", fileHashes, "do not lead to the checkpoint", o.Key, func(f map[string][]byte) { f[fileHashes][40] ^= 1 })
	edit("hashes cut", fileHashes, "too early", o.Key, func(f map[string][]byte) { f[fileHashes] = f[fileHashes][:len(f[fileHashes])-32] })
	edit("hashes longer", fileHashes, "longer", o.Key, func(f map[string][]byte) { f[fileHashes] = append(f[fileHashes], 1) })
	edit("segments cut", fileSegments, "cover the log", o.Key, func(f map[string][]byte) { f[fileSegments] = []byte(`[{"from":5,"to":9}]`) })
	edit("segments no JSON", fileSegments, "cannot be read", o.Key, func(f map[string][]byte) { f[fileSegments] = []byte("[") })
	edit("hostile segment", fileSegments, "cover the log", o.Key, func(f map[string][]byte) { f[fileSegments] = []byte(`[{"from":0,"to":18446744073709551615}]`) })
	edit("checkpoint of another size", fileCheckpoint, "no signature", o.Key, func(f map[string][]byte) {
		f[fileCheckpoint] = bytes.Replace(f[fileCheckpoint], []byte("\n305\n"), []byte("\n304\n"), 1)
	})
	edit("checkpoint rolled back", fileManifest, "another checkpoint", o.Key, func(f map[string][]byte) {
		var old []oldCheckpoint
		if err := json.Unmarshal(f[fileHistory], &old); err != nil {
			t.Fatal(err)
		}
		f[fileCheckpoint] = []byte(old[0].Note)
	})
	edit("history rewritten", fileHistory, "history was rewritten", o.Key, func(f map[string][]byte) {
		n, _ := o.Key.Sign("acme", seal.Checkpoint{Origin: o.Key.Origin("acme"), Size: 100, Root: seal.Hash{1}})
		b, _ := json.Marshal([]oldCheckpoint{{Note: string(n), Proof: []string{}}})
		f[fileHistory] = b
	})
	t.Run("file twice", func(t *testing.T) {
		files := contents(t, o.Out)
		var order []string
		for n := range files {
			order = append(order, n)
		}
		slices.Sort(order)
		check(t, rewrite(t, o.Out, files, order, o.Key, fileCoverage), fileCoverage, "twice")
	})
	t.Run("not a key", func(t *testing.T) {
		if _, err := Verify(o.Out, "garbage", seal.Trust{}); err == nil {
			t.Error("a key that is none")
		}
	})
}

// No byte of a bundle can be changed unnoticed, and none makes the verifier fail otherwise than by saying so.
func TestAnyByte(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	export(t, o)
	whole, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	key := o.Key.VerifierKey("acme")
	rnd := rand.New(rand.NewPCG(1, 1))
	at := []int{0, 1, len(whole) - 1, len(whole) - 100, len(whole) - 300}
	for range 250 {
		at = append(at, rnd.IntN(len(whole)))
	}
	p := filepath.Join(t.TempDir(), "x.zip")
	for _, i := range at {
		b := bytes.Clone(whole)
		b[i] ^= byte(1 + rnd.IntN(255))
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, p, key); r.OK || len(r.Problems) == 0 {
			t.Errorf("byte %d of %d", i, len(whole))
		}
	}
}

func FuzzVerify(f *testing.F) {
	key, err := seal.LoadKey(filepath.Join(f.TempDir(), "seal.key"))
	if err != nil {
		f.Fatal(err)
	}
	vkey := key.VerifierKey("acme")
	// A bundle with nothing in it but a shape, from which the fuzzer finds its way.
	out := filepath.Join(f.TempDir(), "a.zip")
	a, err := newArchive(out)
	if err != nil {
		f.Fatal(err)
	}
	m, _ := json.Marshal(Manifest{Format: Format, CanonicalVersion: 1, Events: 1})
	for _, x := range []struct{ n, c string }{{fileManifest, string(m)}, {fileSignature, "x"}, {fileSegments, `[{"from":0,"to":1}]`}, {fileHashes, strings.Repeat("h", 32)}, {fileEvents, "{}\n"},
		{fileEventLeafs, strings.Repeat("\x00", 24)}, {fileFindings, ""}, {fileFindLeafs, ""}, {fileHistory, "[]"}, {fileAnchors, `[{"kind":"tsa","note":"x","data":"AA=="}]`}, {fileKey, vkey}} {
		if err := a.add(x.n, []byte(x.c)); err != nil {
			f.Fatal(err)
		}
	}
	if n, err := key.Sign("acme", seal.Checkpoint{Origin: key.Origin("acme"), Size: 1}); err != nil || a.add(fileCheckpoint, n) != nil {
		f.Fatal(err)
	}
	if err := a.close(func(string) ([]byte, error) { return []byte("c"), nil }); err != nil {
		f.Fatal(err)
	}
	seed, _ := os.ReadFile(out)
	f.Add(seed)
	f.Add([]byte("PK"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(dir, fmt.Sprintf("%d.zip", os.Getpid()))
		if os.WriteFile(p, b, 0o600) != nil {
			t.Skip()
		}
		r, err := Verify(p, vkey, seal.Trust{})
		if err != nil || r.OK || len(r.Problems) == 0 {
			t.Errorf("%v %+v", err, r)
		}
	})
}

// What concerns all tenants is in each one's bundle; what concerns another is not.
func TestInstallation(t *testing.T) {
	dir := t.TempDir()
	sealtest.Clear(t, storetest.Open(t, chdb.UserAdmin))
	events := sealtest.Events("default", 100, 5)
	for i, x := range []struct{ action, tenant string }{{"pipeline.start", ""}, {"rules.change", "acme"}, {"rules.change", "beta"}, {"store.query", ""}, {"logging.failed", ""}} {
		e := &events[i]
		e.AuditAction, e.AuditTarget, e.AuditDetails = x.action, "target of "+x.tenant, map[string]string{}
		if x.tenant != "" {
			e.AuditDetails["tenant"] = x.tenant
		}
	}
	sealtest.Store(t, sealtest.Exporter(t), sealtest.Batch(1, append(events, sealtest.Events("acme", 110, 3)...)...))
	sealtest.Seal(t, dir, 1, 0)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	export(t, o)
	if r := verify(t, o.Out, o.Key.VerifierKey("acme")); !r.OK {
		t.Fatal(text(r))
	}
	rows, err := csv.NewReader(bytes.NewReader(contents(t, o.Out)[fileInstallation])).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows[1:] {
		got = append(got, r[4]+" "+r[5])
	}
	slices.Sort(got)
	if want := []string{"logging.failed target of ", "pipeline.start target of ", "rules.change target of acme"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestControls(t *testing.T) {
	all, err := compliance.All()
	if err != nil || len(all) != 7 {
		t.Fatal(len(all), err)
	}
	known := []string{fileAccess, fileEvents, fileCheckpoint, fileCoverage, fileFindCSV, fileAudit, fileInstallation, fileInventory, fileRedaction, fileRetention, fileDeletions, fileHistory, filePDF, fileExceptions}
	for _, f := range all {
		ids := map[string]bool{}
		if f.Title == "" || f.Version == "" || len(f.Sources) == 0 || len(f.Controls) < 4 {
			t.Errorf("%s is not complete", f.ID)
		}
		for _, c := range f.Controls {
			if ids[c.ID] || c.Title == "" || c.Demand == "" || len(c.Supports) == 0 {
				t.Errorf("%s %s", f.ID, c.ID)
			}
			ids[c.ID] = true
			for _, s := range c.Supports {
				if !slices.Contains(known, s.File) || s.What == "" || strings.Contains(s.What, "complian") {
					t.Errorf("%s %s: %s", f.ID, c.ID, s.File)
				}
			}
		}
	}
}

// After a rotation of the signing key a bundle can be checked with the key from before, which auditors have, and with the new one; another key stays another key.
func TestBundleAfterRotation(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	old := o.Key.VerifierKey("acme")
	export(t, o)
	if _, err := seal.PrepareRotation(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if done, err := seal.RotateStopped(dir, filepath.Join(dir, "seal.key")); err != nil || !done {
		t.Fatal(done, err)
	}
	before := o.Out
	o = options(t, dir, filepath.Join(t.TempDir(), "b.zip"))
	export(t, o)
	for name, x := range map[string]struct {
		path, key string
		ok        bool
	}{"before, old": {before, old, true}, "before, new": {before, o.Key.VerifierKey("acme"), false}, "before, new with its statements": {before, o.Key.Trust("acme"), true}, "after, old": {o.Out, old, true}, "after, new": {o.Out, o.Key.VerifierKey("acme"), true}} {
		if r := verify(t, x.path, x.key); r.OK != x.ok {
			t.Errorf("%s: %.600s", name, text(r))
		}
	}
}

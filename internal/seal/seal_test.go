package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/jcs"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Main(func() int {
		before := goleak.IgnoreCurrent()
		code := m.Run()
		if err := goleak.Find(before); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

// world is a store with 300 events of acme in three messages, 20 of beta, 10 findings, sealed.
type world struct {
	dir   string
	admin *store.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), admin: storetest.Open(t, chdb.UserAdmin)}
	sealtest.Clear(t, w.admin)
	e := sealtest.Exporter(t)
	for i := range 3 {
		sealtest.Store(t, e, sealtest.Batch(uint64(10+i), append(sealtest.Events("acme", 1+100*i, 100), sealtest.Events("beta", 1+i*5, 5)...)...))
	}
	for i := range 10 {
		sealtest.Store(t, e, sealtest.FindingBatch(uint64(1+i), sealtest.Finding("acme", i)))
	}
	sealtest.Seal(t, w.dir, 12, 10)
	return w
}

func (w *world) exec(t *testing.T, q string, args ...any) {
	t.Helper()
	if err := w.admin.Exec(context.Background(), q, args...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) count(t *testing.T, q string) (n uint64) {
	t.Helper()
	if err := w.admin.QueryRow(context.Background(), q).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// few lets ClickHouse hold so few ids at once that everything is done in parts.
func few(t *testing.T) {
	before := seal.IDsAtOnce
	seal.IDsAtOnce = 120
	t.Cleanup(func() { seal.IDsAtOnce = before })
}

func TestSealAndVerify(t *testing.T) {
	w := newWorld(t)
	f := func(tenant string, size uint64) {
		t.Helper()
		r := sealtest.Verify(t, w.dir, tenant)
		if !r.OK || r.Size != size || r.Matched != size || r.Checked != size || r.NotYetSealed != 0 {
			t.Errorf("%s: %s", tenant, sealtest.Text(r))
		}
	}
	f("acme", 310)
	f("beta", 15)
	f("nobody", 0)
	few(t)
	f("acme", 310)

	// What comes again changes nothing: the same messages, the same rows, a second sealer.
	e := sealtest.Exporter(t)
	for i := range 3 {
		sealtest.Store(t, e, sealtest.Batch(uint64(10+i), sealtest.Events("acme", 1+100*i, 100)...))
	}
	w.exec(t, "INSERT INTO mcpsiem.events SELECT * FROM mcpsiem.events WHERE tenant = 'acme' LIMIT 50")
	sealtest.Seal(t, w.dir, 12, 10)
	f("acme", 310)
	if err := os.Remove(filepath.Join(w.dir, "positions.json")); err != nil { // it may only cost work
		t.Fatal(err)
	}
	sealtest.Seal(t, w.dir, 12, 10)
	f("acme", 310)

	// Rows beyond the floor are not sealed, and are not a problem.
	sealtest.Store(t, e, sealtest.Batch(13, sealtest.Events("acme", 301, 10)...))
	sealtest.Seal(t, w.dir, 12, 10)
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Size != 310 || r.NotYetSealed != 10 {
		t.Error(sealtest.Text(r))
	}
	sealtest.Seal(t, w.dir, 13, 10)
	f("acme", 320)

	// A finding's next revision, and an event delivered again at another place, get leaves of their own. The rows that they replace go in a merge.
	fi := sealtest.Finding("acme", 3)
	fi.Status, fi.Revision = "accepted", 99
	sealtest.Store(t, e, sealtest.FindingBatch(11, fi))
	sealtest.Store(t, e, sealtest.Batch(14, sealtest.Events("acme", 5, 1)...))
	sealtest.Seal(t, w.dir, 14, 11)
	f("acme", 322)
	w.exec(t, "OPTIMIZE TABLE mcpsiem.events FINAL")
	w.exec(t, "OPTIMIZE TABLE mcpsiem.findings FINAL")
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Matched != 320 || r.Superseded != 2 {
		t.Error(sealtest.Text(r))
	}
	// A stream that was made anew starts at 1 again; what is sealed stays sealed once.
	s := sealtest.Sealer(t, w.dir)
	if _, err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	sealtest.Store(t, e, sealtest.Batch(1, sealtest.Events("acme", 400, 10)...))
	if _, _, err := s.Step(context.Background(), seal.KindEvent, seal.Bound{Created: sealtest.Created.Add(1), Floor: 14}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Matched != 330 {
		t.Error(sealtest.Text(r))
	}
}

// The canonical form is RFC 8785, whatever a row holds.
func TestCanonical(t *testing.T) {
	w := newWorld(t)
	e := sealtest.Exporter(t)
	odd := sealtest.Events("odd", 1, 4)
	odd[0].Body = "\x00\x01\b\f\n\r\t\"\\ \u2028 \U0001F600 </script>"
	odd[0].Signals = map[string]float64{"a": 1e-7, "b": 1e21, "c": 0, "d": -0.5, "é": 3}
	odd[0].TapEpoch, odd[0].TapSeq = math.MaxInt64, math.MaxInt64
	odd[1].Labels = map[string]string{"stream_seq": `x","stream_seq":"7`, "": "empty"}
	odd[2].Extra = map[string]string{"custom.attribute": "1"}
	odd[2].TraceID = [16]byte{1, 2, 3}
	odd[3].Fields = event.Fields{ID: odd[3].ID, Tenant: "odd"}
	sealtest.Store(t, e, sealtest.Batch(math.MaxInt64, odd...))
	w.exec(t, "INSERT INTO mcpsiem.events SELECT * REPLACE (unhex('ff00fe') AS body, 'bytes' AS tenant, map('k', 'a', 'k', 'b') AS labels, nan AS cost_amount) FROM (SELECT * FROM mcpsiem.events WHERE tenant = 'odd' AND request_id = '1' LIMIT 1)")
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	n := 0
	var joined strings.Builder
	for _, kind := range []string{seal.KindEvent, seal.KindFinding} {
		err := db.Rows(context.Background(), kind, "1", "", func(r *seal.Row) error {
			n++
			again, err := jcs.Append(nil, r.Canonical)
			if err != nil || !bytes.Equal(again, r.Canonical) {
				return fmt.Errorf("not canonical: %v\n%s\n%s", err, r.Canonical, again)
			}
			if r.Tenant == "odd" || r.Tenant == "bytes" || kind == seal.KindFinding {
				joined.Write(r.Canonical)
				joined.WriteByte('\n')
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n != 300+15+10+4+1 {
		t.Errorf("%d rows", n)
	}
	for _, want := range []string{`"body":{"hex":"ff00fe"}`, `"cost_amount":"NaN"`, `"labels":[["k","a"],["k","b"]]`, `"tap_epoch":"9223372036854775807"`, `"trace":"01020300000000000000000000000000"`,
		`"stream_seq":"9223372036854775807"`, `"_table":"findings","_v":1,"confidence":0.8999999761581421,"count":3,`, `{"a":1e-7,"b":1e+21,`, "\"labels\":{\"env\":\"prod\",\"zone\":\"a\",\"😀\":\"later\",\"\uffee\":\"earlier\"}"} {
		if !strings.Contains(joined.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}

// Columns that the schema gets later change no old leaf.
func TestNewColumn(t *testing.T) {
	w := newWorld(t)
	w.exec(t, "ALTER TABLE mcpsiem.events ADD COLUMN later LowCardinality(String) DEFAULT 'x'")
	defer w.exec(t, "ALTER TABLE mcpsiem.events DROP COLUMN later")
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Matched != 310 {
		t.Error(sealtest.Text(r))
	}
}

// Whatever is cut off at whatever point is finished, once.
func TestCrash(t *testing.T) {
	points := []string{"before pending", "after pending", "after leaves", "after tiles", "after checkpoint", "after checkpoint row", "before positions", "after positions", "after removal"}
	w := newWorld(t)
	e := sealtest.Exporter(t)
	seq, next := uint64(13), 301
	for i, point := range points {
		for _, n := range []int{[]int{1, 250, 600}[i%3]} { // within a tile, over one border, over more
			sealtest.Store(t, e, sealtest.Batch(seq, append(sealtest.Events("acme", next, n), sealtest.Events("beta", next, n)...)...))
			next += n
			s := sealtest.Sealer(t, w.dir)
			hits := 0
			s.Crash = func(p string) {
				if p == point {
					hits++
					panic("crash")
				}
			}
			func() {
				defer func() { recover(); s.Close() }()
				if _, err := s.Open(context.Background()); err != nil {
					t.Fatal(err)
				}
				sealtest.All(t, s, seq, 10)
			}()
			if hits != 1 {
				t.Fatalf("%s: reached %d times", point, hits)
			}
			if r := sealtest.Verify(t, w.dir, "acme"); r.ProblemCount > 0 {
				t.Fatalf("after a crash %s, before the repair: %s", point, sealtest.Text(r))
			}
			// and once more while it is being repaired
			s = sealtest.Sealer(t, w.dir)
			s.Crash = func(p string) {
				if p == point {
					panic("crash")
				}
			}
			func() {
				defer func() { recover(); s.Close() }()
				s.Open(context.Background())
			}()
			sealtest.Seal(t, w.dir, seq, 10)
			seq++
			for _, tenant := range []string{"acme", "beta"} {
				r := sealtest.Verify(t, w.dir, tenant)
				rows := w.count(t, "SELECT uniqExact(event_id) FROM mcpsiem.events WHERE tenant = '"+tenant+"'") + w.count(t, "SELECT count() FROM mcpsiem.findings FINAL WHERE tenant = '"+tenant+"'")
				if !r.OK || r.Size != rows || r.Matched != rows || r.NotYetSealed != 0 {
					t.Fatalf("after a crash %s: %d rows: %s", point, rows, sealtest.Text(r))
				}
			}
		}
	}
}

// What is wrong is named, and nothing else is.
func TestTampering(t *testing.T) {
	few(t)
	const id = "(SELECT event_id FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 150 LIMIT 1)"
	sync := " SETTINGS mutations_sync = 2"
	forgedKey := func(w *world, t *testing.T) *seal.Key {
		k, err := seal.LoadKey(filepath.Join(t.TempDir(), "other.key"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	own := func(w *world, t *testing.T) *seal.Key {
		k, err := seal.LoadKey(filepath.Join(w.dir, "seal.key"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(w *world, t *testing.T, name string, b []byte) {
		if err := os.WriteFile(filepath.Join(w.dir, "acme", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(w *world, t *testing.T, name string) []byte {
		b, err := os.ReadFile(filepath.Join(w.dir, "acme", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pin := func(o *seal.VerifyOptions, w *world, t *testing.T) { o.VerifierKey = own(w, t).VerifierKey("acme") }
	played := 0
	f := func(name, want string, n uint64, do func(w *world, t *testing.T), edit ...func(*seal.VerifyOptions, *world, *testing.T)) {
		if played++; os.Getenv("MCPSIEM_TEST_TAMPER") != "all" && played%3 != 1 { // all of them: make test-tamper
			return
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := own(w, t).VerifierKey("acme")
			do(w, t)
			r := sealtest.Verify(t, w.dir, "acme", func(o *seal.VerifyOptions) {
				o.VerifierKey = key
				for _, e := range edit {
					e(o, w, t)
				}
			})
			if r.OK || r.ProblemCount != n || len(r.Problems) == 0 || !slices.ContainsFunc(r.Problems, func(p seal.Problem) bool { return p.What == want }) {
				t.Errorf("want %d with %q: %.3000s", n, want, sealtest.Text(r))
			}
			for _, p := range r.Problems {
				if (p.What == seal.ProblemChanged || p.What == seal.ProblemReordered) && (p.ID == "" || p.Leaf == nil && !strings.Contains(p.Detail, "finding_history") && !strings.HasPrefix(p.Detail, "column ")) {
					t.Errorf("not named: %+v", p)
				}
			}
		})
	}
	sql := func(q string) func(w *world, t *testing.T) { return func(w *world, t *testing.T) { w.exec(t, q) } }

	f("body edited", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.events UPDATE body = replace(body, '\"id\":150', '\"id\":151') WHERE event_id = "+id+sync))
	f("principal edited everywhere", seal.ProblemChanged, 43, sql("ALTER TABLE mcpsiem.events UPDATE principal_id = 'eve' WHERE tenant = 'acme' AND principal_id = 'user1@example.com' AND tap_seq <= 310"+sync))
	f("one flag edited", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.events UPDATE principal_verified = NOT principal_verified WHERE event_id = "+id+sync))
	f("map edited", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.events UPDATE signals = map('injection', 0.0) WHERE event_id = "+id+sync))
	f("default column filled in", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.events UPDATE task_id = 'x' WHERE event_id = "+id+sync))
	f("finding edited", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.findings UPDATE severity = 'low' WHERE finding_id = (SELECT finding_id FROM mcpsiem.findings ORDER BY finding_id LIMIT 1)"+sync))
	f("time changed by delete and insert", seal.ProblemChanged, 1, func(w *world, t *testing.T) {
		w.exec(t, "INSERT INTO mcpsiem.events SELECT * REPLACE (ts + INTERVAL 1 SECOND AS ts) FROM mcpsiem.events WHERE event_id = "+id)
		w.exec(t, "DELETE FROM mcpsiem.events WHERE tap_seq = 150 AND tenant = 'acme' AND ts < toDateTime64('2026-11-20 09:00:02', 9, 'UTC')")
	})
	f("one row deleted", seal.ProblemMissing, 1, sql("DELETE FROM mcpsiem.events WHERE event_id = "+id))
	f("rows deleted by mutation", seal.ProblemMissing, 100, sql("ALTER TABLE mcpsiem.events DELETE WHERE tenant = 'acme' AND server = 'files'"+sync))
	f("finding deleted", seal.ProblemMissing, 10, sql("DELETE FROM mcpsiem.findings WHERE tenant = 'acme'"))
	f("partition dropped", seal.ProblemMissing, 300, sql("ALTER TABLE mcpsiem.events DROP PARTITION '2026-11-20'"))
	f("table truncated", seal.ProblemMissing, 300, sql("TRUNCATE TABLE mcpsiem.events"))
	f("row added", seal.ProblemAdded, 1, sql("INSERT INTO mcpsiem.events SELECT * REPLACE (generateUUIDv4() AS event_id) FROM (SELECT * FROM mcpsiem.events WHERE event_id = "+id+")"))
	f("row added without a stream", seal.ProblemAdded, 1, sql("INSERT INTO mcpsiem.events SELECT * REPLACE (generateUUIDv4() AS event_id, 0 AS stream_seq) FROM (SELECT * FROM mcpsiem.events WHERE event_id = "+id+")"))
	f("second row under the same id", seal.ProblemAdded, 1, sql("INSERT INTO mcpsiem.events SELECT * REPLACE ('forged' AS body) FROM (SELECT * FROM mcpsiem.events WHERE event_id = "+id+")"))
	f("row taken from another tenant", seal.ProblemAdded, 15, sql("INSERT INTO mcpsiem.events SELECT * REPLACE ('acme' AS tenant) FROM (SELECT * FROM mcpsiem.events WHERE tenant = 'beta')"))
	f("row moved in the order", seal.ProblemReordered, 1, sql("ALTER TABLE mcpsiem.events UPDATE stream_seq = 12 WHERE event_id = "+id+sync))
	f("rows changed places", seal.ProblemReordered, 200, sql("ALTER TABLE mcpsiem.events UPDATE stream_seq = 21 - stream_seq WHERE tenant = 'acme' AND stream_seq < 12"+sync))
	f("salt deleted, row kept", seal.ProblemUnopened, 1, sql("DELETE FROM mcpsiem.seal_salts WHERE tenant = 'acme' AND leaf_index = 7"))
	f("leaf deleted", seal.ProblemMissing, 2, sql("DELETE FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND leaf_index = 7")) // and the row has none
	f("leaf and row deleted", seal.ProblemMissing, 1, func(w *world, t *testing.T) {
		w.exec(t, "DELETE FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND id = "+id)
		w.exec(t, "DELETE FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 150")
	})
	f("leaf rewritten to fit an edited row", seal.ProblemLeaf, 2, func(w *world, t *testing.T) {
		w.exec(t, "ALTER TABLE mcpsiem.events UPDATE body = 'forged' WHERE event_id = "+id+sync)
		db := seal.NewDB(storetest.Config(chdb.UserAdmin))
		defer db.Close()
		var l seal.Leaf
		if err := db.Rows(context.Background(), seal.KindEvent, "tenant = 'acme' AND tap_seq = 150", "", func(r *seal.Row) error {
			leaves, err := seal.NewDB(storetest.Config(chdb.UserAdmin)).LeavesOf(context.Background(), "acme", r.ID)
			if err == nil {
				l = leaves[0]
				l.Hash = seal.LeafHash(l.Salt, seal.Digest(r.Canonical))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.exec(t, fmt.Sprintf("ALTER TABLE mcpsiem.seal_leaves UPDATE leaf_hash = unhex('%x') WHERE tenant = 'acme' AND leaf_index = %d%s", l.Hash, l.Index, sync))
	})
	f("leaf added beyond the log", seal.ProblemLeaf, 1, sql("INSERT INTO mcpsiem.seal_leaves SELECT * REPLACE (310 AS leaf_index) FROM (SELECT * FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND leaf_index = 7)"))
	f("forged deletion", seal.ProblemDeletion, 2, func(w *world, t *testing.T) {
		w.exec(t, "INSERT INTO mcpsiem.seal_deletions SELECT tenant, leaf_index, generateUUIDv4(), now64(3) FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND id = "+id)
		w.exec(t, "DELETE FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 150")
	})
	f("tile changed", seal.ProblemTile, 3, func(w *world, t *testing.T) {
		b := read(w, t, "tile/0/000")
		b[40] ^= 1
		write(w, t, "tile/0/000", b)
	})
	f("root tile changed", seal.ProblemTile, 4, func(w *world, t *testing.T) {
		b := read(w, t, "tile/1/000.p/1")
		b[4] ^= 1
		write(w, t, "tile/1/000.p/1", b)
	})
	f("tile lost", seal.ProblemTile, 1, func(w *world, t *testing.T) {
		if err := os.RemoveAll(filepath.Join(w.dir, "acme", "tile", "0", "001.p")); err != nil {
			t.Fatal(err)
		}
	})
	f("checkpoint rolled back", seal.ProblemRollback, 1, func(w *world, t *testing.T) {
		db := seal.NewDB(storetest.Config(chdb.UserAdmin))
		defer db.Close()
		all, err := db.Checkpoints(context.Background(), "acme", "", 0)
		if err != nil || len(all) < 2 {
			t.Fatal(len(all), err)
		}
		write(w, t, "checkpoint", all[0].Note)
	})
	f("log removed", seal.ProblemRollback, 1, func(w *world, t *testing.T) {
		if err := os.RemoveAll(filepath.Join(w.dir, "acme")); err != nil {
			t.Fatal(err)
		}
	})
	f("checkpoint forged", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {
		write(w, t, "checkpoint", bytes.Replace(read(w, t, "checkpoint"), []byte("\n310\n"), []byte("\n309\n"), 1))
	})
	f("signature damaged", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {
		b := read(w, t, "checkpoint")
		b[len(b)-10] ^= 1
		write(w, t, "checkpoint", b)
	})
	f("signed with another key", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {
		o := own(w, t)
		k := forgedKey(w, t)
		k.Log = o.Log
		b, err := k.Sign("acme", seal.Checkpoint{Origin: o.Origin("acme"), Size: 310, Root: seal.EmptyRoot})
		if err != nil {
			t.Fatal(err)
		}
		write(w, t, "checkpoint", b)
	})
	f("another tenant's log", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {
		b, err := os.ReadFile(filepath.Join(w.dir, "beta", "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		write(w, t, "checkpoint", b)
	})
	f("key swapped", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {}, func(o *seal.VerifyOptions, w *world, t *testing.T) {
		o.VerifierKey = forgedKey(w, t).VerifierKey("acme")
	})
	f("history rewritten with the right key", seal.ProblemCheckpoint, 1, func(w *world, t *testing.T) {}, pin, func(o *seal.VerifyOptions, w *world, t *testing.T) {
		b, err := own(w, t).Sign("acme", seal.Checkpoint{Origin: own(w, t).Origin("acme"), Size: 100, Root: seal.Hash{1}})
		if err != nil {
			t.Fatal(err)
		}
		o.Checkpoints = append(o.Checkpoints, b)
	})
	f("a later checkpoint is known elsewhere", seal.ProblemRollback, 1, func(w *world, t *testing.T) {}, pin, func(o *seal.VerifyOptions, w *world, t *testing.T) {
		b, err := own(w, t).Sign("acme", seal.Checkpoint{Origin: own(w, t).Origin("acme"), Size: 5000, Root: seal.Hash{1}})
		if err != nil {
			t.Fatal(err)
		}
		o.Checkpoints = append(o.Checkpoints, b)
	})
	f("checkpoints removed from the store", seal.ProblemCheckpoint, 1, sql("TRUNCATE TABLE mcpsiem.seal_checkpoints"))
	f("bodies of two rows exchanged", seal.ProblemChanged, 2, sql("ALTER TABLE mcpsiem.events UPDATE body = if(tap_seq = 150, (SELECT body FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 151 LIMIT 1), (SELECT body FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 150 LIMIT 1)) WHERE tenant = 'acme' AND tap_seq IN (150, 151)"+sync))
	f("row duplicated at another place", seal.ProblemAdded, 1, sql("INSERT INTO mcpsiem.events SELECT * REPLACE (11 AS stream_seq) FROM (SELECT * FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq = 50 LIMIT 1)"))
	f("leaf said to be of another time", seal.ProblemLeaf, 2, func(w *world, t *testing.T) {
		w.exec(t, "INSERT INTO mcpsiem.seal_leaves SELECT * REPLACE (ts - INTERVAL 100 DAY AS ts) FROM (SELECT * FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND id = "+id+")")
		w.exec(t, "DELETE FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND id = "+id+" AND ts > toDateTime64('2026-11-01 00:00:00', 9, 'UTC')")
	})
	f("salt zeroed", seal.ProblemUnopened, 1, sql("ALTER TABLE mcpsiem.seal_salts UPDATE salt = toFixedString('', 16) WHERE tenant = 'acme' AND leaf_index = 7"+sync))
	f("salts exchanged", seal.ProblemChanged, 2, sql("ALTER TABLE mcpsiem.seal_salts UPDATE salt = if(leaf_index = 7, (SELECT salt FROM mcpsiem.seal_salts WHERE tenant = 'acme' AND leaf_index = 8), (SELECT salt FROM mcpsiem.seal_salts WHERE tenant = 'acme' AND leaf_index = 7)) WHERE tenant = 'acme' AND leaf_index IN (7, 8)"+sync))
	undo := func(t *testing.T, q string) {
		t.Cleanup(func() {
			if err := storetest.Open(t, chdb.UserAdmin).Exec(context.Background(), q); err != nil {
				t.Error(err)
			}
		})
	}
	f("computed column redefined", seal.ProblemDefinition, 1, func(w *world, t *testing.T) {
		undo(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN trace_id String ALIAS "+store.Computed("events")["trace_id"].Expression)
		w.exec(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN trace_id String ALIAS 'x'")
	})
	f("computed column edited", seal.ProblemChanged, 1, func(w *world, t *testing.T) {
		w.exec(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN listed_tools REMOVE MATERIALIZED") // ClickHouse edits no computed column
		w.exec(t, "ALTER TABLE mcpsiem.events UPDATE listed_tools = 9 WHERE event_id = "+id+sync)
		w.exec(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN listed_tools UInt32 MATERIALIZED "+store.Computed("events")["listed_tools"].Expression)
	})
	f("stored column computed in another way", seal.ProblemDefinition, 1, func(w *world, t *testing.T) {
		undo(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN listed_tools UInt32 MATERIALIZED "+store.Computed("events")["listed_tools"].Expression)
		w.exec(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN listed_tools UInt32 MATERIALIZED 7")
	})
	f("default given to a sealed column", seal.ProblemDefinition, 1, func(w *world, t *testing.T) {
		undo(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN task_id REMOVE DEFAULT")
		w.exec(t, "ALTER TABLE mcpsiem.events MODIFY COLUMN task_id DEFAULT 'x'")
	})
	f("view rewritten", seal.ProblemDefinition, 1, func(w *world, t *testing.T) {
		v := view(t, "mcp_calls")
		undo(t, "CREATE OR REPLACE VIEW mcpsiem.mcp_calls AS "+v)
		w.exec(t, "CREATE OR REPLACE VIEW mcpsiem.mcp_calls AS SELECT * FROM ("+v+") WHERE server != 'files'")
	})
	f("view removed", seal.ProblemDefinition, 1, func(w *world, t *testing.T) {
		undo(t, "CREATE OR REPLACE VIEW mcpsiem.spend AS "+view(t, "spend"))
		w.exec(t, "DROP VIEW mcpsiem.spend SYNC")
	})
	const finding = "(SELECT finding_id FROM mcpsiem.findings ORDER BY finding_id LIMIT 1)"
	f("history of a finding edited", seal.ProblemChanged, 1, sql("ALTER TABLE mcpsiem.finding_history UPDATE status = 'resolved', triaged_by = 'eve' WHERE finding_id = "+finding+sync))
	f("history of a finding removed", seal.ProblemMissing, 1, sql("DELETE FROM mcpsiem.finding_history WHERE finding_id = "+finding))
	f("history of a finding that never was", seal.ProblemAdded, 1, sql("INSERT INTO mcpsiem.finding_history SELECT * REPLACE (generateUUIDv4() AS finding_id) FROM (SELECT * FROM mcpsiem.finding_history LIMIT 1)"))
	f("history of a triage edited", seal.ProblemChanged, 1, func(w *world, t *testing.T) {
		e := sealtest.Exporter(t)
		x := sealtest.Finding("acme", 3)
		x.Status, x.Revision, x.TriagedBy, x.TriageNote = "false_positive", 99, "ann", "seen"
		rec := sealtest.Events("acme", 999, 1)[0]
		rec.Name, rec.Body, rec.PrincipalID = event.NameAudit, "", "ann"
		rec.AuditAction, rec.AuditTarget, rec.AuditDetails = "finding.triage", x.ID, map[string]string{"revision": "99", "to": "false_positive", "note": "seen"}
		sealtest.Store(t, e, sealtest.Batch(13, rec))
		sealtest.Store(t, e, sealtest.FindingBatch(11, x))
		x.Revision, x.Status = 100, "open"
		sealtest.Store(t, e, sealtest.FindingBatch(12, x))
		sealtest.Seal(t, w.dir, 13, 12)
		if r := sealtest.Verify(t, w.dir, "acme"); !r.OK {
			t.Fatal(sealtest.Text(r))
		}
		w.exec(t, "ALTER TABLE mcpsiem.finding_history UPDATE triage_note = 'forged' WHERE revision = 99"+sync)
	})
	f("checkpoint edited in the store", seal.ProblemCheckpoint, 1, sql("ALTER TABLE mcpsiem.seal_checkpoints UPDATE note = replace(note, '310', '311') WHERE size = 310 AND tenant = 'acme'"+sync))
}

// view is the query behind a view of the schema.
func view(t *testing.T, name string) string {
	t.Helper()
	for _, v := range store.Views("mcpsiem") {
		if v.Name == name {
			return v.Select
		}
	}
	t.Fatal("no view " + name)
	return ""
}

// Whoever takes back everything - state folder, tables and rows - to a time before is consistent, and only what was kept elsewhere tells. Rows that are removed between
// storing and sealing are no leaf's; what counts them is the coverage.
func TestWhatOnlyOthersKnow(t *testing.T) {
	w := newWorld(t)
	old := t.TempDir()
	copyDir(t, w.dir, old)
	e := sealtest.Exporter(t)
	sealtest.Store(t, e, sealtest.Batch(13, sealtest.Events("acme", 301, 10)...))
	sealtest.Seal(t, w.dir, 13, 10)
	kept, err := os.ReadFile(filepath.Join(w.dir, "acme", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"DELETE FROM mcpsiem.events WHERE tenant = 'acme' AND stream_seq = 13", "DELETE FROM mcpsiem.seal_leaves WHERE tenant = 'acme' AND leaf_index >= 310",
		"DELETE FROM mcpsiem.seal_salts WHERE tenant = 'acme' AND leaf_index >= 310", "DELETE FROM mcpsiem.seal_checkpoints WHERE tenant = 'acme' AND size > 310"} {
		w.exec(t, q)
	}
	if r := sealtest.Verify(t, old, "acme"); !r.OK || r.Size != 310 {
		t.Errorf("a whole rollback should be consistent in itself: %s", sealtest.Text(r))
	}
	if r := sealtest.Verify(t, old, "acme", func(o *seal.VerifyOptions) { o.Checkpoints = [][]byte{kept} }); r.OK || r.Problems[0].What != seal.ProblemRollback {
		t.Error(sealtest.Text(r))
	}

	w = newWorld(t)
	sealtest.Store(t, e, sealtest.Batch(13, sealtest.Events("acme", 301, 10)...))
	w.exec(t, "DELETE FROM mcpsiem.events WHERE tenant = 'acme' AND tap_seq IN (305, 306, 307)")
	sealtest.Seal(t, w.dir, 13, 10)
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Size != 317 {
		t.Error(sealtest.Text(r))
	}
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	c, err := seal.ReadCoverage(context.Background(), db, "acme", sealtest.Start, sealtest.Start.Add(time.Hour))
	if err != nil || c.Gaps != 3 {
		t.Errorf("%+v, %v: three rows were removed before they were sealed", c, err)
	}
}

// Rows removed with a sealed record of it are no problem; the tree stays.
func TestDeletion(t *testing.T) {
	w := newWorld(t)
	e := sealtest.Exporter(t)
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	leaves, err := db.Leaves(context.Background(), "acme", 20, 30, 0, math.MaxInt64)
	if err != nil || len(leaves) != 10 {
		t.Fatal(len(leaves), err)
	}
	var indexes []uint64
	var ids []string
	for _, l := range leaves {
		indexes, ids = append(indexes, l.Index), append(ids, "'"+l.ID.String()+"'")
	}
	rec := sealtest.Events("acme", 999, 1)[0]
	rec.Name, rec.Body = event.NameAudit, ""
	rec.AuditAction, rec.AuditDetails = "subject.erase", seal.DeletionDetails(indexes)
	sealtest.Store(t, e, sealtest.Batch(13, rec))
	sealtest.Seal(t, w.dir, 13, 10)
	for _, i := range indexes {
		w.exec(t, "INSERT INTO mcpsiem.seal_deletions VALUES ('acme', ?, toUUID(?), now64(3))", i, rec.ID)
	}
	in := strings.Join(ids, ",")
	w.exec(t, "DELETE FROM mcpsiem.events WHERE event_id IN ("+in+")")
	if r := sealtest.Verify(t, w.dir, "acme"); r.OK || r.ProblemCount != 10 || r.Problems[0].What != seal.ProblemDeletion {
		t.Errorf("salts that stay are not named: %s", sealtest.Text(r))
	}
	w.exec(t, "DELETE FROM mcpsiem.seal_salts WHERE tenant = 'acme' AND leaf_index >= 20 AND leaf_index < 30")
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Deleted != 10 || r.Matched != 301 {
		t.Error(sealtest.Text(r))
	}
	// A deletion that is stretched over one more is not covered by its record.
	w.exec(t, "INSERT INTO mcpsiem.seal_deletions VALUES ('acme', 40, toUUID(?), now64(3))", rec.ID)
	if r := sealtest.Verify(t, w.dir, "acme"); r.OK || r.Deleted != 0 || r.ProblemCount != 11 {
		t.Error(sealtest.Text(r))
	}
}

// A folder that is older than what was signed is not signed on.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	old := t.TempDir()
	copyDir(t, w.dir, old)
	e := sealtest.Exporter(t)
	sealtest.Store(t, e, sealtest.Batch(13, sealtest.Events("acme", 301, 10)...))
	sealtest.Seal(t, w.dir, 13, 10)
	sealtest.Store(t, e, sealtest.Batch(14, sealtest.Events("acme", 311, 10)...))
	f := func(name string, dir string) {
		t.Helper()
		s := sealtest.Sealer(t, dir)
		defer s.Close()
		_, err := s.Open(context.Background())
		if err == nil {
			_, _, err = s.Step(context.Background(), seal.KindEvent, seal.Bound{Created: sealtest.Created, Floor: 14})
		}
		if !errors.Is(err, seal.ErrRollback) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("restored from a backup", old)
	damaged := t.TempDir()
	copyDir(t, w.dir, damaged)
	p := filepath.Join(damaged, "acme", "tile", "0", "000")
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	os.WriteFile(filepath.Join(damaged, "acme", "tile", "1", "000.p", "1"), make([]byte, 32), 0o600)
	f("tiles changed", damaged)
	os.Remove(filepath.Join(damaged, "seal.key"))
	f("another key", damaged)
	os.RemoveAll(filepath.Join(damaged, "acme"))
	f("log gone", damaged)
	if r := sealtest.Verify(t, old, "acme"); r.OK || r.Problems[0].What != seal.ProblemRollback {
		t.Error(sealtest.Text(r))
	}
	sealtest.Seal(t, w.dir, 14, 10) // the true one goes on
	if r := sealtest.Verify(t, w.dir, "acme"); !r.OK || r.Size != 330 {
		t.Error(sealtest.Text(r))
	}
	// Two sealers do not share a folder.
	a, b2 := sealtest.Sealer(t, w.dir), sealtest.Sealer(t, w.dir)
	if _, err := a.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := b2.Open(context.Background()); err == nil {
		t.Error("two sealers in one folder")
	}
	a.Close()
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
}

// An account without a look at system tables still verifies the rows, and says what it could not look at.
func TestVerifyWithoutSystemTables(t *testing.T) {
	w := newWorld(t)
	db := seal.NewDB(storetest.Config(chdb.UserPipeline))
	defer db.Close()
	r, err := seal.Verify(context.Background(), db, seal.VerifyOptions{Tenant: "acme", Dir: w.dir})
	if err != nil || !r.OK || r.Matched != 310 || r.NotChecked == "" {
		t.Error(err, sealtest.Text(r))
	}
}

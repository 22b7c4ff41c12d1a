package evidence

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

type killed struct{}

// attempt exports until the n-th point and says whether it came to the end. What a write that was cut off leaves is there afterwards, too.
func attempt(t *testing.T, o Options, n int, rnd *rand.Rand) (m *Manifest, finished bool) {
	t.Helper()
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	o.Crash = func(string) {
		if n--; n == 0 {
			panic(killed{})
		}
	}
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, ok := r.(killed); !ok {
			panic(r)
		}
		entries, _ := os.ReadDir(workDir(o.Out))
		for _, e := range entries {
			if f, err := os.OpenFile(filepath.Join(workDir(o.Out), e.Name()), os.O_WRONLY|os.O_APPEND, 0); err == nil && e.Name() != workState {
				torn := make([]byte, rnd.IntN(500))
				for i := range torn {
					torn[i] = byte(rnd.Uint32())
				}
				f.Write(torn)
				f.Close()
			}
		}
		_ = os.WriteFile(o.Out+".part", []byte("PK torn"), 0o600)
	}()
	m, err := Export(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, true
}

// However often an export is cut off, wherever, the bundle is the same, byte for byte, as that of one that was not.
func TestResume(t *testing.T) {
	dir := sealed(t)
	defer func(n uint64) { chunk = n }(chunk)
	chunk = 37
	o := options(t, dir, filepath.Join(t.TempDir(), "whole.zip"))
	export(t, o)
	want, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		c := o
		c.Out, c.Resume = filepath.Join(t.TempDir(), "a.zip"), true
		tries := 0
		for finished := false; !finished; tries++ {
			n := 1 + rnd.IntN(150)
			if tries > 40 {
				n = 0 // lives
			}
			if tries > 0 {
				c.Now, c.RecordID, c.ExportedBy = o.Now.Add(time.Hour), "later", "someone@else" // an export that goes on is the one that was begun
				if rnd.IntN(4) == 0 {
					sealtest.Seal(t, dir, 12, 10) // the log is looked at, and may have grown
				}
			}
			if _, begun := CutOff(c.Out); !begun { // nothing of it is left: it begins anew
				c.Now, c.RecordID, c.ExportedBy = o.Now, o.RecordID, o.ExportedBy
			}
			_, finished = attempt(t, c, n, rnd)
		}
		got, err := os.ReadFile(c.Out)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("seed %d, cut off %d times: the bundle differs (%v)", seed, tries-1, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(c.Out)); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
	}
}

func TestCutOff(t *testing.T) {
	dir := sealed(t)
	defer func(n uint64) { chunk = n }(chunk)
	chunk = 50
	rnd := rand.New(rand.NewPCG(1, 1))
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	if _, done := attempt(t, o, 120, rnd); done {
		t.Fatal("was not cut off")
	}
	db := seal.NewDB(storetest.Config(chdb.UserAdmin))
	defer db.Close()
	f := func(want string, edit func(*Options)) {
		t.Helper()
		c := o
		edit(&c)
		if _, err := Export(context.Background(), db, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("--resume", func(*Options) {})
	if _, err := Export(context.Background(), db, o); !errors.Is(err, ErrCutOff) {
		t.Error(err)
	}
	f("another tenant, period", func(o *Options) { o.Resume, o.To = true, o.To.Add(time.Second) })
	f("another version", func(o *Options) { o.Resume, o.Version = true, "2" })
	if id, ok := CutOff(o.Out); !ok || id != "r" {
		t.Error(id, ok)
	}
	path := filepath.Join(workDir(o.Out), workEventLeafs)
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	f("shorter than it was", func(o *Options) { o.Resume = true })
	if err := os.WriteFile(filepath.Join(workDir(o.Out), workState), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("damaged", func(o *Options) { o.Resume = true })
}

// The Parquet files have what the CSV files have.
func TestParquet(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	export(t, o)
	files := contents(t, o.Out)
	f := func(csvName, parquetName string, rows int) {
		t.Helper()
		want, err := csv.NewReader(bytes.NewReader(files[csvName])).ReadAll()
		if err != nil || len(want) != rows+1 {
			t.Fatal(len(want), err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(files[parquetName]), int64(len(files[parquetName])))
		if err != nil || file.NumRows() != int64(rows) {
			t.Fatal(err)
		}
		r := parquet.NewReader(file)
		defer r.Close()
		got := make([]parquet.Row, rows)
		if n, err := r.ReadRows(got); n != rows || err != nil && err != io.EOF {
			t.Fatalf("%s: %d rows, %v", parquetName, n, err)
		}
		for i, row := range want[1:] {
			for j, name := range want[0] {
				leaf, ok := file.Schema().Lookup(name)
				if !ok {
					t.Fatalf("%s has no column %s", parquetName, name)
				}
				have := got[i][leaf.ColumnIndex].String()
				if w := row[j]; have != w && !(w == "" && (have == "0" || have == "false")) {
					t.Fatalf("%s row %d %s: %q, want %q", parquetName, i, name, have, w)
				}
			}
		}
		if leaf, _ := file.Schema().Lookup("ts"); !strings.HasPrefix(leaf.Node.Type().String(), "TIMESTAMP") {
			t.Errorf("%s: ts is of type %s", parquetName, leaf.Node.Type())
		}
	}
	f(fileEventsCSV, fileEventsParquet, 200)
	f(fileFindCSV, fileFindParquet, 2)
}

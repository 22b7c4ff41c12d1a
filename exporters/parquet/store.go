// Files whose names say what is in them, so that a batch that comes again is recognised.

package parquet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	pq "github.com/parquet-go/parquet-go"
)

// place is where the records of one tenant and hour are: <dir>/<events|findings>/tenant=<tenant>/date=<day>/hour=<hour>.
type place struct {
	table  *table
	tenant string
	hour   int64 // since 1970
}

func (p place) path(dir string) string {
	at := time.Unix(p.hour*3600, 0).UTC()
	tenant := strings.ReplaceAll(url.PathEscape(p.tenant), ".", "%2E")
	if len(tenant) > 200 {
		tenant = tenant[:200]
	}
	return filepath.Join(dir, p.table.name, "tenant="+tenant, "date="+at.Format(time.DateOnly), "hour="+at.Format("15"))
}

const (
	suffix       = ".parquet"
	tmpPrefix    = ".tmp-"
	metaSequence = "mcpsiem.sequences" // stream sequences that the file has records of, each once, decimal, joined by commas
	metaVersion  = "mcpsiem.version"
)

// fileName says the least and greatest stream sequence in the file.
func fileName(first, last uint64) string { return fmt.Sprintf("%020d-%020d%s", first, last, suffix) }

func parseName(name string) (first, last uint64, ok bool) {
	a, b, ok := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	if !ok || !strings.HasSuffix(name, suffix) {
		return 0, 0, false
	}
	first, err1 := strconv.ParseUint(a, 10, 64)
	last, err2 := strconv.ParseUint(b, 10, 64)
	return first, last, err1 == nil && err2 == nil
}

// covered returns which of the sequences, in order, are in files of the folder already.
func covered(folder string, seqs []uint64) (map[uint64]bool, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[uint64]bool
	for _, e := range entries {
		first, last, ok := parseName(e.Name())
		if !ok || last < seqs[0] || first > seqs[len(seqs)-1] {
			continue
		}
		in, err := sequences(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, s := range seqs {
			if _, found := slices.BinarySearch(in, s); found {
				if out == nil {
					out = map[uint64]bool{}
				}
				out[s] = true
			}
		}
	}
	return out, nil
}

// sequences reads which stream sequences a file has records of.
func sequences(path string) ([]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := pq.OpenFile(f, st.Size(), pq.SkipPageIndex(true), pq.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%s is no Parquet file", path)
	}
	text, _ := file.Lookup(metaSequence)
	var out []uint64
	for _, s := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s was not written by mcpsiem", path)
		}
		out = append(out, n)
	}
	return out, nil
}

// write writes a file as a whole: when it is there under its name it is complete and on disk.
func write(folder string, t *table, seqs []uint64, rows []pq.Row) (int64, error) {
	if err := mkdirs(folder); err != nil {
		return 0, err
	}
	name := fileName(seqs[0], seqs[len(seqs)-1])
	tmp := filepath.Join(folder, tmpPrefix+name)
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text := make([]string, len(seqs))
	for i, s := range seqs {
		text[i] = strconv.FormatUint(s, 10)
	}
	w := pq.NewWriter(f, t.schema, pq.Compression(&pq.Zstd), pq.CreatedBy("mcpsiem", "1", ""),
		pq.KeyValueMetadata(metaSequence, strings.Join(text, ",")), pq.KeyValueMetadata(metaVersion, "1"))
	_, err = w.WriteRows(rows)
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = f.Sync()
	}
	var size int64
	if st, serr := f.Stat(); serr == nil {
		size = st.Size()
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(folder, name))
	}
	if err == nil {
		err = syncDir(folder)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return size, err
}

// mkdirs makes a folder so that it is there after a power failure.
func mkdirs(folder string) error {
	if st, err := os.Stat(folder); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(folder)
	if parent != folder {
		if err := mkdirs(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// sweep removes what a crash left unfinished.
func sweep(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), tmpPrefix) {
			return os.Remove(path)
		}
		return err
	})
}

// Files lists the finished files below a folder of this exporter that hold records of the kind, events or findings, with a time in the hours
// from from to to.
func Files(dir, table string, from, to time.Time) (out []string, err error) {
	root := filepath.Join(dir, table)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, _, ok := parseName(d.Name()); !ok {
			return nil
		}
		hour := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "hour=")
		day := strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(path))), "date=")
		at, err := time.Parse("2006-01-02 15", day+" "+hour)
		if err != nil {
			return nil
		}
		if at.Add(time.Hour).After(from) && at.Before(to) {
			out = append(out, path)
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return out, err
}

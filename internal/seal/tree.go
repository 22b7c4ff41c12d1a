// The tree on disk: C2SP tlog-tiles. A tile holds 256 hashes of one level out of eight; a full one never changes.

package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileWidth = 256
	tileBytes = tileWidth * HashSize
)

var ranges = &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// EmptyRoot is the root of a log without leaves.
var EmptyRoot = Hash(rfc6962.DefaultHasher.EmptyRoot())

// tilePath is where a tile lies below a log's folder; width 0 or 256 is the full one. https://c2sp.org/tlog-tiles
func tilePath(level int, n uint64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	s = "tile/" + strconv.Itoa(level) + "/" + s
	if width > 0 && width < tileWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// readTile returns the first width hashes of a tile, from the full one or from any partial one that has as many.
func readTile(dir string, level int, n uint64, width int) ([]byte, error) {
	for _, w := range []int{width, tileWidth} {
		b, err := os.ReadFile(filepath.Join(dir, tilePath(level, n, w)))
		if err == nil && len(b) >= width*HashSize {
			return b[:width*HashSize], nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read a tile: %w", err)
		}
	}
	entries, _ := os.ReadDir(filepath.Join(dir, tilePath(level, n, 0)+".p"))
	for _, e := range entries {
		if w, err := strconv.Atoi(e.Name()); err == nil && w > width {
			if b, err := os.ReadFile(filepath.Join(dir, tilePath(level, n, w))); err == nil && len(b) == w*HashSize {
				return b[:width*HashSize], nil
			}
		}
	}
	return nil, fmt.Errorf("cannot read tile %d of level %d: %w", n, level, fs.ErrNotExist)
}

// Tiles reads the hashes of a log of a size from its tiles. It is a tlog.HashReader. It trusts what it reads: check the root first. Not
// for concurrent use.
type Tiles struct {
	dir   string
	size  uint64
	cache map[[2]uint64][]byte
}

// NewTiles reads a log's folder up to size.
func NewTiles(dir string, size uint64) *Tiles {
	return &Tiles{dir: dir, size: size, cache: map[[2]uint64][]byte{}}
}

func (t *Tiles) tile(level int, n uint64) ([]byte, error) {
	key := [2]uint64{uint64(level), n}
	if b := t.cache[key]; b != nil {
		return b, nil
	}
	width := min(t.size>>(8*level)-n*tileWidth, tileWidth)
	b, err := readTile(t.dir, level, n, int(width))
	if err != nil {
		return nil, err
	}
	if len(t.cache) >= 512 { // 4 MB
		clear(t.cache)
	}
	t.cache[key] = b
	return b, nil
}

// node returns the hash of a complete subtree of 2^level leaves.
func (t *Tiles) node(level int, n uint64) (Hash, error) {
	if level > 56 || (n+1)<<level > t.size {
		return Hash{}, fmt.Errorf("cannot read a hash of the log: node %d of level %d is beyond size %d", n, level, t.size)
	}
	in := level % 8
	first := n << in // index of its first hash among those of the tile level
	b, err := t.tile(level/8, first/tileWidth)
	if err != nil {
		return Hash{}, err
	}
	b = b[first%tileWidth*HashSize:][:HashSize<<in]
	return subtree(b), nil
}

// subtree is the root over 2^k hashes.
func subtree(b []byte) Hash {
	if len(b) == HashSize {
		return Hash(b)
	}
	l, r := subtree(b[:len(b)/2]), subtree(b[len(b)/2:])
	return Hash(rfc6962.DefaultHasher.HashChildren(l[:], r[:]))
}

// ReadHashes implements tlog.HashReader.
func (t *Tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		h, err := t.node(level, uint64(n))
		if err != nil {
			return nil, err
		}
		out[i] = tlog.Hash(h)
	}
	return out, nil
}

// Leaf returns one leaf's hash.
func (t *Tiles) Leaf(index uint64) (Hash, error) { return t.node(0, index) }

// Range is the compact range over leaves [from, to): the roots of the complete subtrees that make it up.
func (t *Tiles) Range(from, to uint64) ([][]byte, error) {
	var out [][]byte
	for _, id := range compact.RangeNodes(from, to, nil) {
		h, err := t.node(int(id.Level), id.Index)
		if err != nil {
			return nil, err
		}
		out = append(out, h[:])
	}
	return out, nil
}

// Root computes the root from the tiles at the right edge.
func (t *Tiles) Root() (Hash, error) {
	if t.size == 0 {
		return EmptyRoot, nil
	}
	hashes, err := t.Range(0, t.size)
	if err != nil {
		return Hash{}, err
	}
	r, err := ranges.NewRange(0, t.size, hashes)
	if err != nil {
		return Hash{}, err
	}
	root, err := r.GetRootHash(nil)
	return Hash(root), err
}

// Check reads every tile of the log and compares each with the level above, so that a changed hash anywhere is found. It
// returns the first leaf below a tile that does not fit.
func (t *Tiles) Check() error {
	for level := 0; t.size>>(8*level) > 0; level++ {
		for n := uint64(0); n < t.size>>(8*(level+1)); n++ { // full tiles
			b, err := t.tile(level, n)
			if err != nil {
				return err
			}
			up, err := t.node(8*(level+1), n)
			if err != nil {
				return err
			}
			if subtree(b) != up {
				return fmt.Errorf("tile %s does not fit the level above: leaves %d to %d cannot be vouched for", tilePath(level, n, 0), n<<(8*(level+1)), (n+1)<<(8*(level+1))-1)
			}
		}
	}
	return nil
}

// Tree appends to a log's tiles. Not for concurrent use.
type Tree struct {
	dir     string
	rng     *compact.Range
	partial [][]byte // of each level, the tile that is not full
	full    []fullTile
}

type fullTile struct {
	level int
	n     uint64
	data  []byte
}

// OpenTree reads the right edge of the log of a size.
func OpenTree(dir string, size uint64) (*Tree, error) {
	t := &Tree{dir: dir, rng: ranges.NewEmptyRange(0)}
	if size == 0 {
		return t, nil
	}
	hashes, err := NewTiles(dir, size).Range(0, size)
	if err != nil {
		return nil, err
	}
	if t.rng, err = ranges.NewRange(0, size, hashes); err != nil {
		return nil, err
	}
	for level := 0; size>>(8*level) > 0; level++ {
		var b []byte
		if w := int(size >> (8 * level) % tileWidth); w > 0 {
			if b, err = readTile(dir, level, size>>(8*level)/tileWidth, w); err != nil {
				return nil, err
			}
		}
		t.partial = append(t.partial, append(make([]byte, 0, tileBytes), b...))
	}
	return t, nil
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 { return t.rng.End() }

// Root is the root of all leaves.
func (t *Tree) Root() (Hash, error) {
	if t.Size() == 0 {
		return EmptyRoot, nil
	}
	h, err := t.rng.GetRootHash(nil)
	return Hash(h), err
}

// Append adds a leaf, in memory.
func (t *Tree) Append(leaf Hash) error {
	return t.rng.Append(leaf[:], func(id compact.NodeID, hash []byte) {
		if id.Level%8 != 0 {
			return
		}
		level := int(id.Level / 8)
		for len(t.partial) <= level {
			t.partial = append(t.partial, make([]byte, 0, tileBytes))
		}
		t.partial[level] = append(t.partial[level], hash...)
		if len(t.partial[level]) == tileBytes {
			t.full = append(t.full, fullTile{level, id.Index / tileWidth, t.partial[level]})
			t.partial[level] = make([]byte, 0, tileBytes)
		}
	})
}

// Flush writes what was appended and returns when it is on disk. Tiles that were there stay as they are.
func (t *Tree) Flush() error {
	type tile struct {
		path string
		data []byte
	}
	var tiles []tile
	for _, f := range t.full {
		tiles = append(tiles, tile{tilePath(f.level, f.n, 0), f.data})
	}
	for level, b := range t.partial {
		if len(b) > 0 {
			tiles = append(tiles, tile{tilePath(level, t.Size()>>(8*level)/tileWidth, len(b)/HashSize), b})
		}
	}
	dirs := map[string]bool{}
	for i := range tiles {
		tiles[i].path = filepath.Join(t.dir, filepath.FromSlash(tiles[i].path))
		parent := filepath.Dir(tiles[i].path)
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return fmt.Errorf("cannot make a folder for tiles: %w", err)
		}
		for d := parent; len(d) >= len(t.dir) && !dirs[d]; d = filepath.Dir(d) { // new folders have to be there after a crash, too
			dirs[d] = true
		}
	}
	// Several at once: most of the time is waiting for the disk.
	var wg sync.WaitGroup
	errs := make([]error, min(8, len(tiles)))
	for w := range errs {
		wg.Go(func() {
			for i := w; i < len(tiles) && errs[w] == nil; i += len(errs) {
				errs[w] = writeFile(tiles[i].path, tiles[i].data)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// Tidy removes partial tiles that a full one has replaced. The caller has a durable checkpoint that covers the full ones.
func (t *Tree) Tidy() {
	for _, f := range t.full {
		_ = os.RemoveAll(filepath.Join(t.dir, tilePath(f.level, f.n, 0)+".p"))
	}
	t.full = nil
}

// writeFile replaces a file by one with data, which is on disk then; its name is once the folder is synced.
func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write to the log: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("cannot write to the log: %w", err)
	}
	return nil
}

// replaceFile is writeFile with the folder synced.
func replaceFile(path string, data []byte) error {
	if err := writeFile(path, data); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot sync a folder of the log: %w", err)
	}
	return nil
}

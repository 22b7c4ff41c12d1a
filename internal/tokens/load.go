package tokens

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Limits on a .tiktoken file, so that a wrong file is an error and not an exhausted machine.
const (
	maxFileSize = 64 << 20
	maxRank     = 1<<21 - 2 // pair table packs three 21-bit numbers into a word
	maxTokenLen = 4096
)

// ranks is a parsed .tiktoken file: tokens by rank.
type ranks struct {
	bytes []byte   // all tokens, in rank order
	start []uint32 // start[r]:start[r+1] is token r in bytes; empty where the rank is not used
}

func (r *ranks) token(id uint32) []byte { return r.bytes[r.start[id]:r.start[id+1]] }

// LoadFile reads a .tiktoken file: lines of a base64 token, a space and its rank. split says how text is cut before merging,
// which the file does not tell.
func LoadFile(name, path string, split Split) (*Encoding, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot load encoding %q: %w", name, err)
	}
	if st.Size() > maxFileSize {
		return nil, fmt.Errorf("cannot load encoding %q from %q: %d bytes, at most %d", name, path, st.Size(), maxFileSize)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot load encoding %q: %w", name, err)
	}
	return Load(name, data, split)
}

// Load makes an encoding from the content of a .tiktoken file. data is not retained.
func Load(name string, data []byte, split Split) (*Encoding, error) {
	return newEncoding(name, data, split)
}

// parseRanks reads the content of a .tiktoken file. Every single byte must be a token, since any text must have an encoding.
func parseRanks(data []byte) (*ranks, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxFileSize)
	}
	type entry struct{ rank, off, size uint32 }
	var (
		entries = make([]entry, 0, len(data)/16)
		blob    = make([]byte, 0, len(data)/2)
		buf     [base64MaxLen]byte
		sorted  = true
		line    int
	)
	for len(data) > 0 {
		line++
		row := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			row, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		row = bytes.TrimSuffix(row, []byte{'\r'})
		if len(row) == 0 {
			continue
		}
		sp := bytes.IndexByte(row, ' ')
		if sp <= 0 || sp > len(buf) {
			return nil, fmt.Errorf("line %d: want a base64 token of at most %d bytes, a space and a rank", line, maxTokenLen)
		}
		rank, err := strconv.ParseUint(string(row[sp+1:]), 10, 32)
		if err != nil || rank > maxRank {
			return nil, fmt.Errorf("line %d: the rank is not a number from 0 to %d", line, maxRank)
		}
		n, err := base64.StdEncoding.Decode(buf[:], row[:sp])
		if err != nil || n == 0 || n > maxTokenLen {
			return nil, fmt.Errorf("line %d: the token is not base64 of 1 to %d bytes", line, maxTokenLen)
		}
		if k := len(entries); k > 0 && entries[k-1].rank >= uint32(rank) {
			sorted = false
		}
		entries = append(entries, entry{uint32(rank), uint32(len(blob)), uint32(n)})
		blob = append(blob, buf[:n]...)
	}
	if len(entries) == 0 {
		return nil, errors.New("no tokens in it")
	}
	if !sorted {
		slices.SortFunc(entries, func(a, b entry) int { return int(a.rank) - int(b.rank) })
		ordered := make([]byte, 0, len(blob))
		for i := range entries {
			e := &entries[i]
			if i > 0 && entries[i-1].rank == e.rank {
				return nil, fmt.Errorf("rank %d is given twice", e.rank)
			}
			off := uint32(len(ordered))
			ordered = append(ordered, blob[e.off:e.off+e.size]...)
			e.off = off
		}
		blob = ordered
	}
	r := &ranks{bytes: slices.Clip(blob), start: make([]uint32, entries[len(entries)-1].rank+2)}
	next, single, singles := 0, [256]bool{}, 0
	for id := range r.start {
		if next < len(entries) {
			e := entries[next]
			r.start[id] = e.off
			if e.rank == uint32(id) {
				next++
				if c := blob[e.off]; e.size == 1 && !single[c] {
					single[c] = true
					singles++
				}
			}
		} else {
			r.start[id] = uint32(len(blob))
		}
	}
	if singles != 256 {
		return nil, fmt.Errorf("%d of the 256 single bytes are tokens; all must be", singles)
	}
	return r, nil
}

const base64MaxLen = (maxTokenLen + 2) / 3 * 4

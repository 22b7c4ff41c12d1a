//go:build unix

package tapio

import (
	"bytes"
	"strings"
	"testing"
)

// decodeIn decodes b in pieces of step bytes.
func decodeIn(header string, b []byte, step int) (out []byte, err error) {
	d, err := newDecoder(header, func(p []byte) { out = append(out, p...) })
	if err != nil || d == nil {
		return nil, err
	}
	for len(b) > 0 && err == nil {
		n := min(step, len(b))
		err = d.push(b[:n])
		b = b[n:]
	}
	if e := d.end(); err == nil {
		err = e
	}
	return out, err
}

// FuzzDecode asserts that hostile content neither panics nor depends on how it is cut.
func FuzzDecode(f *testing.F) {
	headers := []string{"gzip", "deflate", "br", "zstd", "gzip, br"}
	for i, e := range []string{"gzip", "deflate", "br", "zstd"} {
		all := strings.Join(compressed(f, e, "one", "two", strings.Repeat("three", 1000)), "")
		f.Add([]byte(all), uint8(i), 7)
		f.Add([]byte(all[:len(all)/2]), uint8(i), 1)
		f.Add([]byte(all+"more"), uint8(i), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8, step int) {
		h := headers[int(which)%len(headers)]
		whole, err := decodeIn(h, b, len(b)+1)
		pieces, perr := decodeIn(h, b, max(1, step))
		if err == nil && perr == nil && !bytes.Equal(whole, pieces) {
			t.Fatalf("%s: %d bytes whole, %d in pieces", h, len(whole), len(pieces))
		}
		if (err == nil) != (perr == nil) {
			t.Fatalf("%s: whole: %v, in pieces: %v", h, err, perr)
		}
	})
}

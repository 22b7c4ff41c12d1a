// Reading rows, and writing what became of them.
package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// maxRow is the length from which a row is malformed, bytes.
const maxRow = 64 << 20

// errRow says that a row is not what its file should hold. It is counted, never reported with content.
var errRow = errors.New("malformed row")

// lines calls f for every line of a file that is not empty, numbered from 1. raw is valid during the call. Rows for which f returns
// errRow or errUnreadable, and those that are too long, are counted; another error ends the reading.
func (r *runner) lines(file string, f func(n int64, raw []byte) error) error {
	h, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read labelled data: %w", err)
	}
	defer h.Close()
	in := bufio.NewReaderSize(h, 64<<10)
	var line []byte
	for n := int64(1); ; n++ {
		var long bool
		line, long, err = readLine(in, line[:0], maxRow)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot read labelled data: %w", err)
		}
		last := err != nil
		if raw := bytes.TrimSpace(line); long || len(raw) > 0 {
			if err := r.row(n, long, raw, f); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func (r *runner) row(n int64, long bool, raw []byte, f func(n int64, raw []byte) error) error {
	if err := r.step(); err != nil {
		return err
	}
	err := errRow
	if !long {
		err = f(n, raw)
	}
	if errors.Is(err, errRow) || errors.Is(err, errUnreadable) {
		r.bad(n)
		return nil
	}
	return err
}

// readLine appends the next line to buf, or passes over it if it is longer than limit. err is io.EOF at the end of the file.
func readLine(in *bufio.Reader, buf []byte, limit int) (line []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(buf)+len(part) > limit {
			long = true
			buf = buf[:0]
		}
		if !long {
			buf = append(buf, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, long, err
		}
	}
}

// elements calls f for every element of a JSON list in a file, as lines does for lines. What follows a place that is not JSON
// cannot be read and counts as one row.
func (r *runner) elements(file string, f func(n int64, raw []byte) error) error {
	h, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read labelled data: %w", err)
	}
	defer h.Close()
	in := bufio.NewReader(h)
	dec := json.NewDecoder(in)
	n := int64(1)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		r.bad(n)
		return nil
	}
	for ; dec.More(); n++ {
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			r.bad(n)
			return nil
		}
		if err := r.row(n, false, raw, f); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // cut off
		r.bad(n)
	}
	return nil
}

// decodeRow reads a row; the error does not quote it.
func decodeRow(raw []byte, v any) error {
	if json.Unmarshal(raw, v) != nil {
		return errRow
	}
	return nil
}

// isObject tells whether raw, which is JSON, is an object.
func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{'
}

// rowWriter writes what became of rows.
type rowWriter struct {
	w   *bufio.Writer
	enc *json.Encoder
}

// Row is a line of Options.Rows. Detectors and Severities go together; below Alert they do not make a hit.
type Row struct {
	ID         string   `json:"id"`
	Slice      string   `json:"slice"`
	Hit        bool     `json:"hit"`
	Detectors  []string `json:"detectors"`
	Severities []string `json:"severities"`
}

func newRowWriter(w io.Writer) *rowWriter {
	if w == nil {
		return &rowWriter{}
	}
	b := bufio.NewWriter(w)
	return &rowWriter{b, json.NewEncoder(b)}
}

func (w *rowWriter) write(id, slice string, hit bool, o outcome) error {
	if w.w == nil {
		return nil
	}
	row := Row{ID: id, Slice: slice, Hit: hit, Detectors: []string{}, Severities: []string{}}
	for _, d := range slices.Sorted(maps.Keys(o)) {
		row.Detectors = append(row.Detectors, d)
		row.Severities = append(row.Severities, o[d])
	}
	if err := w.enc.Encode(row); err != nil {
		return fmt.Errorf("cannot write rows: %w", err)
	}
	return nil
}

func (w *rowWriter) flush() error {
	if w.w == nil {
		return nil
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("cannot write rows: %w", err)
	}
	return nil
}

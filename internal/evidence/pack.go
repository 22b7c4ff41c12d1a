// Packing: what was collected becomes files of the bundle, as they will be in it. A step is packed into the work folder; when all steps are, the files are put together.

package evidence

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/seal"
)

// cells of events.csv and findings.csv.
var (
	eventCells   = []string{"ts", "event_id", "event_name", "principal_id", "principal_verified", "client_name", "server", "tool", "method", "kind", "outcome", "duration_ns", "data_classes", "capture", "audit_action"}
	findingCells = []string{"ts", "finding_id", "rule_id", "severity", "status", "triaged_by", "title", "principal_id", "server", "tool", "count", "revision"}
)

// packer writes batches to the work folder.
type packer struct {
	*exporter
	of         map[string]*outputs // by kind
	exceptions *csv.Writer
}

// outputs are what the rows of a kind are written to.
type outputs struct {
	lines, leaves *workFile
	csv           *workFile
	table         *table
	parts         *workFile // of the Parquet file
	n             *uint64   // rows
}

func newPacker(e *exporter) (*packer, error) {
	f := e.w.files
	p := &packer{exporter: e, exceptions: csv.NewWriter(f[workExceptions]), of: map[string]*outputs{
		seal.KindEvent:   {f[workEvents], f[workEventLeafs], f[workEventsCSV], newTable(eventCells), f[workEventParts], &e.Manifest.Events},
		seal.KindFinding: {f[workFindings], f[workFindLeafs], f[workFindCSV], newTable(findingCells), f[workFindParts], &e.Manifest.Findings},
	}}
	if e.Sizes != nil {
		return p, nil
	}
	err := p.exceptions.Write([]string{"leaf_index", "kind", "id", "state"})
	for kind, cells := range map[string][]string{seal.KindEvent: eventCells, seal.KindFinding: findingCells} {
		_, err2 := p.of[kind].csv.Write([]byte("leaf_index," + strings.Join(cells, ",") + "\n"))
		err = errors.Join(err, err2)
	}
	return p, workError(err)
}

// add packs a batch, and ends the step with its last one.
func (p *packer) add(b *batch) error {
	if b.end != nil {
		for _, l := range b.end.leaves {
			if err := p.extend(l.Index, p.w.files[workHashes]); err != nil {
				return err
			}
		}
		p.At = b.end.to
		p.crash("before step")
		if err := p.step(); err != nil {
			return err
		}
		p.crash("after step")
		return nil
	}
	rows := make([]*seal.Match, 0, len(b.matches))
	for i := range b.matches {
		m := &b.matches[i]
		h, err := p.tiles.Leaf(m.Index)
		if err != nil {
			return err
		}
		state := m.State
		if h != m.Hash {
			state = seal.Changed
		}
		if state == seal.Matched {
			rows = append(rows, m)
		} else if err := p.except(m, state, b.fates[m.Index]); err != nil {
			return err
		}
	}
	o := p.of[b.kind]
	for i, m := range rows {
		if n := *o.n + uint64(i); b.kind == seal.KindEvent && n%997 == 0 && len(p.Samples) < 12 {
			p.Samples = append(p.Samples, Sample{timeText(m.Time), m.ID.String(), m.Cells[3], m.Cells[6], m.Cells[7], m.Cells[10]})
		}
	}
	*o.n += uint64(len(rows))
	var csvErr, tableErr error
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { csvErr = o.addCSV(rows) })
	others.Go(func() { tableErr = o.addTable(rows) })
	var pair [8 + seal.SaltSize]byte
	for _, m := range rows {
		binary.BigEndian.PutUint64(pair[:], m.Index)
		copy(pair[8:], m.Salt[:])
		_, err := o.lines.Write(append(m.Canonical, '\n'))
		_, err2 := o.leaves.Write(pair[:])
		if err := errors.Join(err, err2); err != nil {
			return workError(err)
		}
		p.crash("row")
	}
	others.Wait()
	return workError(errors.Join(csvErr, tableErr))
}

// except notes a leaf whose row is not in the bundle.
func (p *packer) except(m *seal.Match, state seal.State, fate string) error {
	x := Exception{m.Index, m.Kind, m.ID.String(), stateName(state)}
	if fate != "" {
		x.State = fate
	}
	p.Manifest.Exceptions++
	if len(p.Bad) < 50 {
		p.Bad = append(p.Bad, x)
	}
	return workError(p.exceptions.Write([]string{strconv.FormatUint(x.Leaf, 10), x.Kind, x.ID, x.State}))
}

func stateName(s seal.State) string {
	return map[seal.State]string{seal.Absent: "missing", seal.Changed: "changed", seal.Reordered: "reordered", seal.Closed: "no salt"}[s]
}

// addCSV adds the main columns for spreadsheets, as encoding/csv writes them.
func (o *outputs) addCSV(rows []*seal.Match) error {
	var lines []byte
	for _, m := range rows {
		lines = strconv.AppendUint(lines, m.Index, 10)
		for _, c := range m.Cells {
			lines = appendCell(append(lines, ','), c)
		}
		if lines = append(lines, '\n'); len(lines) < 1<<16 {
			continue
		}
		if _, err := o.csv.Write(lines); err != nil {
			return err
		}
		lines = lines[:0]
	}
	_, err := o.csv.Write(lines)
	return err
}

// What characters of a cell can mean.
const (
	begins    = 1 << iota // a formula: the characters that one begins with, and the first byte of their wide forms
	separates             // cells, somewhere
	quoted                // a cell with it is in quotes
)

var meaning = [256]uint8{'=': begins, '+': begins, '@': begins, '-': begins, 0xef: begins,
	';': separates, '|': separates, '\t': separates, '\r': separates | quoted, '\n': separates | quoted, '"': quoted, ',': quoted}

func meanings(c string) (all uint8) {
	for i := range len(c) {
		all |= meaning[c[i]]
	}
	return all
}

// appendCell appends a cell, made safe, in quotes where it needs them.
func appendCell(dst []byte, c string) []byte {
	if c == "" {
		return dst
	}
	all := meanings(c)
	if word := c[0] >= '0' && c[0] <= '9' || c[0]|0x20 >= 'a' && c[0]|0x20 <= 'z'; all&begins != 0 && (!word || all&separates != 0) {
		c = safeCell(c)
		all = meanings(c)
	}
	if first, _ := utf8.DecodeRuneInString(c); all&quoted == 0 && c != `\.` && !unicode.IsSpace(first) {
		return append(dst, c...)
	}
	dst = append(dst, '"')
	for i := range len(c) {
		if c[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c[i])
	}
	return append(dst, '"')
}

// addTable adds them with types.
func (o *outputs) addTable(rows []*seal.Match) error {
	for _, m := range rows {
		if err := o.table.add(m.Index, m.Cells); err != nil {
			return err
		}
	}
	return nil
}

// step makes what was packed durable.
func (p *packer) step() error {
	p.exceptions.Flush()
	err := p.exceptions.Error()
	for _, o := range p.of {
		err = errors.Join(err, o.table.end(o.parts))
	}
	if err != nil {
		return workError(err)
	}
	return p.w.step(&p.progress)
}

// records puts what was packed into the bundle.
func (e *exporter) records() error {
	if err := e.gap(e.Next, e.cp.Size); err != nil {
		return err
	}
	for i, s := range e.Segments { // of the leaves
		if s.Roots == nil {
			if e.Manifest.LastLeaf == 0 {
				e.Manifest.FirstLeaf = e.Segments[i].From
			}
			e.Manifest.LastLeaf = s.To - 1
		}
	}
	e.summary.Samples, e.summary.Exceptions = e.Samples, e.Bad
	for _, x := range []struct{ name, from string }{{fileEvents, workEvents}, {fileEventLeafs, workEventLeafs}, {fileFindings, workFindings}, {fileFindLeafs, workFindLeafs},
		{fileEventsCSV, workEventsCSV}, {fileFindCSV, workFindCSV}, {fileExceptions, workExceptions}, {fileHashes, workHashes}} {
		f := e.w.files[x.from]
		var err error
		if f.member != nil {
			err = e.a.addDeflated(x.name, f.member, f.read(), f.size)
		} else {
			err = e.a.addReader(x.name, f.read())
		}
		if err != nil {
			return err
		}
	}
	for _, x := range []struct {
		name, from string
		cells      []string
	}{{fileEventsParquet, workEventParts, eventCells}, {fileFindParquet, workFindParts, findingCells}} {
		out, done, err := e.a.create(x.name)
		if err != nil {
			return err
		}
		if err := joinParts(out, x.cells, e.w.files[x.from].read()); err != nil {
			return err
		}
		done()
	}
	return nil
}

// extend adds a leaf to the segments, in the order of the log.
func (e *exporter) extend(index uint64, hashes io.Writer) error {
	if index < e.Next {
		return nil
	}
	last := len(e.Segments) - 1
	if last >= 0 && e.Segments[last].Roots == nil && index == e.Next {
		e.Segments[last].To = index + 1
	} else {
		if err := e.gap(e.Next, index); err != nil {
			return err
		}
		e.Segments = append(e.Segments, segment{From: index, To: index + 1})
		e.Next = index
	}
	for ; e.Next <= index; e.Next++ {
		h, err := e.tiles.Leaf(e.Next)
		if err != nil {
			return err
		}
		if _, err := hashes.Write(h[:]); err != nil {
			return workError(err)
		}
	}
	return nil
}

func (e *exporter) gap(from, to uint64) error {
	if from >= to {
		return nil
	}
	roots, err := e.tiles.Range(from, to)
	if err != nil {
		return err
	}
	s := segment{From: from, To: to}
	for _, r := range roots {
		s.Roots = append(s.Roots, base64.StdEncoding.EncodeToString(r))
	}
	e.Segments = append(e.Segments, s)
	return nil
}

// formula is what a spreadsheet could take for the beginning of a formula: at the beginning of a cell, or after what separates cells where the list separator is
// another one than the comma; also in the wide forms that East Asian versions read.
var formula = regexp.MustCompile(formulaSQL)

const formulaSQL = `(^|[;|\t\r\n])([\x00-\x08\x0b\x0c\x0e-\x20\x{a0}\x{feff}"']*[=+@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}-])`

// safeCell keeps a spreadsheet from taking what others wrote as a formula: an apostrophe comes before it.
func safeCell(c string) string {
	if _, err := strconv.ParseFloat(c, 64); err == nil {
		return c
	}
	return formula.ReplaceAllString(c, "$1'$2")
}

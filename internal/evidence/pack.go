// Packing: what was collected becomes files of the bundle.

package evidence

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// cells of events.csv and findings.csv.
var (
	eventCells   = []string{"ts", "event_id", "event_name", "principal_id", "principal_verified", "client_name", "server", "tool", "method", "kind", "outcome", "duration_ns", "data_classes", "capture", "audit_action"}
	findingCells = []string{"ts", "finding_id", "rule_id", "severity", "status", "triaged_by", "title", "principal_id", "server", "tool", "count", "revision"}
)

// records writes what rows has read to the bundle.
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
	for _, x := range []struct{ name, from string }{{fileEvents, workEvents}, {fileEventLeafs, workEventLeafs}, {fileFindings, workFindings}, {fileFindLeafs, workFindLeafs}} {
		if err := e.copy(x.name, x.from); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		csv, parquet, from string
		cells              []string
	}{{fileEventsCSV, fileEventsParquet, workEventCells, eventCells}, {fileFindCSV, fileFindParquet, workFindCells, findingCells}} {
		if err := e.cells(x.csv, x.parquet, x.from, x.cells); err != nil {
			return err
		}
	}
	if err := e.copy(fileExceptions, workExceptions); err != nil {
		return err
	}
	return e.copy(fileHashes, workHashes)
}

func (e *exporter) copy(name, from string) error {
	r, done, err := e.w.read(from)
	if err != nil {
		return err
	}
	defer done()
	return e.a.addReader(name, r)
}

// cells writes the main columns, as CSV for spreadsheets and as Parquet.
func (e *exporter) cells(csvName, parquetName, from string, names []string) error {
	each := func(f func(cells []string) error) error {
		r, done, err := e.w.read(from)
		if err != nil {
			return err
		}
		defer done()
		rd := bufio.NewReaderSize(r, 1<<18)
		cells := make([]string, len(names)+1)
		for {
			err := readCells(rd, cells)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := f(cells); err != nil {
				return err
			}
		}
	}
	out, done, err := e.a.create(csvName)
	if err != nil {
		return err
	}
	w := csv.NewWriter(out)
	_ = w.Write(append([]string{"leaf_index"}, names...))
	if err := each(func(cells []string) error { return w.Write(safeCells(cells)) }); err != nil {
		return err
	}
	if w.Flush(); w.Error() != nil {
		return fmt.Errorf("cannot write the bundle: %w", w.Error())
	}
	done()
	if out, done, err = e.a.create(parquetName); err != nil {
		return err
	}
	t := newTable(out, names)
	if err := each(t.add); err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return err
	}
	done()
	return nil
}

// formula is what a spreadsheet could take for the beginning of a formula: at the beginning of a cell, or after what separates cells where the list separator is
// another one than the comma; also in the wide forms that East Asian versions read.
var formula = regexp.MustCompile(formulaSQL)

const formulaSQL = `(^|[;|\t\r\n])([\x00-\x08\x0b\x0c\x0e-\x20\x{a0}\x{feff}"']*[=+@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}-])`

// safeCell keeps a spreadsheet from taking what others wrote as a formula: an apostrophe comes before it.
func safeCell(c string) string {
	if c == "" || (c[0] >= '0' && c[0] <= '9' || c[0]|0x20 >= 'a' && c[0]|0x20 <= 'z') && !strings.ContainsAny(c, ";|\t\r\n") {
		return c
	}
	if _, err := strconv.ParseFloat(c, 64); err == nil {
		return c
	}
	return formula.ReplaceAllString(c, "$1'$2")
}

func safeCells(cells []string) []string {
	for i, c := range cells {
		cells[i] = safeCell(c)
	}
	return cells
}

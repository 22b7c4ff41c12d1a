// Package eval measures detection on labelled data: it passes rows of a folder through the stages of the pipeline as they are
// (decode, identity, tokens, inspect, detectors, each with its defaults) and counts what the detectors raise.
//
// docs/detection-quality.md says how the folder is laid out and what each slice counts. Rows are judged each by itself: detectors
// start empty for every row, so that the order of rows and files changes nothing. Slices are never pooled. Nothing of the
// content of a row is in a report, in the rows written or in an error.
package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/detectors"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/distro"
)

// Alert is the least severity that counts as a hit.
const Alert = engine.Medium

// Options of Run.
type Options struct {
	Data     string                        // the folder
	Rows     io.Writer                     // takes a JSON line for every row judged; nil: none
	Progress func(file string, rows int64) // is called now and then; nil: never
	// Detectors are those that run; nil: all of the product.
	Detectors []engine.Definition
}

// Report is what Run measured.
type Report struct {
	Version   string      `json:"version"`
	Detectors []string    `json:"detectors"` // id and version of each that ran
	Alert     string      `json:"alert"`     // least severity of a hit
	Slices    []*Slice    `json:"slices"`
	Malformed []Malformed `json:"malformed"`         // rows that are not what their file should hold; not in any slice
	Missing   []string    `json:"missing,omitempty"` // files of the layout that are not there
	Events    int64       `json:"events"`            // messages that passed the pipeline
	Withheld  int64       `json:"withheld"`          // of those, not examined in full: what was in them may have been missed
	Panics    int64       `json:"panics"`            // faults of detectors; their findings are missing
	Seconds   float64     `json:"seconds"`
	index     map[string]*Slice
	malformed map[string]*Malformed
}

// Malformed counts the rows of a file that could not be used.
type Malformed struct {
	File  string `json:"file"`
	Rows  int64  `json:"rows"`
	First int64  `json:"first"` // line, or number in a list, of the first; 1 is the first of the file
}

// ErrNoData says that the folder holds no file of the layout.
var ErrNoData = errors.New("no labelled data there: expected files such as mcp/tool_result_malicious.jsonl (docs/detection-quality.md has the layout)")

// runner is a run of Run.
type runner struct {
	ctx    context.Context
	opt    Options
	pipe   *pipeline
	report *Report
	rows   *rowWriter
	done   int64
	shown  time.Time
	file   string // now being read, relative to the folder
}

// Run measures the detectors on the data. Rows that cannot be used are counted and passed over; a file that cannot be read, an
// output that cannot be written and a stage that fails are errors.
func Run(ctx context.Context, opt Options) (_ *Report, err error) {
	start := time.Now()
	if st, err := os.Stat(opt.Data); err != nil {
		return nil, fmt.Errorf("cannot read labelled data: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("cannot read labelled data: %s is not a folder", opt.Data)
	}
	if opt.Detectors == nil {
		opt.Detectors = detectors.All
	}
	r := &runner{ctx: ctx, opt: opt, rows: newRowWriter(opt.Rows)}
	r.report = &Report{Version: distro.VersionText(), Alert: Alert, index: map[string]*Slice{}, malformed: map[string]*Malformed{},
		Slices: []*Slice{}, Malformed: []Malformed{}}
	for _, d := range opt.Detectors {
		r.report.Detectors = append(r.report.Detectors, d.Spec.ID+" "+d.Spec.Version)
	}
	if r.pipe, err = newPipeline(ctx, opt.Detectors); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.pipe.close(context.WithoutCancel(ctx))) }()

	read := 0
	for _, s := range sources {
		files, err := filepath.Glob(filepath.Join(escape(opt.Data), s.glob))
		if err != nil {
			return nil, fmt.Errorf("cannot list labelled data: %w", err)
		}
		if len(files) == 0 {
			r.report.Missing = append(r.report.Missing, s.glob)
		}
		slices.Sort(files)
		for _, f := range files {
			r.file, _ = filepath.Rel(opt.Data, f)
			if err := s.read(r, f); err != nil {
				return nil, err
			}
			read++
		}
	}
	if read == 0 {
		return nil, ErrNoData
	}
	if err := r.rows.flush(); err != nil {
		return nil, err
	}
	rep := r.report
	for _, s := range rep.Slices {
		s.finish()
	}
	for _, f := range slices.Sorted(maps.Keys(rep.malformed)) {
		rep.Malformed = append(rep.Malformed, *rep.malformed[f])
	}
	rep.Events, rep.Withheld, rep.Panics = r.pipe.events, r.pipe.withheld, r.pipe.panics
	rep.Seconds = time.Since(start).Seconds()
	return rep, nil
}

// slice is the slice of that name, made when it is first asked for.
func (r *runner) slice(name, kind string) *Slice {
	s := r.report.index[name]
	if s == nil {
		s = &Slice{Slice: name, Kind: kind, BySubtype: map[string]*Count{}, ByDetector: map[string]int64{}, BySeverity: map[string]int64{}}
		r.report.index[name] = s
		r.report.Slices = append(r.report.Slices, s)
	}
	return s
}

// bad counts a row that cannot be used.
func (r *runner) bad(row int64) {
	m := r.report.malformed[r.file]
	if m == nil {
		m = &Malformed{File: r.file, First: row}
		r.report.malformed[r.file] = m
	}
	m.Rows++
}

// step is called for every row: it stops a run that was cancelled and shows progress.
func (r *runner) step() error {
	r.done++
	if r.done%64 == 0 {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if r.opt.Progress != nil && time.Since(r.shown) > 100*time.Millisecond {
			r.shown = time.Now()
			r.opt.Progress(r.file, r.done)
		}
	}
	return nil
}

// escape makes a folder's name stand for itself in a glob.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

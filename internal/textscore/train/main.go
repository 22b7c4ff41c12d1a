// Command train makes the weights of the text scorer from a folder of labelled data and from templates.
//
//	go run ./internal/textscore/train --data DIR --out internal/textscore/weights.bin
//
// It prints how well each source is scored by a model that has not seen it (rows are split by source, never by chance), chooses the
// thresholds by those figures, and then learns from everything. The same data and seed make the same file. Of the rows only hashed
// weights reach the file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/textscore"
)

// gain is how steeply scores rise about a threshold.
const gain = 0.8

// raised is the score from which definitions are raised by default (detectors/injection): thresholds are chosen for that, not for 0.5.
const raised = 0.6

type options struct {
	data          []string
	out           string
	seed          uint64
	rounds, synth int
	shrink        float64
	fpDef, fpData float64
	folds         int
}

func main() {
	var o options
	flag.Func("data", "folder of labelled data `DIR`; docs/detection-quality.md has its layout. Given again: folders that are only trained on and held out, for which harmless results are documents", func(dir string) error {
		o.data = append(o.data, dir)
		return nil
	})
	flag.StringVar(&o.out, "out", "", "write the weights to `FILE`")
	flag.Uint64Var(&o.seed, "seed", 1, "of order and templates")
	flag.IntVar(&o.rounds, "rounds", 6, "passes over the examples")
	flag.IntVar(&o.synth, "templates", 12000, "rows made from templates, of each kind")
	flag.Float64Var(&o.shrink, "shrink", 1e-6, "how fast weights without evidence shrink, per example")
	flag.Float64Var(&o.fpDef, "false-definitions", 0.0027, "share of harmless definitions that may pass the threshold")
	flag.Float64Var(&o.fpData, "false-data", 0.0015, "share of harmless texts that may pass the threshold")
	flag.IntVar(&o.folds, "folds", 6, "into how many parts sources are split; 0: no validation, thresholds as they come")
	flag.Parse()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options, w io.Writer) error {
	if len(o.data) == 0 {
		return errors.New("--data is missing: name the folder of labelled data")
	}
	var rows []*row
	for i, dir := range o.data {
		more, err := load(dir, i > 0)
		if err != nil {
			return err
		}
		if len(more) == 0 {
			return fmt.Errorf("cannot train: no labelled rows in %s", dir)
		}
		rows = append(rows, more...)
	}
	balance(rows)
	rows = append(rows, synthesize(o.synth, o.seed)...)
	split(rows, o.folds)
	var tables [2]*textscore.Table
	var thresholds [2][textscore.KindsOfText]float64
	for _, h := range []textscore.Head{textscore.InDefinition, textscore.InData} {
		mine := of(rows, h)
		held := make([]float64, len(mine))
		if o.folds > 0 {
			for f := range o.folds {
				t := fit(mine, func(r *row) bool { return r.fold != f }, o)
				for i, r := range mine {
					if r.fold == f {
						held[i] = logit(t, r)
					}
				}
			}
			limit := o.fpDef
			if h == textscore.InData {
				limit = o.fpData
			}
			thresholds[h] = threshold(mine, held, limit)
			fmt.Fprintf(w, "%s: thresholds %.3f; held out by source:\n", name(h), thresholds[h])
			table(w, mine, func(i int) bool { return held[i] >= thresholds[h][mine[i].around] })
		}
		tables[h] = fit(mine, func(*row) bool { return true }, o)
		fmt.Fprintf(w, "%s: learned from all rows:\n", name(h))
		table(w, mine, func(i int) bool { return logit(tables[h], mine[i]) >= thresholds[h][mine[i].around] })
	}
	trained := fmt.Sprintf("%d rows, seed %d, rounds %d, templates %d", len(rows), o.seed, o.rounds, o.synth)
	for k := range thresholds[textscore.InDefinition] {
		thresholds[textscore.InDefinition][k] -= math.Log(raised/(1-raised)) / gain
	}
	m := textscore.Assemble(tables, thresholds, [2]float64{gain, gain}, trained)
	if o.out == "" {
		return nil
	}
	if err := os.WriteFile(o.out, m.Append(nil), 0o644); err != nil {
		return fmt.Errorf("cannot write weights: %w", err)
	}
	return nil
}

func name(h textscore.Head) string {
	if h == textscore.InDefinition {
		return "definitions"
	}
	return "data"
}

func of(rows []*row, h textscore.Head) (out []*row) {
	for _, r := range rows {
		if r.head == h {
			out = append(out, r)
		}
	}
	return out
}

// split puts each source into one part. Sources of attacks go round, so that each part has some; synthetic rows are never held out.
func split(rows []*row, folds int) {
	if folds <= 0 {
		return
	}
	part := map[string]int{}
	var attacks []string
	for _, r := range rows {
		if r.bad && !r.synth && !slices.Contains(attacks, r.source) {
			attacks = append(attacks, r.source)
		}
	}
	sort.Strings(attacks)
	for i, s := range attacks {
		part[s] = i % folds
	}
	for _, r := range rows {
		switch p, ok := part[r.source]; {
		case r.synth:
			r.fold = -1
		case ok:
			r.fold = p
		default:
			r.fold = hash(r.source) % folds
		}
	}
}

// perSource is how many rows of attacks of one source count in full; those of a larger source share that.
const perSource = 400

// balance keeps large sources from being all that is learned.
func balance(rows []*row) {
	n := map[string]float64{}
	for _, r := range rows {
		if r.bad && !r.synth {
			n[r.source]++
		}
	}
	for _, r := range rows {
		if r.bad && !r.synth {
			r.weight *= min(1, perSource/n[r.source])
		}
	}
}

// fit learns from the rows that use chooses. Of attacks that do not say which of their sentences is one, the worst sentence is
// taken for it, as a first table sees it that was learned without them.
func fit(rows []*row, use func(*row) bool, o options) *textscore.Table {
	var unsure []*row
	var sure []*row
	for _, r := range rows {
		switch {
		case !use(r):
		case r.unsure:
			unsure = append(unsure, r)
		default:
			sure = append(sure, r)
		}
	}
	t := learn(sure, o)
	if len(unsure) == 0 {
		return t
	}
	for _, r := range unsure {
		best := logit(t, r)
		for i := range r.examples {
			z := t.Logit(&r.examples[i])
			r.isBad[i], r.skip[i] = z >= best, z < best
		}
	}
	return learn(append(sure, unsure...), o)
}

func learn(rows []*row, o options) *textscore.Table {
	var ex []textscore.Labelled
	bad, good := 0.0, 0.0
	for _, r := range rows {
		for i := range r.examples {
			if r.skip != nil && r.skip[i] {
				continue
			}
			ex = append(ex, textscore.Labelled{Example: &r.examples[i], Bad: r.isBad[i], Weight: r.weight})
			if r.isBad[i] {
				bad += r.weight
			} else {
				good += r.weight
			}
		}
	}
	if bad > 0 && good > bad { // half way to balance
		up := min(good/bad, 12)
		for i := range ex {
			if ex[i].Bad {
				ex[i].Weight *= up / 2
			}
		}
	}
	return textscore.Fit(ex, o.rounds, o.shrink, o.seed)
}

// logit is that of a row's worst sentence.
func logit(t *textscore.Table, r *row) float64 {
	best := -1e9
	for i := range r.examples {
		best = max(best, t.Logit(&r.examples[i]))
	}
	return best
}

// lenient are kinds of harmless rows that come from one source each, so that none of their kind is left when they are held out: texts
// that are nothing but a request, and letters in which customers ask for things; and descriptions of tools read as results, some
// of which do tell the model what to do.
var lenient = map[string]float64{"data/requests": 0.05, "data/prose": 0.05, "data/documentation": 0.004, "definitions/before": 1}

// threshold is for each kind of text what the share limit of its harmless rows reaches; of the lenient slices each by itself. Definitions
// are all of one kind.
func threshold(rows []*row, z []float64, limit float64) (out [textscore.KindsOfText]float64) {
	type key struct {
		around int
		slice  string
	}
	by := map[key][]float64{}
	for i, r := range rows {
		if r.bad || r.synth {
			continue
		}
		k := key{around: r.around}
		if r.head == textscore.InDefinition {
			k.around = 0
		}
		if lenient[r.slice] > 0 {
			k.slice = r.slice
		}
		by[k] = append(by[k], z[i])
	}
	for k := range out {
		out[k] = lowestThreshold
	}
	for s, list := range by {
		slices.Sort(list)
		list = slices.Compact(list) // the same sentence over and over is one
		may := limit
		if s.slice != "" {
			may = lenient[s.slice]
		}
		if k := max(int(float64(len(list))*may), min(1, len(list)/200)); k < len(list) {
			out[s.around] = max(out[s.around], list[len(list)-1-k]+0.01)
		}
	}
	if len(rows) > 0 && rows[0].head == textscore.InDefinition {
		for k := range out {
			out[k] = out[0]
		}
	}
	return out
}

// lowestThreshold is what no threshold is below, however few harmless rows of a kind there are to show it.
const lowestThreshold = 0

// table prints for each kind of rows, and each source of attacks, how many are hit.
func table(w io.Writer, rows []*row, hit func(i int) bool) {
	type count struct{ n, hits int }
	by := map[string]*count{}
	for i, r := range rows {
		keys := []string{r.slice}
		if (r.bad || r.slice == "data/documents") && !r.synth {
			keys = append(keys, r.slice+" "+r.source)
		}
		for _, k := range keys {
			if by[k] == nil {
				by[k] = &count{}
			}
			by[k].n++
			if hit(i) {
				by[k].hits++
			}
		}
	}
	for _, k := range sorted(by) {
		c := by[k]
		fmt.Fprintf(w, "  %-70s %6d %6d %6.2f %%\n", strings.TrimSpace(k), c.n, c.hits, 100*float64(c.hits)/float64(c.n))
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

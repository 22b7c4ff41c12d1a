package main

// Reading a folder of labelled data (docs/detection-quality.md has its layout) and making examples of it.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/textscore"
)

// row is a text or a definition: its examples share label and source, and it is hit when one of its bad examples is.
type row struct {
	head     textscore.Head
	slice    string
	source   string // what is held out together
	bad      bool
	fold     int
	weight   float64
	examples []textscore.Example
	isBad    []bool // of each example
	synth    bool
	text     string
	around   int    // kind of text
	unsure   bool   // which of its sentences are the attack is not known
	skip     []bool // of each example, where it is not to be learned from
}

// minText is how long a text must be, in bytes, to be scored: as in inspection.
const minText = 20

func lines(dir, name string, f func(raw []byte) error) error {
	file, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read training data: %w", err)
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 64<<20)
	for n := 1; sc.Scan(); n++ {
		if len(sc.Bytes()) == 0 {
			continue
		}
		if err := f(sc.Bytes()); err != nil {
			return fmt.Errorf("cannot read training data: %s line %d is not what its file should hold", name, n)
		}
	}
	return sc.Err()
}

// said is a string of a result; field says that it is one value of many.
type said struct {
	text  string
	field bool
}

// texts collects the strings of a JSON value as inspection sees them: JSON within a string is walked, too, and what it holds are fields.
func texts(v any, field bool, out []said) []said {
	switch x := v.(type) {
	case string:
		t := strings.TrimSpace(x)
		if len(t) > 1 && (t[0] == '{' || t[0] == '[') {
			var in any
			if json.Unmarshal([]byte(t), &in) == nil {
				return texts(in, true, out)
			}
		}
		if len(x) < minText || !strings.Contains(x, " ") {
			return out
		}
		return append(out, said{x, field})
	case []any:
		for _, e := range x {
			out = texts(e, field, out)
		}
	case map[string]any:
		for _, k := range sorted(x) {
			out = texts(x[k], field || k == "structuredContent", out)
		}
	}
	return out
}

func length(all []said) (n int) {
	for _, t := range all {
		n += len(t.text)
	}
	return n
}

// toolOf is a definition as it is scored.
func toolOf(raw json.RawMessage) (*textscore.Tool, string, error) {
	var d struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Schema      struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"inputSchema"`
		Schema2 struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"input_schema"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, "", err
	}
	t := &textscore.Tool{Name: []byte(d.Name)}
	var b strings.Builder
	b.WriteString(d.Description)
	b.WriteByte('\n')
	for _, props := range []map[string]json.RawMessage{d.Schema.Properties, d.Schema2.Properties} {
		for _, name := range sorted(props) {
			t.Names = append(t.Names, []byte(name))
			var p struct {
				Description string `json:"description"`
			}
			if json.Unmarshal(props[name], &p) == nil && p.Description != "" {
				b.WriteString(p.Description)
				b.WriteByte('\n')
			}
		}
	}
	t.Texts = []byte(b.String())
	return t, d.Description, nil
}

func hash(s string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return int(h.Sum32() >> 1)
}

// family is the first part of a source or subtype: the data set that it is from.
func family(s string) string {
	if i := strings.IndexAny(s, "/:"); i > 0 {
		return s[:i]
	}
	return s
}

// group is what is held out together: a data set, or, where one data set is of several worlds, one of those.
func group(subtype, source string) string {
	if f := family(subtype); f != "ASB" {
		return f
	}
	return source
}

// honestLines collects the sentences of definitions as they were before an attack changed them.
func honestLines(dir string, into map[string]bool) error {
	return lines(dir, "mcp/tool_drift_malicious.jsonl", func(raw []byte) error {
		var r struct {
			Before json.RawMessage `json:"before"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		t, _, err := toolOf(r.Before)
		if err != nil {
			return err
		}
		for _, e := range textscore.Examples(nil, false, t) {
			into[strings.TrimSpace(string(t.Texts[e.From:e.To]))] = true
		}
		return nil
	})
}

// load makes rows of a folder. more says that it is one that is only trained on.
func load(dir string, more bool) (rows []*row, err error) {
	add := func(r *row, ex []textscore.Example, bad func(textscore.Example) bool) {
		r.examples = ex
		for _, e := range ex {
			r.isBad = append(r.isBad, bad != nil && bad(e))
		}
		if len(ex) > 0 {
			r.around = ex[0].Around
		}
		rows = append(rows, r)
	}
	// Definitions whose text stands in the data under several labels say nothing by their text.
	seen := map[string]map[string]bool{}
	type listRow struct {
		Subtype    string `json:"subtype"`
		Visibility string `json:"visibility"`
		Source     string `json:"source"`
		Msg        struct {
			Result struct {
				Tools []json.RawMessage `json:"tools"`
			} `json:"result"`
		} `json:"msg"`
	}
	var lists []listRow
	err = lines(dir, "mcp/tools_list_malicious.jsonl", func(raw []byte) error {
		var r listRow
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		lists = append(lists, r)
		for _, t := range r.Msg.Result.Tools {
			_, d, err := toolOf(t)
			if err != nil {
				return err
			}
			if seen[d] == nil {
				seen[d] = map[string]bool{}
			}
			seen[d][r.Subtype] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	honest := map[string]bool{} // lines of definitions before they were poisoned
	if err := honestLines(dir, honest); err != nil {
		return nil, err
	}
	for _, r := range lists {
		if r.Visibility == "overt" {
			continue // learned from tool_drift_malicious, which says what was put in
		}
		for _, raw := range r.Msg.Result.Tools {
			t, d, err := toolOf(raw)
			if err != nil {
				return nil, err
			}
			if len(seen[d]) > 1 {
				continue
			}
			add(&row{head: textscore.InDefinition, slice: "definitions/subtle", source: group(r.Subtype, r.Source), bad: true, weight: 1}, textscore.Examples(nil, false, t), func(e textscore.Example) bool {
				return !honest[strings.TrimSpace(string(t.Texts[e.From:e.To]))]
			})
		}
	}
	err = lines(dir, "mcp/tool_drift_malicious.jsonl", func(raw []byte) error {
		var r struct {
			Subtype string          `json:"subtype"`
			B       json.RawMessage `json:"before"`
			A       json.RawMessage `json:"after"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		was, before, err := toolOf(r.B)
		if err != nil {
			return err
		}
		add(&row{head: textscore.InDefinition, slice: "definitions/before", source: group(r.Subtype, ""), weight: 0.2}, textscore.Examples(nil, false, was), nil)
		t, after, err := toolOf(r.A)
		if err != nil {
			return err
		}
		same := 0
		for same < len(before) && same < len(after) && before[same] == after[same] {
			same++
		}
		add(&row{head: textscore.InDefinition, slice: "definitions/overt", source: group(r.Subtype, ""), bad: true, weight: 0.5}, textscore.Examples(nil, false, t), func(e textscore.Example) bool { return e.To > same+2 && e.To <= len(after)+1 })
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(dir, "benign-tools/servers_dev.jsonl", func(raw []byte) error {
		var r struct {
			File  string            `json:"file"`
			Tools []json.RawMessage `json:"tools"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		for i, t := range r.Tools {
			tool, _, err := toolOf(t)
			if err != nil {
				return err
			}
			add(&row{head: textscore.InDefinition, slice: "definitions/benign", text: string(tool.Name) + ": " + string(tool.Texts), source: "server " + r.File, weight: 1}, textscore.Examples(nil, false, tool), nil)
			if i%4 == 0 { // documentation that a tool returns looks like this
				add(&row{head: textscore.InData, slice: "data/documentation", source: "server " + r.File, weight: 0.5}, textscore.Examples(tool.Texts, i%8 == 0, nil), nil)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(dir, "mcp/tool_result_malicious.jsonl", func(raw []byte) error {
		var r struct {
			Subtype    string         `json:"subtype"`
			Visibility string         `json:"visibility"`
			Injection  string         `json:"injection"`
			Msg        map[string]any `json:"msg"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		all := texts(r.Msg["result"], false, nil)
		fam := family(r.Subtype)
		if r.Injection == "" && length(all) > 600 || fam == "agentdojo" {
			return nil // what in it is the attack is not said
		}
		for _, said := range all {
			t := said.text
			from, to := 0, len(t)
			if r.Injection != "" {
				from = strings.Index(t, r.Injection)
				if from < 0 {
					q, _ := json.Marshal(r.Injection)
					r2 := string(q[1 : len(q)-1])
					if from = strings.Index(t, r2); from < 0 {
						continue
					}
					to = from + len(r2)
				} else {
					to = from + len(r.Injection)
				}
				if i := strings.Index(t[from:to], "```"); i > 0 { // the code itself orders nothing
					to = from + i
				}
			}
			x := &row{head: textscore.InData, slice: "data/" + r.Visibility, source: fam, bad: true, weight: 1}
			bad := func(e textscore.Example) bool {
				a, b := max(e.From, from), min(e.To, to)
				return b-a > 12 && 3*(b-a) > e.To-e.From
			}
			ex := textscore.Examples([]byte(t), said.field, nil)
			if x.unsure = more && len(ex) > 1; x.unsure {
				x.skip = make([]bool, len(ex))
			}
			add(x, ex, bad)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(dir, "mcp/tool_result_benign.jsonl", func(raw []byte) error {
		var r struct {
			Source string         `json:"source"`
			Msg    map[string]any `json:"msg"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		for _, t := range texts(r.Msg["result"], false, nil) {
			slice := "data/benign"
			if family(r.Source) == "notinject" {
				slice = "data/requests"
			}
			weight := 3.0
			if more {
				slice, weight = "data/documents", 0.5
			}
			add(&row{head: textscore.InData, slice: slice, source: r.Source, weight: weight}, textscore.Examples([]byte(t.text), t.field, nil), nil)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(dir, "mcp/sessions.jsonl", func(raw []byte) error {
		var r struct {
			Label  string           `json:"label"`
			Suite  string           `json:"suite"`
			Source string           `json:"source"`
			Events []map[string]any `json:"events"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		if r.Label != "benign" {
			return nil
		}
		for _, e := range r.Events {
			for _, t := range texts(e["result"], false, nil) {
				add(&row{head: textscore.InData, slice: "data/sessions", source: r.Source + " " + r.Suite, weight: 0.5}, textscore.Examples([]byte(t.text), t.field, nil), nil)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "pii/generated_large.json"))
	if err == nil {
		var list []struct {
			Text string `json:"full_text"`
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, errors.New("cannot read training data: pii/generated_large.json is not what it should be")
		}
		for i, x := range list {
			add(&row{head: textscore.InData, slice: "data/prose", source: "pii", weight: 0.5}, textscore.Examples([]byte(x.Text), i%2 == 0, nil), nil)
		}
	}
	return rows, nil
}

// synthesize makes rows from templates: n attacks of each head and as many harmless twins, in the same surroundings.
func synthesize(n int, seed uint64) (rows []*row) {
	r := rand.New(rand.NewPCG(seed, 11))
	for i := range 2 * n {
		rows = append(rows, synthData(r, i%2 == 0))
	}
	for i := range 2 * n {
		rows = append(rows, synthDefinition(r, i%2 == 0))
	}
	return slices.DeleteFunc(rows, func(x *row) bool { return len(x.examples) == 0 })
}

func synthData(r *rand.Rand, bad bool) *row {
	var sentence string
	loose := r.IntN(2) == 0
	switch {
	case bad:
		switch r.IntN(8) {
		case 0, 1, 2:
			sentence = requests.make(r, "s", 0)
			if !loose && r.IntN(3) > 0 { // inside a value people ask for things, too
				sentence = addressed.make(r, "s", 0)
			}
		case 3:
			sentence = errands.make(r, "s", 0)
			loose = true
		case 4, 5:
			sentence = orders.make(r, "s", 0)
		default:
			sentence = addressed.make(r, "s", 0)
		}
		sentence = spelled(r, sentence)
		if r.IntN(4) == 0 {
			sentence = headed(r, sentence)
		}
	case loose:
		sentence = hints.make(r, "s", 0)
	default:
		sentence = harmless.make(r, "s", 0)
		if r.IntN(3) == 0 {
			sentence += " " + harmless.make(r, "s", 0)
		}
	}
	var text string
	var from, to int
	if !loose && r.IntN(4) == 0 {
		text, to = sentence, len(sentence)
		if n := r.IntN(3); n > 0 {
			text = harmless.make(r, "s", 0) + " " + sentence
			from, to = len(text)-len(sentence), len(text)
		}
	} else {
		text, from, to = hosted(r, sentence, loose)
	}
	field := false
	if !loose && r.IntN(2) == 0 { // the value by itself, as inspection finds it in JSON
		text, from, to, field = text[from:to], 0, to-from, true
		if bad && r.IntN(2) == 0 {
			text = pick(r, plain) + " " + text
			from, to = len(text)-to, len(text)
		}
	}
	return labelled(&row{head: textscore.InData, slice: "data/synthetic", bad: bad}, textscore.Examples([]byte(text), field, nil), from, to)
}

func synthDefinition(r *rand.Rand, bad bool) *row {
	if r.IntN(6) == 0 {
		name, text := disguised.make(r, "honestname", 0), disguised.make(r, "honest", 0)
		if bad {
			name, text = disguised.make(r, "name", 0), disguised.make(r, "s", 0)
		}
		t := &textscore.Tool{Name: []byte(name), Texts: []byte(text + "\n")}
		return labelled(&row{head: textscore.InDefinition, slice: "definitions/synthetic", bad: bad}, textscore.Examples(nil, false, t), 0, len(text))
	}
	var parts []string
	for range r.IntN(4) {
		parts = append(parts, descriptions.make(r, "s", 0))
	}
	at := -1
	if bad {
		at = r.IntN(len(parts) + 1)
		var attack string
		switch r.IntN(8) {
		case 0, 1: // what is planted in data is planted in definitions, too
			attack = orders.make(r, "d", 0)
		case 2:
			attack = addressed.make(r, "s", 0)
		case 3, 4:
			attack = poison.make(r, "s", 0)
		default:
			attack = spoiled.make(r, "s", 0)
		}
		if r.IntN(5) == 0 {
			attack = headed(r, attack)
		}
		parts = slices.Insert(parts, at, spelled(r, attack))
	} else {
		parts = append(parts, descriptions.make(r, "s", 0))
	}
	sep := []string{"\n", " ", "\n\n", "\n"}[r.IntN(4)]
	from, to, text := 0, 0, ""
	for j, p := range parts {
		if j > 0 {
			text += sep
		}
		if j == at {
			from, to = len(text), len(text)+len(p)
		}
		text += p
	}
	t := &textscore.Tool{Name: []byte(descriptions.make(r, "toolname", 0)), Texts: []byte(text + "\n")}
	return labelled(&row{head: textscore.InDefinition, slice: "definitions/synthetic", bad: bad}, textscore.Examples(nil, false, t), from, to)
}

// labelled gives a synthetic row its examples; those within from and to are the attack.
func labelled(x *row, ex []textscore.Example, from, to int) *row {
	x.source, x.weight, x.synth, x.examples = "synthetic", 1, true, ex
	if len(ex) > 0 {
		x.around = ex[0].Around
	}
	for _, e := range ex {
		a, b := max(e.From, from), min(e.To, to)
		x.isBad = append(x.isBad, x.bad && b-a > 8 && 2*(b-a) > e.To-e.From)
	}
	return x
}

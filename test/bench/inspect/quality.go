package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/mcpsiem/mcpsiem/internal/inspect"
)

// What each finds on labelled data. Rows are read, never printed.

func measureQuality(dir string, ours *inspect.Session, leaks *detect.Detector) error {
	if err := piiQuality(dir, ours); err != nil {
		return err
	}
	return secretQuality(dir, ours, leaks)
}

// span is bytes from..to of a text.
type span struct{ from, to int }

// ruleFinder finds what the redaction processor replaces by one rule.
type ruleFinder struct {
	re *regexp.Regexp
	r  *redaction
}

func newRuleFinder(rule string) (*ruleFinder, error) {
	r, err := newRedaction(rule)
	return &ruleFinder{regexp.MustCompile(rule), r}, err
}

// find asks the processor; where the rule matches is only taken if that explains what the processor has made of the text.
func (f *ruleFinder) find(text string) ([]span, error) {
	if got := f.r.redact(text); got != f.re.ReplaceAllString(text, "****") {
		return nil, fmt.Errorf("cannot say what the redaction processor has replaced: its output is not that of its rule")
	}
	var out []span
	for _, m := range f.re.FindAllStringIndex(text, -1) {
		out = append(out, span{m[0], m[1]})
	}
	return out, nil
}

// piiType is a type of the data for which the redaction processor is given rules.
type piiType struct {
	label, class string
	rules        []string
}

// Rules as its users write them; the one for telephone numbers is of the form that is passed around most.
var piiTypes = []piiType{
	{"EMAIL_ADDRESS", "email", []string{ruleEmail}},
	{"CREDIT_CARD", "card", []string{ruleVisa, ruleMaster, ruleAmex}},
	{"PHONE_NUMBER", "phone", []string{`(?:\+?\d{1,3}[-. ]?)?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}`}},
}

type tally struct{ spans, hit, wrong int }

func (t *tally) add(gold, found []span) {
	for _, g := range gold {
		t.spans++
		covered := 0
		for _, x := range found {
			covered += max(0, min(g.to, x.to)-max(g.from, x.from))
		}
		if 2*covered >= g.to-g.from {
			t.hit++
		}
	}
	for _, x := range found {
		if !slices.ContainsFunc(gold, func(g span) bool { return g.from < x.to && x.from < g.to }) {
			t.wrong++
		}
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("%.3f | %.3f", ratio(t.hit, t.hit+t.wrong), ratio(t.hit, t.spans))
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func piiQuality(dir string, ours *inspect.Session) error {
	files, _ := filepath.Glob(filepath.Join(dir, "pii", "*.json"))
	if len(files) == 0 {
		fmt.Println("\nno data on personal data: pii/*.json")
		return nil
	}
	type row struct {
		Text  string `json:"full_text"`
		Spans []struct {
			Type  string `json:"entity_type"`
			Start int    `json:"start_position"` // of characters
			End   int    `json:"end_position"`
		} `json:"spans"`
	}
	fmt.Print("\nPersonal data: a span is found if half of it is covered, a find is right if it touches one\n\n| type | spans | mcpsiem precision | recall | redaction processor precision | recall |\n|---|---|---|---|---|---|\n")
	for _, t := range piiTypes {
		var finders []*ruleFinder
		for _, r := range t.rules {
			f, err := newRuleFinder(r)
			if err != nil {
				return err
			}
			finders = append(finders, f)
		}
		var a, b tally
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("cannot read %s: %w", file, err)
			}
			var rows []row
			if json.Unmarshal(raw, &rows) != nil {
				return fmt.Errorf("cannot read %s: it is not a list of texts with spans", file)
			}
			for _, r := range rows {
				var at []int
				for i := range r.Text {
					at = append(at, i)
				}
				at = append(at, len(r.Text))
				var gold, mine, theirs []span
				for _, s := range r.Spans {
					if s.Type == t.label && s.Start >= 0 && s.Start <= s.End && s.End < len(at) {
						gold = append(gold, span{at[s.Start], at[s.End]})
					}
				}
				for _, x := range ours.Find(r.Text) {
					if x.Class == t.class {
						mine = append(mine, span{x.Start, x.End})
					}
				}
				for _, f := range finders {
					found, err := f.find(r.Text)
					if err != nil {
						return err
					}
					theirs = append(theirs, found...)
				}
				a.add(gold, mine)
				b.add(gold, theirs)
			}
		}
		fmt.Printf("| %s | %d | %s | %s |\n", t.label, a.spans, &a, &b)
	}
	return nil
}

func secretClass(name string) bool { return slices.Contains(inspect.Tags(name), "secret") }

func secretQuality(dir string, ours *inspect.Session, leaks *detect.Detector) error {
	inText := func(s string) bool {
		return slices.ContainsFunc(ours.Find(s), func(f inspect.Found) bool { return secretClass(f.Class) })
	}
	inMessage := func(msg []byte) bool {
		return slices.ContainsFunc(ours.Inspect(&inspect.Input{Tenant: "default", Body: msg}).Classes, secretClass)
	}
	theirs := func(s string) bool { return len(leaks.DetectString(s)) > 0 }
	fmt.Print("\nSecrets: rows in which at least one is found\n\n| rows | of | mcpsiem | gitleaks |\n|---|---|---|---|\n")
	print := func(name string, n, a, b int) {
		if n > 0 {
			fmt.Printf("| %s | %d | %d (%.2f %%) | %d (%.2f %%) |\n", name, n, a, 100*ratio(a, n), b, 100*ratio(b, n))
		} else {
			fmt.Printf("| %s | 0 | not there | |\n", name)
		}
	}
	var n, a, b [3]int
	names := [3]string{"secrets: examples of every rule", "secrets: examples of rules of secrets", "secrets: negative examples, each of one rule alone"}
	count := func(k int, text string) {
		n[k]++
		if inText(text) {
			a[k]++
		}
		if theirs(text) {
			b[k]++
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "secrets", "*.jsonl"))
	for _, file := range files {
		if err := lines(file, func(raw []byte) error {
			var row struct {
				Categories []string `json:"categories"`
				Examples   []string `json:"examples"`
				Negative   []string `json:"negative_examples"`
			}
			if json.Unmarshal(raw, &row) != nil {
				return fmt.Errorf("cannot read %s: not rows of examples", file)
			}
			for _, x := range row.Examples {
				count(0, x)
				if slices.Contains(row.Categories, "secret") {
					count(1, x)
				}
			}
			for _, x := range row.Negative {
				count(2, x)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for k := range names {
		print(names[k], n[k], a[k], b[k])
	}
	for _, name := range []string{"mcp/tool_result_benign", "mcp/tool_args_benign", "mcp/tool_args_benign_shell", "benign-tools/servers_dev"} {
		var n, a, b int
		message := func(msg []byte) {
			n++
			if inMessage(msg) {
				a++
			}
			if theirs(string(msg)) {
				b++
			}
		}
		file := filepath.Join(dir, filepath.FromSlash(name)+".jsonl")
		if _, err := os.Stat(file); err == nil {
			if err := lines(file, func(raw []byte) error {
				var row struct {
					Msg   json.RawMessage   `json:"msg"`
					Tools []json.RawMessage `json:"tools"`
				}
				if json.Unmarshal(raw, &row) != nil {
					return fmt.Errorf("cannot read %s: not rows of messages or tools", file)
				}
				if row.Msg != nil {
					message(row.Msg)
				}
				for _, t := range row.Tools {
					message(slices.Concat([]byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`), t, []byte("]}}")))
				}
				return nil
			}); err != nil {
				return err
			}
		}
		print(strings.ReplaceAll(name, "_", " ")+" (benign)", n, a, b)
	}
	return nil
}

func lines(file string, f func([]byte) error) error {
	h, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read labelled data: %w", err)
	}
	defer h.Close()
	sc := bufio.NewScanner(h)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		if len(sc.Bytes()) > 0 {
			if err := f(sc.Bytes()); err != nil {
				return err
			}
		}
	}
	return sc.Err()
}

// Package eval measures inspection on labelled data: a folder with pii/*.json (texts with spans), secrets/*.jsonl (examples and negative
// examples of rules), mcp/*.jsonl (messages by label) and benign-tools/servers_dev.jsonl (servers with their tool definitions). What is
// not there is reported as such. Slices are never pooled.
package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/inspect"
)

// Score counts hits on one slice. Precision needs false hits, recall missed ones; a slice of benign rows has only false ones.
type Score struct {
	Slice, Name               string
	Hit, Missed, False, Total int
	Benign                    bool
	Examples                  []string // ids of rows that went wrong, never content
}

func (s Score) Precision() float64 { return ratio(s.Hit, s.Hit+s.False) }
func (s Score) Recall() float64    { return ratio(s.Hit, s.Hit+s.Missed) }
func (s Score) F1() float64 {
	p, r := s.Precision(), s.Recall()
	if p+r == 0 {
		return 0
	}
	return 2 * p * r / (p + r)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Report is what Run measured. Skipped lists slices whose files are not there.
type Report struct {
	Scores  []Score
	Skipped []string
}

// Write prints the report as tables.
func (r *Report) Write(w io.Writer) {
	fmt.Fprintf(w, "%-28s %-24s %6s %6s %6s %6s  %6s %6s %6s\n", "slice", "what", "rows", "hit", "missed", "false", "prec", "recall", "F1")
	for _, s := range r.Scores {
		if s.Benign {
			fmt.Fprintf(w, "%-28s %-24s %6d %6s %6s %6d  false positives %.3f %%\n", s.Slice, s.Name, s.Total, "", "", s.False, 100*ratio(s.False, s.Total))
			continue
		}
		fmt.Fprintf(w, "%-28s %-24s %6d %6d %6d %6d  %6.3f %6.3f %6.3f\n", s.Slice, s.Name, s.Total, s.Hit, s.Missed, s.False, s.Precision(), s.Recall(), s.F1())
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "%-28s not there\n", s)
	}
}

// Run measures e on the data in dir.
func Run(dir string, e *inspect.Engine) (*Report, error) {
	r := &Report{}
	s := e.Session()
	defer s.Close()
	for _, f := range []func(*Report, string, *inspect.Session) error{pii, secrets, benignSecrets, signals} {
		if err := f(r, dir, s); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// piiTypes are the types of the data that some class of ours is for.
var piiTypes = map[string][]string{
	"EMAIL_ADDRESS": {"email"}, "CREDIT_CARD": {"card"}, "PHONE_NUMBER": {"phone"}, "US_SSN": {"us_ssn"}, "IBAN_CODE": {"iban"}, "IP_ADDRESS": {"ip"},
	"PERSON": {"person"}, "ADDRESS": {"address"}, "DATE_TIME": {"birth_date"}, "US_DRIVER_LICENSE": {"driver_license"},
}

func pii(r *Report, dir string, s *inspect.Session) error {
	var rows []struct {
		Text  string `json:"full_text"`
		Spans []struct {
			Type  string `json:"entity_type"`
			Start int    `json:"start_position"`
			End   int    `json:"end_position"`
		} `json:"spans"`
	}
	files, _ := filepath.Glob(filepath.Join(dir, "pii", "*.json"))
	if len(files) == 0 {
		r.Skipped = append(r.Skipped, "pii")
		return nil
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", f, err)
		}
		if err := json.Unmarshal(raw, &rows); err != nil {
			return fmt.Errorf("cannot read %s: it is not a list of texts with spans", f)
		}
		scores := map[string]*Score{}
		for t := range piiTypes {
			scores[t] = &Score{Slice: "pii/" + strings.TrimSuffix(filepath.Base(f), ".json"), Name: t}
		}
		for _, row := range rows {
			offsets := runeOffsets(row.Text)
			found := s.Find(row.Text)
			for t, classes := range piiTypes {
				sc := scores[t]
				for _, g := range row.Spans {
					if g.Type != t {
						continue
					}
					sc.Total++
					from, to := offsets[g.Start], offsets[g.End]
					covered := 0
					for _, x := range found {
						if slices.Contains(classes, x.Class) {
							covered += max(0, min(to, x.End)-max(from, x.Start))
						}
					}
					if 2*covered >= to-from {
						sc.Hit++
					} else {
						sc.Missed++
					}
				}
				for _, x := range found {
					if !slices.Contains(classes, x.Class) {
						continue
					}
					ok := false
					for _, g := range row.Spans {
						if g.Type == t && offsets[g.Start] < x.End && x.Start < offsets[g.End] {
							ok = true
						}
					}
					if !ok {
						sc.False++
					}
				}
			}
		}
		names := make([]string, 0, len(scores))
		for n := range scores {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			r.Scores = append(r.Scores, *scores[n])
		}
	}
	return nil
}

// runeOffsets maps character positions to byte offsets.
func runeOffsets(s string) []int {
	out := make([]int, 0, len(s)+1)
	for i := range s {
		out = append(out, i)
	}
	return append(out, len(s))
}

func isSecret(found []inspect.Found) bool {
	for _, f := range found {
		if slices.Contains(inspect.Tags(f.Class), "secret") {
			return true
		}
	}
	return false
}

func secrets(r *Report, dir string, s *inspect.Session) error {
	files, _ := filepath.Glob(filepath.Join(dir, "secrets", "*.jsonl"))
	if len(files) == 0 {
		r.Skipped = append(r.Skipped, "secrets")
	}
	for _, f := range files {
		name := "secrets/" + strings.TrimSuffix(filepath.Base(f), ".jsonl")
		all, only, neg := Score{Slice: name, Name: "every rule"}, Score{Slice: name, Name: "rules of secrets"}, Score{Slice: name, Name: "negative", Benign: true}
		err := lines(f, func(raw []byte) error {
			var row struct {
				ID         string   `json:"id"`
				Categories []string `json:"categories"`
				Examples   []string `json:"examples"`
				Negative   []string `json:"negative_examples"`
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				return fmt.Errorf("cannot read %s: not rows of examples", f)
			}
			for i, x := range row.Examples {
				hit := isSecret(s.Find(x))
				scores := []*Score{&all}
				if slices.Contains(row.Categories, "secret") {
					scores = append(scores, &only)
				}
				for _, sc := range scores {
					sc.Total++
					if hit {
						sc.Hit++
					} else {
						sc.Missed++
						sc.Examples = append(sc.Examples, fmt.Sprintf("%s#%d", row.ID, i))
					}
				}
			}
			for i, x := range row.Negative {
				neg.Total++
				if isSecret(s.Find(x)) {
					neg.False++
					neg.Examples = append(neg.Examples, fmt.Sprintf("%s#%d", row.ID, i))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.Scores = append(r.Scores, all, only, neg)
	}
	return nil
}

// benignSecrets counts credentials found where there are none.
func benignSecrets(r *Report, dir string, s *inspect.Session) error {
	for _, name := range []string{"tool_result_benign", "tool_args_benign", "tool_args_benign_shell"} {
		f := filepath.Join(dir, "mcp", name+".jsonl")
		if _, err := os.Stat(f); err != nil {
			r.Skipped = append(r.Skipped, "mcp/"+name)
			continue
		}
		sc := Score{Slice: "mcp/" + name, Name: "secrets", Benign: true}
		if err := messages(f, func(id string, in *inspect.Input, _ map[string]any) error {
			sc.Total++
			if out := s.Inspect(in); secretClass(out.Classes) {
				sc.False++
				sc.Examples = append(sc.Examples, id+" "+strings.Join(out.Classes, ","))
			}
			return nil
		}); err != nil {
			return err
		}
		r.Scores = append(r.Scores, sc)
	}
	f := filepath.Join(dir, "benign-tools", "servers_dev.jsonl")
	if _, err := os.Stat(f); err != nil {
		r.Skipped = append(r.Skipped, "benign-tools")
		return nil
	}
	sc := Score{Slice: "benign-tools/servers_dev", Name: "secrets", Benign: true}
	err := tools(f, func(id string, in *inspect.Input) error {
		sc.Total++
		if out := s.Inspect(in); secretClass(out.Classes) {
			sc.False++
			sc.Examples = append(sc.Examples, id+" "+strings.Join(out.Classes, ","))
		}
		return nil
	})
	r.Scores = append(r.Scores, sc)
	return err
}

func secretClass(classes []string) bool {
	for _, c := range classes {
		if slices.Contains(inspect.Tags(c), "secret") {
			return true
		}
	}
	return false
}

// messages reads rows with a JSON-RPC message in msg.
func messages(file string, f func(id string, in *inspect.Input, row map[string]any) error) error {
	return lines(file, func(raw []byte) error {
		var row struct {
			ID  string          `json:"id"`
			Msg json.RawMessage `json:"msg"`
		}
		var all map[string]any
		if json.Unmarshal(raw, &row) != nil || json.Unmarshal(raw, &all) != nil {
			return fmt.Errorf("cannot read %s: not rows with a msg", file)
		}
		return f(row.ID, input(row.Msg), all)
	})
}

// input makes the input of a message as the pipeline would.
func input(msg []byte) *inspect.Input {
	in := &inspect.Input{Tenant: "default", Body: msg}
	var m struct {
		Method string `json:"method"`
		Params struct {
			Name string `json:"name"`
		} `json:"params"`
		Result map[string]json.RawMessage `json:"result"`
	}
	_ = json.Unmarshal(msg, &m)
	in.Method, in.Tool, in.Kind, in.Direction = m.Method, m.Params.Name, "request", "client_to_server"
	if m.Result != nil {
		in.Kind, in.Direction, in.Method = "response", "server_to_client", "tools/call"
		if _, ok := m.Result["tools"]; ok {
			in.Method = "tools/list"
		}
	}
	return in
}

// tools reads rows of servers and gives each tool definition as a tools/list result.
func tools(file string, f func(id string, in *inspect.Input) error) error {
	return lines(file, func(raw []byte) error {
		var row struct {
			File  string            `json:"file"`
			Tools []json.RawMessage `json:"tools"`
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			return fmt.Errorf("cannot read %s: not rows of servers", file)
		}
		for i, t := range row.Tools {
			if err := f(fmt.Sprintf("%s#%d", row.File, i), toolList(t)); err != nil {
				return err
			}
		}
		return nil
	})
}

func toolList(tools ...json.RawMessage) *inspect.Input {
	msg := []byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i, t := range tools {
		if i > 0 {
			msg = append(msg, ',')
		}
		msg = append(msg, t...)
	}
	return input(append(msg, "]}}"...))
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
		if len(sc.Bytes()) == 0 {
			continue
		}
		if err := f(sc.Bytes()); err != nil {
			return err
		}
	}
	return sc.Err()
}

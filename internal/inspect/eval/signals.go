package eval

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/inspect"
)

// Threshold is the score from which a signal counts as a hit here. Detectors choose their own.
const Threshold = 0.5

// injected is the largest of the signals that say that a text works on a model.
func injected(out inspect.Output) float64 {
	return max(out.Signals["injection"], out.Signals["hidden_text"]*0.9, out.Signals["preference"]*0.8)
}

func attacked(out inspect.Output) float64 {
	return max(out.Signals["shell_metachar"], out.Signals["path_traversal"], out.Signals["sql_injection"], out.Signals["ssrf"])
}

// signals measures the content signals alone, with one threshold: hits on attacks by subtype, false ones on benign rows.
func signals(r *Report, dir string, s *inspect.Session) error {
	attack := func(name, what string, score func(inspect.Output) float64) error {
		f := filepath.Join(dir, "mcp", name+".jsonl")
		if _, err := os.Stat(f); err != nil {
			r.Skipped = append(r.Skipped, "mcp/"+name)
			return nil
		}
		by := map[string]*Score{}
		var order []string
		err := messages(f, func(id string, in *inspect.Input, row map[string]any) error {
			kind, _ := row["visibility"].(string)
			if kind == "" {
				kind, _ = row["subtype"].(string)
			}
			sc := by[kind]
			if sc == nil {
				sc = &Score{Slice: "mcp/" + name, Name: what + " " + kind}
				by[kind] = sc
				order = append(order, kind)
			}
			sc.Total++
			hit := score(s.Inspect(in)) >= Threshold
			if inj, ok := row["injection"].(string); ok && hit { // paired: gone when the injected text is
				if cut, ok := without(in.Body, inj); ok {
					c := *in
					c.Body = cut
					hit = score(s.Inspect(&c)) < Threshold
				}
			}
			if hit {
				sc.Hit++
			} else {
				sc.Missed++
				sc.Examples = append(sc.Examples, id)
			}
			return nil
		})
		for _, k := range order {
			r.Scores = append(r.Scores, *by[k])
		}
		return err
	}
	benign := func(name, what string, score func(inspect.Output) float64) error {
		f := filepath.Join(dir, "mcp", name+".jsonl")
		if _, err := os.Stat(f); err != nil {
			return nil
		}
		sc := Score{Slice: "mcp/" + name, Name: what, Benign: true}
		err := messages(f, func(id string, in *inspect.Input, _ map[string]any) error {
			sc.Total++
			if score(s.Inspect(in)) >= Threshold {
				sc.False++
				sc.Examples = append(sc.Examples, id)
			}
			return nil
		})
		r.Scores = append(r.Scores, sc)
		return err
	}
	for _, err := range []error{
		attack("tools_list_malicious", "injection", injected), attack("tool_result_malicious", "injection", injected), attack("tool_args_malicious", "arguments", attacked),
		benign("tool_result_benign", "injection", injected), benign("tool_args_benign", "injection", injected), benign("tool_args_benign", "arguments", attacked), benign("tool_args_benign_shell", "arguments", attacked),
	} {
		if err != nil {
			return err
		}
	}
	f := filepath.Join(dir, "benign-tools", "servers_dev.jsonl")
	if _, err := os.Stat(f); err == nil {
		sc := Score{Slice: "benign-tools/servers_dev", Name: "injection", Benign: true}
		if err := tools(f, func(id string, in *inspect.Input) error {
			sc.Total++
			if injected(s.Inspect(in)) >= Threshold {
				sc.False++
				sc.Examples = append(sc.Examples, id)
			}
			return nil
		}); err != nil {
			return err
		}
		r.Scores = append(r.Scores, sc)
	}
	f = filepath.Join(dir, "mcp", "benign_text_with_trigger_words.json")
	raw, err := os.ReadFile(f)
	if err != nil {
		r.Skipped = append(r.Skipped, "mcp/benign_text_with_trigger_words")
		return nil
	}
	var rows []struct {
		Prompt string `json:"prompt"`
	}
	if json.Unmarshal(raw, &rows) != nil {
		return fmt.Errorf("cannot read %s: not a list of prompts", f)
	}
	sc := Score{Slice: "mcp/benign_text_trigger_words", Name: "injection", Benign: true}
	for i, row := range rows {
		text, _ := json.Marshal(row.Prompt)
		in := input([]byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":` + string(text) + `}]}}`))
		sc.Total++
		if injected(s.Inspect(in)) >= Threshold {
			sc.False++
			sc.Examples = append(sc.Examples, fmt.Sprint(i))
		}
	}
	r.Scores = append(r.Scores, sc)
	return nil
}

// without cuts a text out of the strings of a message.
func without(msg []byte, text string) ([]byte, bool) {
	q, err := json.Marshal(text)
	if err != nil {
		return nil, false
	}
	cut := strings.Replace(string(msg), string(q[1:len(q)-1]), "", 1)
	return []byte(cut), cut != string(msg)
}

// How each file of the layout becomes rows, and rows become messages.
package eval

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// source is a kind of file.
type source struct {
	glob string // under the folder, with slashes
	read func(r *runner, file string) error
}

// sources are read in this order. To add a kind of file, add a line and a slice to docs/detection-quality.md.
var sources = []source{
	{"mcp/tools_list_*.jsonl", messagesOf("tools/list")},
	{"mcp/tool_result_*.jsonl", messagesOf("tools/call")},
	{"mcp/tool_args_*.jsonl", messagesOf("")},
	{"mcp/tool_drift_*.jsonl", drift},
	{"mcp/benign_text_*.json", texts},
	{"mcp/sessions.jsonl", sessions},
	{"benign-tools/servers_*.jsonl", servers},
	{"benign-tools/hard_benign.jsonl", hardTools},
	{"secrets/*.jsonl", secrets},
	{"pii/*.json", pii},
	{"tau-bench/*_trajectories.jsonl", trajectories},
	{"tau-bench/few_shot_*.jsonl", displays},
}

// Who sends what rows do not say.
const (
	someServer = "server"
	someone    = "user"
)

// maxID is how much is kept of the id that a row gives itself, bytes.
const maxID = 160

// stem is a file's name without its ending.
func stem(file string) string {
	b := filepath.Base(file)
	return strings.TrimSuffix(b, filepath.Ext(b))
}

// name is the row's own id, or its place.
func (r *runner) name(id string, n int64) string {
	if id == "" || len(id) > maxID {
		return fmt.Sprintf("%s:%d", stem(r.file), n)
	}
	return id
}

// kindOf is what a hit on the row means: its label says so, else the name of its file.
func kindOf(file, label string) string {
	switch {
	case label == "benign":
		return KindBenign
	case label == "" && strings.Contains(stem(file), "benign"):
		return KindBenign
	}
	return KindAttack
}

// subtype is the row's own, else where it comes from.
func subtype(own, from string) string {
	if own != "" {
		return own
	}
	if i := strings.IndexAny(from, "/:"); i >= 0 {
		return from[:i]
	}
	return from
}

// messagesOf reads rows of one message each. method is that of the request that the messages answer; empty for requests.
func messagesOf(method string) func(*runner, string) error {
	return func(r *runner, file string) error {
		return r.lines(file, func(n int64, raw []byte) error {
			var row struct {
				ID         string          `json:"id"`
				Label      string          `json:"label"`
				Subtype    string          `json:"subtype"`
				Visibility string          `json:"visibility"`
				Source     string          `json:"source"`
				Injection  string          `json:"injection"`
				Msg        json.RawMessage `json:"msg"`
			}
			if err := decodeRow(raw, &row); err != nil {
				return err
			}
			if !isObject(row.Msg) {
				return errRow
			}
			place := fmt.Sprintf("%s:%d", r.file, n)
			one := func(msg []byte) (outcome, error) {
				o, err := r.pipe.judge(place, []message{{raw: msg, server: someServer, client: someone, method: method}})
				if err != nil {
					return nil, err
				}
				return o[0], nil
			}
			with, err := one(row.Msg)
			if err != nil {
				return err
			}
			kind := kindOf(file, row.Label)
			name := stem(file)
			if row.Visibility != "" {
				name += "/" + row.Visibility
			}
			var bare outcome
			unpaired := false
			if kind == KindAttack && strings.HasPrefix(stem(file), "tool_result_") {
				rest, ok := without(row.Msg, row.Injection)
				if unpaired = !ok; ok && with.hit() {
					if bare, err = one(rest); err != nil {
						return err
					}
				}
			}
			s := r.slice(name, kind)
			if unpaired {
				s.Unpaired++
			}
			hit := s.scorePair(subtype(row.Subtype, row.Source), with, bare)
			return r.rows.write(r.name(row.ID, n), name, hit, with)
		})
	}
}

// drift reads rows of a tool definition and its successor: a list with the one, and an hour later a list with the other.
func drift(r *runner, file string) error {
	return r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			ID      string          `json:"id"`
			Label   string          `json:"label"`
			Subtype string          `json:"subtype"`
			Source  string          `json:"source"`
			Before  json.RawMessage `json:"before"`
			After   json.RawMessage `json:"after"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if !isObject(row.Before) || !isObject(row.After) {
			return errRow
		}
		o, err := r.pipe.judge(fmt.Sprintf("%s:%d", r.file, n),
			[]message{list(someServer, 0, row.Before)}, []message{list(someServer, time.Hour, row.After)})
		if err != nil {
			return err
		}
		name := stem(file)
		hit := r.slice(name, kindOf(file, row.Label)).scorePair(subtype(row.Subtype, row.Source), o[1], o[0])
		return r.rows.write(r.name(row.ID, n), name, hit, o[1])
	})
}

// list is an answer to tools/list.
func list(server string, at time.Duration, tools ...json.RawMessage) message {
	raw := []byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i, t := range tools {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, t...)
	}
	return message{raw: append(raw, "]}}"...), server: server, client: someone, method: "tools/list", at: at}
}

// text is a tool's result that is one text.
func text(s string) message {
	return message{raw: []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + quoted(s) + `"}]}}`), server: someServer, client: someone, method: "tools/call"}
}

// texts reads harmless texts; each comes as the result of a tool.
func texts(r *runner, file string) error {
	return r.elements(file, func(n int64, raw []byte) error {
		var row struct {
			Prompt   *string `json:"prompt"`
			Category string  `json:"category"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Prompt == nil {
			return errRow
		}
		return r.single(stem(file), KindBenign, row.Category, r.name("", n), text(*row.Prompt))
	})
}

// single judges a row of one message.
func (r *runner) single(slice, kind, sub, id string, m message) error {
	o, err := r.pipe.judge(slice+"\x00"+id, []message{m})
	if err != nil {
		return err
	}
	hit := r.slice(slice, kind).score(sub, o[0])
	return r.rows.write(id, slice, hit, o[0])
}

// sessions reads whole sessions. An attacked session that shows the agent the attack is exposed, one in which the agent obeyed
// succeeded; those are not exclusive. One that was prepared and in which the agent met nothing is unexposed: a hit there is wrong.
func sessions(r *runner, file string) error {
	return r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			ID        string                       `json:"id"`
			Source    string                       `json:"source"`
			Suite     string                       `json:"suite"`
			Label     string                       `json:"label"`
			Exposed   bool                         `json:"injection_exposed"`
			Succeeded bool                         `json:"attack_succeeded"`
			Events    []map[string]json.RawMessage `json:"events"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Label == "" || row.Events == nil {
			return errRow
		}
		server := subtype(row.Suite, row.Source)
		var group []message
		for i, e := range row.Events {
			for k := range e {
				if strings.HasPrefix(k, "_") { // labels, which no capture has
					delete(e, k)
				}
			}
			b, err := json.Marshal(e)
			if err != nil {
				return errRow
			}
			group = append(group, message{raw: b, server: server, client: someone, at: time.Duration(i) * time.Second})
		}
		o, err := r.pipe.judge(fmt.Sprintf("%s:%d", r.file, n), group)
		if err != nil {
			return err
		}
		var names []string
		kind := KindAttack
		switch {
		case row.Label == "benign":
			names, kind = []string{"benign"}, KindBenign
		case !row.Exposed && !row.Succeeded:
			names, kind = []string{"unexposed"}, KindBenign
		}
		if kind == KindAttack && row.Exposed {
			names = append(names, "exposed")
		}
		if kind == KindAttack && row.Succeeded {
			names = append(names, "succeeded")
		}
		for _, name := range names {
			name = "sessions/" + name
			hit := r.slice(name, kind).score(server, o[0])
			if err := r.rows.write(r.name(row.ID, n), name, hit, o[0]); err != nil {
				return err
			}
		}
		return nil
	})
}

// servers reads real servers. Each definition is judged in a list by itself, and each server's list as a whole.
func servers(r *runner, file string) error {
	return r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			File   string            `json:"file"`
			Server string            `json:"server"`
			Tools  []json.RawMessage `json:"tools"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Tools == nil {
			return errRow
		}
		defs := make([]json.RawMessage, len(row.Tools))
		for i, t := range row.Tools {
			d, err := definition(t)
			if err != nil {
				return err
			}
			defs[i] = d
		}
		server := row.Server
		if server == "" {
			server = someServer
		}
		id := r.name(row.File, n)
		for i, d := range defs {
			if err := r.single("benign_tools", KindBenign, "", fmt.Sprintf("%s#%d", id, i), list(server, 0, d)); err != nil {
				return err
			}
		}
		if len(defs) == 0 {
			return nil
		}
		return r.single("benign_tools/lists", KindBenign, "", id, list(server, 0, defs...))
	})
}

// definition is a crawler's record of a tool as its server would list it: the schema of arguments is inputSchema.
func definition(raw json.RawMessage) (json.RawMessage, error) {
	var t map[string]json.RawMessage
	if err := decodeRow(raw, &t); err != nil {
		return nil, err
	}
	if _, ok := t["name"]; !ok {
		return nil, errRow
	}
	if _, ok := t["inputSchema"]; !ok {
		switch {
		case isObject(t["input_schema"]):
			t["inputSchema"] = t["input_schema"]
			delete(t, "input_schema")
		case len(t["parameters"]) > 0:
			if s, ok := schemaOf(t["parameters"]); ok {
				t["inputSchema"] = s
				delete(t, "parameters")
			}
		}
	}
	return json.Marshal(t)
}

// schemaOf makes a JSON Schema of a list of named parameters.
func schemaOf(raw json.RawMessage) (json.RawMessage, bool) {
	if isObject(raw) {
		return raw, true
	}
	var params []map[string]json.RawMessage
	if json.Unmarshal(raw, &params) != nil {
		return nil, false
	}
	props := map[string]map[string]json.RawMessage{}
	required := []string{}
	for _, p := range params {
		var name string
		if json.Unmarshal(p["name"], &name) != nil {
			return nil, false
		}
		if string(p["required"]) == "true" {
			required = append(required, name)
		}
		delete(p, "name")
		delete(p, "required")
		props[name] = p
	}
	s, err := json.Marshal(map[string]any{"type": "object", "properties": props, "required": required})
	return s, err == nil
}

// hardTools reads real definitions that other scanners flag.
func hardTools(r *runner, file string) error {
	return r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			ID          string `json:"id"`
			Server      string `json:"server"`
			Tool        string `json:"tool"`
			Description string `json:"description"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Tool == "" {
			return errRow
		}
		d := []byte(`{"name":"` + quoted(row.Tool) + `","description":"` + quoted(row.Description) + `"}`)
		return r.single("benign_tools/hard", KindBenign, "", r.name(row.ID, n), list(row.Server, 0, d))
	})
}

// secrets reads examples of rules for secrets, and texts that look like them but are none. Each comes as the result of a tool.
func secrets(r *runner, file string) error {
	return r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			ID         string   `json:"id"`
			Categories []string `json:"categories"`
			Examples   []string `json:"examples"`
			Negative   []string `json:"negative_examples"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Examples == nil && row.Negative == nil {
			return errRow
		}
		sub := "other"
		if slices.Contains(row.Categories, "secret") {
			sub = "secret"
		}
		id := r.name(row.ID, n)
		for i, x := range row.Examples {
			if err := r.single("secrets/positive", KindAttack, sub, fmt.Sprintf("%s#%d", id, i), text(x)); err != nil {
				return err
			}
		}
		for i, x := range row.Negative {
			if err := r.single("secrets/negative", KindBenign, sub, fmt.Sprintf("%s#negative%d", id, i), text(x)); err != nil {
				return err
			}
		}
		return nil
	})
}

package mcpconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Options say which servers are wrapped, and how.
type Options struct {
	Tap   string   // path of mcptap
	Flags []string // further flags of mcptap stdio, for every server
	// Only names the servers to treat; nil means all. Except names those to leave alone.
	Only, Except []string
	// Credential says whether a variable of a server's env holds a credential in plain text; the tap is told the names of those that do.
	// Nil means none.
	Credential func(name, value string) bool
}

// What Wrap or Unwrap did with a server.
const (
	Wrapped   = "wrapped"
	Unwrapped = "unwrapped"
	Already   = "already wrapped"
	Left      = "not wrapped"
)

// Server is one server of a configuration and what became of it.
type Server struct {
	Name   string
	Where  string // path of the object that holds it, e.g. mcpServers
	Action string
	Reason string // why it was left
}

// edit replaces src[start:end].
type edit struct {
	start, end int
	with       string
}

func apply(src []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, src[at:e.start]...), e.with...)
		at = e.end
	}
	return append(out, src[at:]...)
}

// entry is a server in the tree.
type entry struct {
	where string
	name  member
	value *node
}

// servers finds the servers of every shape of configuration: mcpServers (Claude Desktop, Claude Code, Cursor and most others),
// projects.*.mcpServers (Claude Code), servers (VS Code's mcp.json), mcp.servers (VS Code's settings.json). Where a key stands
// twice, both are taken, since clients differ in which they read.
func servers(root *node) (list []entry) {
	add := func(where string, n *node) {
		if n.kind != object {
			return
		}
		for _, m := range n.members {
			if m.value.kind == object {
				list = append(list, entry{where, m, m.value})
			}
		}
	}
	each := func(n *node, name string, f func(*node)) {
		if n.kind != object {
			return
		}
		for _, m := range n.members {
			if m.name == name {
				f(m.value)
			}
		}
	}
	each(root, "mcpServers", func(n *node) { add("mcpServers", n) })
	each(root, "projects", func(n *node) {
		if n.kind != object {
			return
		}
		for _, m := range n.members {
			each(m.value, "mcpServers", func(s *node) { add("projects["+m.name+"].mcpServers", s) })
		}
	})
	each(root, "servers", func(n *node) { add("servers", n) })
	each(root, "mcp", func(n *node) {
		each(n, "servers", func(s *node) { add("mcp.servers", s) })
	})
	each(root, "mcp.servers", func(n *node) { add("mcp.servers", n) })
	return list
}

func (o Options) takes(name string) bool {
	return (o.Only == nil || slices.Contains(o.Only, name)) && !slices.Contains(o.Except, name)
}

// Marks in the arguments of a wrapped server that say what its own entry lacked.
const noArgs = "--no-args"

// quote writes s as JSON.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// Wrap makes every stdio server run under the tap. What is not a server's command or arguments stays as it is, byte for byte.
// It does nothing to a server that is wrapped already.
func Wrap(src []byte, o Options) ([]byte, []Server, error) {
	root, _, err := parse(src)
	if err != nil {
		return nil, nil, err
	}
	var edits []edit
	var done []Server
	for _, e := range servers(root) {
		s := Server{Name: e.name.name, Where: e.where, Action: Left}
		if !o.takes(s.Name) {
			s.Reason = "not asked for"
		} else if w := unwrapping(src, e.value); w != nil {
			s.Action = Already
		} else if es, reason := wrapping(src, e, o); reason != "" {
			s.Reason = reason
		} else {
			s.Action = Wrapped
			edits = append(edits, es...)
		}
		done = append(done, s)
	}
	return apply(src, edits), done, nil
}

// wrapping gives the edits that wrap a server, or why it cannot be.
func wrapping(src []byte, e entry, o Options) ([]edit, string) {
	command, args := e.value.get("command"), e.value.get("args")
	switch {
	case command == nil && (e.value.get("url") != nil || e.value.get("serverUrl") != nil || e.value.get("httpUrl") != nil):
		return nil, "it is reached over HTTP: run mcptap http --upstream URL --name NAME and point its URL there"
	case command == nil:
		return nil, "it has no command"
	case command.kind != text:
		return nil, "its command is not a string"
	case e.value.count("command") > 1 || e.value.count("args") > 1:
		return nil, "its command or args stand there twice"
	case args != nil && args.kind != array:
		return nil, "its args are not a list"
	}
	if args != nil {
		for _, a := range args.items {
			if a.kind != text {
				return nil, "its args are not all strings"
			}
		}
	}
	before := []string{`"stdio"`, `"--name"`, string(src[e.name.keyStart:e.name.keyEnd])}
	for _, f := range o.Flags {
		before = append(before, quote(f))
	}
	for _, name := range configured(src, e.value.get("env"), o) {
		before = append(before, quote("--configured="+name))
	}
	if args == nil {
		before = append(before, quote(noArgs))
	}
	before = append(before, `"--"`, string(src[command.start:command.end]))
	list := strings.Join(before, ", ")
	edits := []edit{{command.start, command.end, quote(o.Tap)}}
	switch {
	case args == nil:
		edits[0].with += `, "args": [` + list + `]`
	case len(args.items) == 0:
		edits = append(edits, edit{args.start + 1, args.start + 1, list})
	default:
		first := args.items[0].start
		edits = append(edits, edit{first, first, list + ", "})
	}
	return edits, ""
}

// configured are the variables of a server's env that hold credentials in plain text, in their order.
func configured(src []byte, env *node, o Options) (names []string) {
	if env == nil || o.Credential == nil {
		return nil
	}
	for _, m := range env.members {
		if m.value.kind == text && o.Credential(m.name, stringAt(src, m.value)) {
			names = append(names, m.name)
		}
	}
	return names
}

// Unwrap takes servers out from under the tap again: the inverse of Wrap, whatever else of the file has changed since.
func Unwrap(src []byte, o Options) ([]byte, []Server, error) {
	root, _, err := parse(src)
	if err != nil {
		return nil, nil, err
	}
	var edits []edit
	var done []Server
	for _, e := range servers(root) {
		s := Server{Name: e.name.name, Where: e.where, Action: Left, Reason: "it was not wrapped"}
		if !o.takes(s.Name) {
			s.Reason = "not asked for"
		} else if es := unwrapping(src, e.value); es != nil {
			s.Action, s.Reason = Unwrapped, ""
			edits = append(edits, es...)
		}
		done = append(done, s)
	}
	return apply(src, edits), done, nil
}

// unwrapping gives the edits that take a server out from under the tap; nil if it is not there.
func unwrapping(src []byte, server *node) []edit {
	command, args := server.get("command"), server.get("args")
	if command == nil || args == nil || command.kind != text || args.kind != array || !isTap(stringAt(src, command)) {
		return nil
	}
	absent, value := false, false
	for i, a := range args.items {
		if a.kind != text {
			return nil
		}
		s := stringAt(src, a)
		switch {
		case value: // of --name: a server may be called --
			value = false
		case s == "--name":
			value = true
		case i == 0 && s != "stdio":
			return nil
		case s == noArgs:
			absent = true
		case s == "--":
			return restoring(src, server, args, i+1, absent)
		}
	}
	return nil
}

// restoring gives the edits for a wrapped server whose own command is item at of the arguments.
func restoring(src []byte, server, args *node, at int, absent bool) []edit {
	if at >= len(args.items) {
		return nil
	}
	command, own := server.get("command"), args.items[at]
	edits := []edit{{command.start, command.end, string(src[own.start:own.end])}}
	rest := args.items[at+1:]
	switch {
	case len(rest) > 0:
		edits = append(edits, edit{args.items[0].start, rest[0].start, ""})
	case absent:
		// the whole member, with the comma before it or, if it is the first, behind it
		i := slices.IndexFunc(server.members, func(m member) bool { return m.value == args })
		if i > 0 {
			edits = append(edits, edit{server.members[i-1].value.end, args.end, ""})
			break
		}
		end := args.end
		if len(server.members) > 1 {
			end = server.members[1].keyStart
		}
		edits = append(edits, edit{server.members[0].keyStart, end, ""})
	default:
		edits = append(edits, edit{args.items[0].start, own.end, ""})
	}
	if overlap(edits) {
		return []edit{edits[0]}
	}
	return edits
}

// overlap can come about only where somebody put args before command and a comment between them.
func overlap(e []edit) bool {
	return len(e) == 2 && e[0].start < e[1].end && e[1].start < e[0].end
}

// isTap reports whether a command is mcptap, wherever it is installed.
func isTap(command string) bool {
	if i := strings.LastIndexAny(command, `/\`); i >= 0 {
		command = command[i+1:]
	}
	return command == "mcptap" || strings.EqualFold(command, "mcptap.exe")
}

// ErrNoServers says that a file is no configuration of MCP servers.
var ErrNoServers = errors.New("it names no MCP servers: expected mcpServers, servers or mcp.servers")

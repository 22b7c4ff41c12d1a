package tap

import (
	"encoding/base64"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// Headers that mirror the body since 2026-07-28, as the Frame has them: lower-case.
const (
	headerMethod      = "mcp-method"
	headerName        = "mcp-name"
	headerParamPrefix = "mcp-param-"
)

// paramHeader is one x-mcp-header of a tool: the header's name after Mcp-Param-, lower-case, and the argument it mirrors.
type paramHeader struct {
	name string
	path []string
}

// Bounds of what is learned from a tool list.
const (
	maxLearnedTools = 512
	maxToolHeaders  = 32
	maxSchemaDepth  = 8
)

// learnHeaders reads the x-mcp-header annotations of a tools/list result. A tool whose annotations are invalid (2026-07-28: a name
// twice in any case) must be dropped by the client, so it is not learned.
func learnHeaders(known map[string][]paramHeader, tools []byte) {
	mcp.EachElement(tools, func(_ int, tool []byte) bool {
		name := mcp.GetText(tool, "name")
		props, ok := mcp.Get(tool, "inputSchema", "properties")
		if name == "" || !ok {
			return true
		}
		var hs []paramHeader
		collectHeaders(props, nil, &hs)
		names := make(map[string]bool, len(hs))
		for _, h := range hs {
			if names[h.name] {
				hs = nil
				break
			}
			names[h.name] = true
		}
		if _, have := known[name]; have || len(known) < maxLearnedTools {
			known[name] = hs
		}
		return true
	})
}

func collectHeaders(props []byte, path []string, out *[]paramHeader) {
	if len(path) >= maxSchemaDepth {
		return
	}
	mcp.EachMember(props, func(k, v []byte) bool {
		p := append(path[:len(path):len(path)], string(k))
		if h := mcp.GetText(v, "x-mcp-header"); h != "" && len(*out) < maxToolHeaders {
			*out = append(*out, paramHeader{strings.ToLower(h), p})
		}
		if sub, ok := mcp.Get(v, "properties"); ok {
			collectHeaders(sub, p, out)
		}
		return len(*out) < maxToolHeaders
	})
}

// headerMismatch reports whether the headers of a modern POST contradict its body, or lack what must be there. A server that
// accepts such a request can be talked past a gateway that trusts the headers.
func headerMismatch(h *HTTP, m *mcp.Message, known map[string][]paramHeader) (mismatch, missing bool) {
	check := func(header, want string, due bool) {
		v, ok := h.Headers[header]
		switch {
		case ok && decodeHeader(v) != want:
			mismatch = true
		case !ok && due:
			missing = true
		}
	}
	switch v := m.MetaProtocolVersion(); {
	case h.Version == "":
		missing = true
	case h.Version != v:
		mismatch = true
	}
	request := m.Kind == mcp.KindRequest
	check(headerMethod, m.Method, request)
	switch {
	case m.Method == mcp.ToolsCall, m.Method == mcp.PromptsGet:
		check(headerName, m.Name(), request)
	case m.Method == mcp.ResourcesRead:
		check(headerName, m.URI(), request)
	case strings.HasPrefix(m.Method, "tasks/"):
		t, _ := m.Task()
		check(headerName, t.ID, false)
	default:
		if _, ok := h.Headers[headerName]; ok && request {
			mismatch = true
		}
	}
	if m.Method != mcp.ToolsCall {
		return mismatch, missing
	}
	learned, isKnown := known[m.Name()]
	args := m.Arguments()
	checked := 0
	for header, v := range h.Headers {
		n, ok := strings.CutPrefix(header, headerParamPrefix)
		if !ok {
			continue
		}
		if checked++; checked > maxToolHeaders { // each costs a walk over the arguments
			break
		}
		v = decodeHeader(v)
		if !isKnown { // the tool list was not seen: some argument must have the value
			if !anyLeaf(args, v, 0) {
				mismatch = true
			}
			continue
		}
		for _, p := range learned {
			if p.name == n {
				if arg, ok := mcp.Get(args, p.path...); !ok || !sameValue(arg, v) {
					mismatch = true
				}
			}
		}
	}
	for _, p := range learned {
		if _, ok := h.Headers[headerParamPrefix+p.name]; !ok {
			if arg, ok := mcp.Get(args, p.path...); ok && string(arg) != "null" {
				missing = true
			}
		}
	}
	return mismatch, missing
}

// decodeHeader undoes the sentinel =?base64?...?=, exact and lower-case (2026-07-28 transports, value encoding).
func decodeHeader(v string) string {
	if in, ok := strings.CutPrefix(v, "=?base64?"); ok {
		if in, ok := strings.CutSuffix(in, "?="); ok {
			if b, err := base64.StdEncoding.DecodeString(in); err == nil && utf8.Valid(b) {
				return string(b)
			}
		}
	}
	return v
}

// sameValue compares an argument with a header's decoded value: integers by number, strings and booleans as they are.
func sameValue(arg []byte, header string) bool {
	if s, ok := mcp.Text(arg); ok {
		return s == header
	}
	if string(arg) == header {
		return true
	}
	if len(arg) > 64 || len(header) > 64 {
		return false
	}
	a, ok1 := new(big.Int).SetString(string(arg), 10)
	b, ok2 := new(big.Int).SetString(header, 10)
	return ok1 && ok2 && a.Cmp(b) == 0
}

func anyLeaf(v []byte, header string, depth int) bool {
	if len(v) == 0 || depth > maxSchemaDepth {
		return false
	}
	if v[0] != '{' {
		return v[0] != '[' && sameValue(v, header)
	}
	found := false
	mcp.EachMember(v, func(_, m []byte) bool {
		found = anyLeaf(m, header, depth+1)
		return !found
	})
	return found
}

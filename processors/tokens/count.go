package tokens

import (
	"bytes"
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/mcp"
	bpe "github.com/mcpsiem/mcpsiem/internal/tokens"
)

// maxNesting bounds how deep results are followed into results (a task's outcome, a tool's result within sampling messages).
const maxNesting = 8

// counter counts the parts of one message. README.md, "What is counted", is its definition.
type counter struct {
	enc  *bpe.Encoding
	text []byte // a decoded string, or an object without its _meta
	json []byte // a definition in canonical form
}

var counters = sync.Pool{New: func() any { return new(counter) }}

func (c *counter) release() {
	const keep = 1 << 20
	if cap(c.text) > keep || cap(c.json) > keep {
		return
	}
	c.enc = nil
	counters.Put(c)
}

// raw counts a JSON value as it stands.
func (c *counter) raw(v []byte) int64 { return int64(c.enc.Count(v)) }

// string counts the text that a JSON string means.
func (c *counter) string(v []byte) int64 {
	if bytes.IndexByte(v, '\\') < 0 {
		return int64(c.enc.Count(v[1 : len(v)-1]))
	}
	c.text = mcp.AppendText(c.text[:0], v)
	return int64(c.enc.Count(c.text))
}

func isString(v []byte) bool { return len(v) >= 2 && v[0] == '"' }

func isKind(v []byte, open byte) bool { return len(v) > 0 && v[0] == open }

// object counts an object's JSON text without its member _meta, which is for the protocol and no model reads it. What has nothing
// else counts as nothing.
func (c *counter) object(v []byte) int64 {
	if !isKind(v, '{') {
		return c.raw(v)
	}
	members, meta := 0, false
	mcp.EachMember(v, func(k, _ []byte) bool {
		if string(k) == "_meta" {
			meta = true
		} else {
			members++
		}
		return true
	})
	switch {
	case members == 0:
		return 0
	case !meta:
		return c.raw(v)
	}
	out := append(c.text[:0], '{')
	mcp.EachMember(v, func(k, val []byte) bool {
		if string(k) == "_meta" {
			return true
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, k...)
		out = append(out, '"', ':')
		out = append(out, val...)
		return true
	})
	c.text = append(out, '}')
	return int64(c.enc.Count(c.text))
}

// arguments counts what a request carries.
func (c *counter) arguments(params []byte, method string) int64 {
	if params == nil {
		return 0
	}
	if method == mcp.SamplingCreateMessage {
		return c.prompt(params)
	}
	if args, ok := mcp.Get(params, "arguments"); ok {
		return c.raw(args)
	}
	return c.object(params)
}

// prompt counts what a sampling request gives to the client's model.
func (c *counter) prompt(params []byte) int64 {
	var system, messages, tools []byte
	mcp.EachMember(params, func(k, v []byte) bool {
		switch string(k) {
		case "systemPrompt":
			system = v
		case "messages":
			messages = v
		case "tools":
			tools = v
		}
		return true
	})
	n := c.messages(messages)
	if isString(system) {
		n += c.string(system)
	}
	if tools != nil {
		n += c.raw(tools)
	}
	return n
}

// result counts what a model gets to read of a result.
func (c *counter) result(result []byte, nesting int) int64 {
	if nesting > maxNesting {
		return c.raw(result)
	}
	var content, contents, messages, structured, inner []byte
	mcp.EachMember(result, func(k, v []byte) bool {
		switch string(k) {
		case "content":
			content = v
		case "contents":
			contents = v
		case "messages":
			messages = v
		case "structuredContent":
			structured = v
		case "result":
			inner = v
		}
		return true
	})
	switch {
	case isKind(contents, '['):
		return c.content(contents, nesting)
	case isKind(content, '[') && !empty(content) || isKind(content, '{') || isString(content):
		return c.content(content, nesting)
	case isKind(messages, '['):
		return c.messages(messages)
	case structured != nil:
		return c.raw(structured)
	case isKind(content, '['):
		return 0
	case isKind(inner, '{'):
		return c.result(inner, nesting+1)
	}
	return c.object(result)
}

func empty(array []byte) bool {
	some := false
	mcp.EachElement(array, func(int, []byte) bool { some = true; return false })
	return !some
}

// messages counts the messages of a prompt or of a sampling request.
func (c *counter) messages(v []byte) int64 {
	var n int64
	mcp.EachElement(v, func(_ int, msg []byte) bool {
		if content, ok := mcp.Get(msg, "content"); ok {
			n += c.content(content, 0)
		} else {
			n += c.raw(msg)
		}
		return true
	})
	return n
}

// content counts one content block or an array of them.
func (c *counter) content(v []byte, nesting int) int64 {
	switch {
	case isKind(v, '['):
		var n int64
		mcp.EachElement(v, func(_ int, block []byte) bool {
			n += c.block(block, nesting)
			return true
		})
		return n
	case isString(v):
		return c.string(v)
	}
	return c.block(v, nesting)
}

// block counts a content block or a resource's contents.
func (c *counter) block(v []byte, nesting int) int64 {
	if isString(v) {
		return c.string(v)
	}
	var kind, text, blob, resource, content []byte
	mcp.EachMember(v, func(k, val []byte) bool {
		switch string(k) {
		case "type":
			kind = val
		case "text":
			text = val
		case "blob":
			blob = val
		case "resource":
			resource = val
		case "content":
			content = val
		}
		return true
	})
	switch string(kind) {
	case `"text"`, "":
		if isString(text) {
			return c.string(text)
		}
		if isString(blob) {
			return 0
		}
	case `"image"`, `"audio"`:
		return 0
	case `"resource"`:
		if isKind(resource, '{') && nesting < maxNesting {
			return c.block(resource, nesting+1)
		}
	case `"tool_result"`:
		if content != nil && nesting < maxNesting {
			return c.content(content, nesting+1)
		}
	}
	return c.raw(v)
}

// message counts the text of an error, which hosts show to the model.
func (c *counter) message(rpcError []byte) int64 {
	if msg, ok := mcp.Get(rpcError, "message"); ok && isString(msg) {
		return c.string(msg)
	}
	return 0
}

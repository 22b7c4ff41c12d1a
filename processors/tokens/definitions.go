package tokens

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/jcs"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// maxToolName is how many bytes of a tool's name are kept; the protocol's longest is 128.
const maxToolName = 256

// definitions counts and names the tools of one page of a tools/list result. All are counted; the first limit are listed.
//
// A definition's hash and tokens are of its canonical JSON (RFC 8785), so that neither white space nor the order of its members
// makes it another one. One that has no canonical form (a key given twice, a lone surrogate) is hashed and counted as it stands: a
// server cannot avoid the catalogue by it.
func (c *counter) definitions(tools []byte, limit int) (defs []event.ToolDef, total int64, more bool) {
	mcp.EachElement(tools, func(_ int, v []byte) bool {
		var err error
		text := v
		if c.json, err = jcs.Append(c.json[:0], v); err == nil {
			text = c.json
		}
		n := int64(c.enc.Count(text))
		total += n
		if len(defs) == limit {
			more = true
			return true
		}
		sum := sha256.Sum256(text)
		name := mcp.GetText(v, "name")
		if len(name) > maxToolName {
			name = name[:maxToolName]
		}
		defs = append(defs, event.ToolDef{Name: strings.ToValidUTF8(name, ""), Hash: hex.EncodeToString(sum[:]), Tokens: n})
		return true
	})
	return defs, total, more
}

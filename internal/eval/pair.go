// Cutting an attack out of a message.
package eval

import (
	"bytes"
	"encoding/json"
	"strings"
)

// without is the message with the text cut out of every string that holds it, also where the string is JSON text itself. All else
// stays as it is, byte for byte. ok is false if no string holds it.
func without(msg []byte, text string) (out []byte, ok bool) {
	if text == "" {
		return nil, false
	}
	needles := []string{text}
	if q := quoted(text); q != text { // in JSON within a string
		needles = append(needles, q)
	}
	rest := msg
	for {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			return append(out, rest...), ok
		}
		end := i + 1
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(rest))
		literal := rest[i:end]
		out = append(out, rest[:i]...)
		rest = rest[end:]

		var s string
		if json.Unmarshal(literal, &s) != nil {
			out = append(out, literal...)
			continue
		}
		cut := s
		for _, n := range needles {
			cut = strings.ReplaceAll(cut, n, "")
		}
		if cut == s {
			out = append(out, literal...)
			continue
		}
		ok = true
		out = append(out, '"')
		out = append(out, quoted(cut)...)
		out = append(out, '"')
	}
}

// quoted is a text as it stands between the quotes of a JSON string.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil {
		return s
	}
	q := strings.TrimSuffix(b.String(), "\n")
	return q[1 : len(q)-1]
}

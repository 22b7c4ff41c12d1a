package mcp

// The walkers go over JSON that Parse or Valid has accepted. On other bytes they find something or nothing, in linear time
// and without panic, but what they find means nothing.

// Get returns the value at path, a member name for each level of nested objects. Of duplicate members the last one wins, as
// it does in JavaScript, Python and Go. The value aliases raw. It is absent where a level is no object.
func Get(raw []byte, path ...string) (val []byte, ok bool) {
	for _, name := range path {
		var found []byte
		EachMember(raw, func(k, v []byte) bool {
			if string(k) == name {
				found = v
			}
			return true
		})
		if found == nil {
			return nil, false
		}
		raw = found
	}
	return raw, true
}

// GetFirst is Get with the first of duplicate members winning; it stops reading there.
func GetFirst(raw []byte, path ...string) (val []byte, ok bool) {
	for _, name := range path {
		var found []byte
		EachMember(raw, func(k, v []byte) bool {
			if string(k) == name {
				found = v
				return false
			}
			return true
		})
		if found == nil {
			return nil, false
		}
		raw = found
	}
	return raw, true
}

// GetText is Get for a string member, decoded; empty if absent or no string.
func GetText(raw []byte, path ...string) string {
	v, ok := Get(raw, path...)
	if !ok {
		return ""
	}
	s, _ := Text(v)
	return s
}

// EachMember calls fn for the members of the object raw, in order, duplicates included, until fn returns false. key is decoded;
// key and val are valid until the next call, val as long as raw is. It reports whether raw is an object that was read to its
// end or to where fn stopped.
func EachMember(raw []byte, fn func(key, val []byte) bool) bool {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return false
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		return true
	}
	var scratch []byte
	for i < len(raw) {
		if raw[i] != '"' {
			return false
		}
		end, fl, e := scanString(raw, i+1)
		if e != scanOK {
			return false
		}
		key := raw[i+1 : end-1]
		if fl != 0 {
			scratch = AppendText(scratch[:0], raw[i:end])
			key = scratch
		}
		i = skipSpace(raw, end)
		if i >= len(raw) || raw[i] != ':' {
			return false
		}
		i = skipSpace(raw, i+1)
		end, ok := skipValue(raw, i)
		if !ok {
			return false
		}
		if !fn(key, raw[i:end:end]) {
			return true
		}
		i = skipSpace(raw, end)
		if i >= len(raw) {
			return false
		}
		switch raw[i] {
		case ',':
			i = skipSpace(raw, i+1)
		case '}':
			return true
		default:
			return false
		}
	}
	return false
}

// EachElement calls fn for the elements of the array raw until fn returns false. val aliases raw. It reports whether raw is an
// array that was read to its end or to where fn stopped.
func EachElement(raw []byte, fn func(i int, val []byte) bool) bool {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '[' {
		return false
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == ']' {
		return true
	}
	for n := 0; i < len(raw); n++ {
		end, ok := skipValue(raw, i)
		if !ok {
			return false
		}
		if !fn(n, raw[i:end:end]) {
			return true
		}
		i = skipSpace(raw, end)
		if i >= len(raw) {
			return false
		}
		switch raw[i] {
		case ',':
			i = skipSpace(raw, i+1)
		case ']':
			return true
		default:
			return false
		}
	}
	return false
}

// skipValue returns the index after the value at i, counting brackets without regard to their kind.
func skipValue(b []byte, i int) (int, bool) {
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			end, _, e := scanString(b, i+1)
			if e != scanOK {
				return i, false
			}
			i = end
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth < 0 {
				return i, false
			}
			i++
		case ' ', '\n', '\r', '\t', ',', ':':
			if depth == 0 {
				return i, false
			}
			i++
			continue
		default: // number or literal
			from := i
			for i < len(b) {
				if c := b[i]; c == ',' || c == '}' || c == ']' || c == ':' || c == '"' || c == '{' || c == '[' || c <= ' ' {
					break
				}
				i++
			}
			if i == from { // a control character
				return i, false
			}
		}
		if depth == 0 {
			return i, true
		}
	}
	return i, false
}

// GetBool is Get for a member that is true.
func GetBool(raw []byte, path ...string) bool {
	v, ok := Get(raw, path...)
	return ok && string(v) == "true"
}

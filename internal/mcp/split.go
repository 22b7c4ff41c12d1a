package mcp

// Split reads every message of a frame and calls fn for each, in order, until it returns false: the one message; the members of a
// batch, with their index; or values that follow each other where one is due (Concatenated), since a server that reads a stream
// of values will act on all of them. It reports whether the frame is a batch. fn is called at least once, and at most
// Limits.MaxBatch+1 times.
func Split(b []byte, lim Limits, fn func(m *Message) bool) (batch bool) {
	lim = lim.withDefaults()
	trimmed, _ := trimBOM(b)
	if i := skipSpace(trimmed, 0); i < len(trimmed) && trimmed[i] == '[' {
		return splitBatch(trimmed[i:], lim, fn)
	}
	m, rest := parseOne(b, lim)
	if len(rest) > 0 && rest[0] != '{' {
		m.Anomalies |= TrailingGarbage
		fn(&m)
		return false
	}
	if len(rest) == 0 {
		fn(&m)
		return false
	}
	for n := 0; ; n++ {
		m.Anomalies |= Concatenated
		m.Index = n
		if len(rest) > 0 && rest[0] != '{' {
			m.Anomalies |= TrailingGarbage
			rest = nil
		}
		if !fn(&m) || len(rest) == 0 {
			return false
		}
		if n+1 >= lim.MaxBatch {
			fn(&Message{Anomalies: Concatenated | BatchTooLong, Raw: rest, Index: n + 1})
			return false
		}
		m, rest = parseOne(rest, lim)
	}
}

func splitBatch(b []byte, lim Limits, fn func(m *Message) bool) (batch bool) {
	// The whole array first: what is not JSON is not a batch, whatever its members look like.
	whole, rest := parseOne(b, lim)
	var base Anomaly
	if len(rest) > 0 {
		base |= TrailingGarbage
	}
	if whole.Anomalies.Has(ParseError) {
		fn(&whole)
		return false
	}
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == ']' {
		whole.Kind, whole.Anomalies = KindInvalid, base|EmptyBatch
		fn(&whole)
		return true
	}
	for n := 0; ; n++ {
		i = skipSpace(b, i)
		if n >= lim.MaxBatch {
			fn(&Message{Anomalies: base | BatchTooLong, Raw: b[i:], Batched: true, Index: n})
			return true
		}
		end, ok := skipValue(b, i)
		if !ok { // cut within a member, as only a partial frame can be
			fn(&Message{Anomalies: base | TruncatedMessage, Raw: b[i:], Batched: true, Index: n})
			return true
		}
		m, _ := parseOne(b[i:end], Limits{MaxDepth: lim.MaxDepth})
		m.Batched, m.Index = true, n
		m.Anomalies |= base
		if b[i] == '[' {
			m.Anomalies |= NestedBatch
		}
		if !fn(&m) {
			return true
		}
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ',' {
			return true // its end, or where it was cut
		}
		i++
	}
}

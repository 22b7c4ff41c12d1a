package mcp

import "encoding/hex"

// TraceContext is a W3C traceparent.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

// ParseTraceparent reads a traceparent of W3C Trace Context, level 1: lower-case hex, ids not zero, version not ff; a version
// above 00 may carry more after a dash.
func ParseTraceparent(s string) (t TraceContext, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	for i := range 55 {
		c := s[i]
		if i != 2 && i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return t, false
		}
	}
	if s[:2] == "ff" || s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' {
		return t, false
	}
	hex.Decode(t.TraceID[:], []byte(s[3:35]))
	hex.Decode(t.SpanID[:], []byte(s[36:52]))
	var f [1]byte
	hex.Decode(f[:], []byte(s[53:55]))
	t.Flags = f[0]
	if t.TraceID == ([16]byte{}) || t.SpanID == ([8]byte{}) {
		return TraceContext{}, false
	}
	return t, true
}

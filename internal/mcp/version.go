package mcp

// Protocol versions. They are dates, and compare as strings.
const (
	Version20241105 = "2024-11-05"
	Version20250326 = "2025-03-26"
	Version20250618 = "2025-06-18"
	Version20251125 = "2025-11-25"
	Version20260728 = "2026-07-28"
)

// Eras: legacy has an initialize handshake and sessions, modern has metadata on each request.
const (
	EraLegacy = "legacy"
	EraModern = "modern"
)

// ValidVersion reports whether v has the form of a protocol version, YYYY-MM-DD, known or not.
func ValidVersion(v string) bool {
	if len(v) != 10 || v[4] != '-' || v[7] != '-' {
		return false
	}
	for i := range len(v) {
		if i != 4 && i != 7 && (v[i] < '0' || v[i] > '9') {
			return false
		}
	}
	return true
}

// Era is the era of a protocol version; empty if v is none.
func Era(v string) string {
	switch {
	case !ValidVersion(v):
		return ""
	case v >= Version20260728:
		return EraModern
	}
	return EraLegacy
}

// BatchForbidden reports whether version v has no batches: from 2025-06-18 on. The two versions before tolerate them, an
// unknown one is not judged.
func BatchForbidden(v string) bool { return ValidVersion(v) && v >= Version20250618 }

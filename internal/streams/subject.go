// Which subjects belong to which stream, and how a replayed message reaches one consumer only.

package streams

import (
	"fmt"
	"strconv"
	"strings"
)

// SubjectOf is the subject under which batches are published to one of mcpsiem's streams; empty for another stream.
func SubjectOf(stream string) string {
	switch stream {
	case Raw:
		return SubjectRaw
	case Events:
		return SubjectEvents
	case Findings:
		return SubjectFindings
	case Dead:
		return SubjectDead
	case RawDead:
		return SubjectRawDead
	}
	return ""
}

// ReplaySubject carries messages that only the given durable consumer of the stream shall see.
func ReplaySubject(base, durable string) string { return base + ".replay." + durable }

// Filters are the subjects that a durable consumer of a stream reads: what is for all, and what is replayed for it.
func Filters(base, durable string) []string { return []string{base, ReplaySubject(base, durable)} }

// FormatOrigin writes the value of HeaderOrigin, HeaderKept and HeaderReplayOf.
func FormatOrigin(stream string, seq uint64) string {
	return stream + ":" + strconv.FormatUint(seq, 10)
}

// ParseOrigin reads what FormatOrigin wrote.
func ParseOrigin(s string) (stream string, seq uint64, err error) {
	stream, n, ok := strings.Cut(s, ":")
	if ok {
		seq, err = strconv.ParseUint(n, 10, 64)
	}
	if !ok || err != nil || ValidName(stream) != nil {
		return "", 0, fmt.Errorf("cannot read a message's origin: not STREAM:SEQUENCE (%d bytes)", len(s))
	}
	return stream, seq, nil
}

// ValidName refuses what NATS does not take as the name of a stream or durable consumer.
func ValidName(s string) error {
	if s == "" {
		return fmt.Errorf("must not be empty")
	}
	if len(s) > 128 {
		return fmt.Errorf("must not be longer than 128 bytes")
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || strings.ContainsRune(".*>/\\", r) {
			return fmt.Errorf("%q: only printable ASCII without blanks and . * > / \\", s)
		}
	}
	return nil
}

// ValidSubject refuses what is not a subject to publish to.
func ValidSubject(s string) error {
	for _, tok := range strings.Split(s, ".") {
		if err := ValidName(tok); err != nil {
			return fmt.Errorf("%q is not a subject to publish to: each part between dots must be a word without wildcards", s)
		}
	}
	return nil
}

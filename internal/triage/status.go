// Package triage is how people work on findings: states and their history, allow-lists and maintenance windows. README.md says what holds.
package triage

import (
	"fmt"
	"slices"
	"strings"
)

// Status is where a finding stands.
type Status string

// Statuses.
const (
	Open          Status = "open"
	Acknowledged  Status = "acknowledged"   // somebody works on it
	Resolved      Status = "resolved"       // it was real, and is dealt with
	FalsePositive Status = "false_positive" // it was not what the rule says
	Accepted      Status = "accepted"       // it is real and is put up with, for good or until a date
)

// Statuses lists all, in the order of an analyst's work.
var Statuses = []Status{Open, Acknowledged, Resolved, FalsePositive, Accepted}

// Closed reports whether nothing is left to do.
func (s Status) Closed() bool { return s == Resolved || s == FalsePositive || s == Accepted }

// ParseStatus reads a status as people write it.
func ParseStatus(s string) (Status, error) {
	v := Status(strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", "_"))
	if !slices.Contains(Statuses, v) {
		return "", fmt.Errorf("unknown status: choose %s", join(Statuses))
	}
	return v, nil
}

// Severities, least first.
var Severities = []string{"informational", "low", "medium", "high", "critical"}

// Rank of a severity, 1 to 5; 0 if there is no such.
func Rank(severity string) int { return slices.Index(Severities, severity) + 1 }

func join[S ~string](list []S) string {
	var b strings.Builder
	for i, s := range list {
		switch {
		case i == 0:
		case i == len(list)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

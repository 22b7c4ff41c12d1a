package triage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Change is what somebody decided about a finding.
type Change struct {
	To    Status
	Note  string
	Until time.Time   // with Accepted: when it ends; zero: never
	Actor audit.Actor // zero: audit.Me()
	Time  time.Time   // zero: now
}

// maxNote is the longest note, bytes.
const maxNote = 4096

func (c *Change) check() error {
	switch {
	case !c.Until.IsZero() && c.To != Accepted:
		return errors.New("cannot change a finding: only an acceptance has an end")
	case !c.Until.IsZero() && !c.Until.After(c.Time):
		return errors.New("cannot change a finding: the acceptance would have ended already")
	case len(c.Note) > maxNote:
		return fmt.Errorf("cannot change a finding: the note is longer than %d bytes", maxNote)
	case strings.ContainsFunc(c.Note, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return errors.New("cannot change a finding: the note holds control characters")
	}
	return nil
}

// apply makes f its next revision. Revisions grow also where the clock that made the last one was ahead of ours.
func (c *Change) apply(f *finding.Finding) {
	f.Revision = max(c.Time.UnixNano(), f.Revision+1)
	f.Status = string(c.To)
	f.TriagedBy, f.TriageNote = c.Actor.ID, c.Note
	f.AcceptedUntil = 0
	if !c.Until.IsZero() {
		f.AcceptedUntil = c.Until.UnixNano()
	}
	f.StreamSeq = 0 // that of the message to come
}

// record of the change for the audit trail, once f is changed.
func (c *Change) record(f *finding.Finding, from string) audit.Record {
	d := map[string]string{"rule": f.RuleID, "from": from, "to": f.Status, "revision": strconv.FormatInt(f.Revision, 10)}
	if c.Note != "" {
		d["note"] = c.Note
	}
	if !c.Until.IsZero() {
		d["until"] = c.Until.UTC().Format(time.RFC3339)
	}
	return audit.Record{Action: audit.FindingTriage, Target: f.ID, Details: d, Tenant: f.Tenant, Actor: c.Actor, Time: c.Time}
}

// Make changes findings, which are as they stand now, to their next revisions: first the audit records, then the findings. done is
// how many of them were changed, in order; on an error the rest are not, although their records are written.
func Make(ctx context.Context, js jetstream.JetStream, findings []*finding.Finding, c Change) (done int, err error) {
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	if c.Actor == (audit.Actor{}) {
		c.Actor = audit.Me()
	}
	if err := c.check(); err != nil {
		return 0, err
	}
	records := make([]audit.Record, 0, len(findings))
	for _, f := range findings {
		from := f.Status
		c.apply(f)
		records = append(records, c.record(f, from))
	}
	if err := audit.Write(ctx, js, records...); err != nil {
		return 0, err
	}
	for i, f := range findings {
		ld := plog.NewLogs()
		f.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
		if _, err := streams.Publish(ctx, js, streams.Findings, f.ID+"-"+strconv.FormatInt(f.Revision, 10), ld); err != nil {
			return i, fmt.Errorf("cannot change finding %s: %w", f.ID, err)
		}
	}
	return len(findings), nil
}

// Package audit records what people and the pipeline itself did, as events of the same trail that traffic is in: who changed a rule,
// exported evidence, released a hold, started or stopped the pipeline. Such an event is stored, sealed, exported and retained like
// any other.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Action is what was done, `object.verb`. The list is closed so that a query for one is complete.
type Action string

// Actions.
const (
	PipelineStart     Action = "pipeline.start"
	PipelineStop      Action = "pipeline.stop"
	PipelineConfig    Action = "pipeline.config" // started with, or reloaded, a configuration that differs from the last one
	LoggingFailed     Action = "logging.failed"  // capture, streams or store could not keep records (PCI DSS 10.7)
	LoggingRestored   Action = "logging.restored"
	StoreQuery        Action = "store.query"
	StoreMigrate      Action = "store.migrate"
	FindingTriage     Action = "finding.triage"
	RulesChange       Action = "rules.change" // rules, allow-lists, maintenance windows
	RulesRefused      Action = "rules.refused"
	ServerApprove     Action = "server.approve" // a server's tools as they are now, or its removal from the allow-list
	ServerRevoke      Action = "server.revoke"
	PricesChange      Action = "prices.change"
	DirectoryChange   Action = "directory.change"
	BudgetsChange     Action = "budgets.change"
	RetentionChange   Action = "retention.change"
	RetentionApply    Action = "retention.apply"
	HoldCreate        Action = "hold.create"
	HoldRelease       Action = "hold.release"
	SubjectExport     Action = "subject.export"
	SubjectErase      Action = "subject.erase"
	EvidenceExport    Action = "evidence.export"
	AuditVerify       Action = "audit.verify"
	SealCheckpoint    Action = "seal.checkpoint" // what a tenant's log was at a time, signed
	SealRefused       Action = "seal.refused"    // nothing is sealed any more: the log was rolled back
	KeyCreate         Action = "key.create"
	KeyRotate         Action = "key.rotate"
	KeyDestroy        Action = "key.destroy"
	DeadLetterReplay  Action = "dead_letter.replay"
	DeadLetterDrop    Action = "dead_letter.drop"
	SinkReplay        Action = "sink.replay"
	SinkReconcile     Action = "sink.reconcile"
	SinkTest          Action = "sink.test"
	RolesChange       Action = "roles.change"       // accounts of people on the store
	InstallationSetup Action = "installation.setup" // templates, dashboards and the like put into another system
)

// DetailDefinition is the detail of ServerApprove that names the hash of the definition approved, hex.
const DetailDefinition = "definition_hash"

// Record is one thing done.
type Record struct {
	Action  Action
	Target  string            // what it was done to
	Details map[string]string // never content of events
	Server  string            // the server concerned, where it is one: detectors then judge the record with the server's other events
	Tool    string            // and its tool
	Outcome string            // event.OutcomeOK unless said otherwise
	Tenant  string            // the tenant concerned; empty: `default`
	Actor   Actor             // zero: Me()
	Time    time.Time         // zero: now
	ID      string            // 32 hex digits where the record must be made once however often it is written; empty: a new one
}

// Actor is who did it.
type Actor struct {
	ID       string
	Kind     string // user or service
	Issuer   string // who vouches for the id: a host name, an identity provider
	Method   string // os_user, jwt, ...
	Verified bool
}

// Me is the operating system's user that runs this process. With sudo it is the one who called it, as a claim that the
// details of the record repeat.
func Me() Actor {
	a := Actor{Kind: "user", Method: "os_user", Verified: true}
	if u, err := user.Current(); err == nil {
		a.ID = u.Username
	} else {
		a.ID = strconv.Itoa(os.Getuid())
	}
	a.Issuer, _ = os.Hostname()
	return a
}

// Event is the record as an event.
func (r Record) Event() event.Event {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	who := r.Actor
	if who == (Actor{}) {
		who = Me()
	}
	id := r.ID
	if id == "" {
		var b [16]byte
		rand.Read(b[:]) // never fails, since Go 1.24
		id = hex.EncodeToString(b[:])
	}
	e := event.Event{Name: event.NameAudit, Time: r.Time.UnixNano(), Received: r.Time.UnixNano()}
	e.ID = id
	e.SourceKind = SourceKind
	e.ClockSource = "receiver"
	e.Kind = event.KindRecord
	e.Capture = event.CaptureComplete
	e.Tenant = r.Tenant
	if e.Tenant == "" {
		e.Tenant = "default"
	}
	e.PrincipalID, e.PrincipalKind, e.PrincipalIssuer = who.ID, who.Kind, who.Issuer
	e.PrincipalMethod, e.PrincipalVerified = who.Method, who.Verified
	e.HostName, _ = os.Hostname()
	e.Server, e.Tool = r.Server, r.Tool
	e.AuditAction, e.AuditTarget, e.AuditDetails = string(r.Action), r.Target, r.Details
	if by := os.Getenv("SUDO_USER"); by != "" && who.Method == "os_user" {
		d := map[string]string{"sudo_user": by}
		for k, v := range r.Details {
			d[k] = v
		}
		e.AuditDetails = d
	}
	e.Outcome = r.Outcome
	if e.Outcome == "" {
		e.Outcome = event.OutcomeOK
	}
	return e
}

// SourceKind marks records of this package.
const SourceKind = "mcpsiem"

// Write puts records into EVENTS and returns when they are on disk there. What must not happen unrecorded calls it first and does
// not go on without it.
func Write(ctx context.Context, js jetstream.JetStream, records ...Record) error {
	for _, r := range records {
		e := r.Event()
		ld := plog.NewLogs()
		e.Encode(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
		if _, err := streams.Publish(ctx, js, streams.Events, "audit-"+e.ID, ld); err != nil {
			return fmt.Errorf("cannot record %s in the audit trail: %w", r.Action, err)
		}
	}
	return nil
}

// WriteTo is Write over a connection of its own.
func WriteTo(ctx context.Context, c streams.NATSConfig, records ...Record) error {
	nc, err := c.Connect(ctx, "mcpsiem audit")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	return Write(ctx, js, records...)
}

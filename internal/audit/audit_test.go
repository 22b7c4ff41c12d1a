package audit

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/natsd/natsdtest"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecordsAreEventsOfTheTrail(t *testing.T) {
	srv := natsdtest.New(t)
	js := srv.JS()
	spec, _ := streams.DefaultSpec(streams.Events)
	ctx := context.Background()
	st, err := streams.Ensure(ctx, js, spec)
	if err != nil {
		t.Fatal(err)
	}
	r := Record{
		Action: HoldCreate, Target: "hold-1", Details: map[string]string{"matter": "2026-7"}, Tenant: "acme", Time: time.Unix(1_800_000_000, 5),
		Actor: Actor{ID: "ann", Kind: "user", Issuer: "host", Method: "os_user", Verified: true}, ID: event.SourceID("once"),
	}
	if err := Write(ctx, js, r, r); err != nil { // twice: it is there once
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Msgs; n != 0 {
		t.Fatalf("%d messages before", n)
	}
	info, err := st.Info(ctx)
	if err != nil || info.State.Msgs != 1 {
		t.Fatalf("%d messages, %v", info.State.Msgs, err)
	}
	m, err := st.GetMsg(ctx, info.State.FirstSeq)
	if err != nil {
		t.Fatal(err)
	}
	ld, err := streams.Decode(m.Data, m.Header.Get(streams.HeaderEncoding))
	if err != nil {
		t.Fatal(err)
	}
	rl := ld.ResourceLogs().At(0)
	var e event.Event
	event.Decode(rl.Resource(), rl.ScopeLogs().At(0).LogRecords().At(0), &e)
	if e.Name != event.NameAudit || e.Kind != event.KindRecord || e.AuditAction != "hold.create" || e.AuditTarget != "hold-1" || e.AuditDetails["matter"] != "2026-7" ||
		e.Tenant != "acme" || e.PrincipalID != "ann" || !e.PrincipalVerified || e.ID != r.ID || e.Time != r.Time.UnixNano() || e.Outcome != event.OutcomeOK {
		t.Errorf("have %+v", e)
	}
}

func TestWithoutATrailNothingIsRecorded(t *testing.T) {
	srv := natsdtest.New(t)
	js := srv.JS()
	if err := Write(context.Background(), js, Record{Action: PipelineStart}); err == nil {
		t.Error("no error although there is no stream")
	}
}

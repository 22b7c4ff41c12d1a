package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/distro"
)

func TestCountersAreRead(t *testing.T) {
	got := parseCounters(strings.NewReader(`# HELP otelcol_sink_received_records_total x
otelcol_sink_received_records_total{otel_scope_name="a",sink="splunkhec/main"} 120
otelcol_sink_delivered_records_total{sink="splunkhec/main"} 1e+02
otelcol_sink_filtered_records_total{reason="tenant",sink="splunkhec/main"} 20
otelcol_sink_retries_total{reason="hec_9",sink="splunkhec/main"} 3
otelcol_sink_refused_records_total{reason="hec_6",sink="ocsf/a"} 2
otelcol_sink_sent_bytes_total{sink="ocsf/a"} 2
otelcol_sink_received_records_total{sink="ocsf/a"} NaN
`))
	m := got["splunkhec/main"]
	if m == nil || m.Received != 120 || m.Delivered != 100 || m.Filtered["tenant"] != 20 || m.Retries["hec_9"] != 3 {
		t.Errorf("%+v", m)
	}
	if o := got["ocsf/a"]; o == nil || o.Refused["hec_6"] != 2 || o.Received != 0 || len(got) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestSinksOfStatus(t *testing.T) {
	list := []distro.Sink{{Name: "main", Type: "splunkhec", Streams: []string{"events", "findings"}}}
	r := report{Streams: []streamStatus{{Name: "EVENTS", Consumers: []consumerStatus{{Name: "main", Lag: 7, InFlight: 1, AckedUpTo: 4, OldestAgeMs: 600_000, oldestSeq: 5}}}}}
	s := sinkStatuses(list, &r, map[string]*sinkCounters{"splunkhec/main": {Received: 9, Retries: map[string]uint64{"hec_9": 2}}})
	if len(s) != 1 || len(s[0].Streams) != 2 || s[0].Counters.Received != 9 {
		t.Fatalf("%+v", s)
	}
	if e := s[0].Streams[0]; !e.Exists || e.LagBatches != 7 || e.Confirmed != 4 || e.LagSeconds != 600 || e.OldestSeq != 5 || e.Oldest == nil {
		t.Errorf("%+v", e)
	}
	s[0].Streams[0].DeadLettered["hec_6"] = 3
	p := strings.Join(sinkProblems(s), "\n")
	for _, want := range []string{"no consumer of FINDINGS", "waits for 10m0s; requests repeated: 2 hec_9", "3 events of EVENTS are dead-lettered (3 hec_6)"} {
		if !strings.Contains(p, want) {
			t.Errorf("%q is not in %q", want, p)
		}
	}
}

func TestTimesOfReplay(t *testing.T) {
	now := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "90m": now.Add(-90 * time.Minute), "2026-01-31T10:00:00.5Z": time.Date(2026, 1, 31, 10, 0, 0, 5e8, time.UTC),
	} {
		if got, err := momentOf(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "yesterday", "-5m", "2026-13-01"} {
		if _, err := momentOf(bad, now); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, _, err := span("1h", "2h"); err == nil {
		t.Error("an empty span was taken")
	}
}

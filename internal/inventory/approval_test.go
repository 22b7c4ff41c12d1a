package inventory

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
)

func TestApprovals(t *testing.T) {
	seed(t)
	conn := storetest.Open(t, chdb.UserAnalyst)
	rows, err := Approvals(t.Context(), conn, "acme")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, a := range rows {
		got += fmt.Sprintf("%s/%s/%s by %s; ", a.Server, a.Tool, a.Definition, a.By)
	}
	if want := "tickets// by bea; tickets/close/h3 by bea; tickets/drop/h0 by bea; "; got != want {
		t.Errorf("in force: %s", got)
	}
	if rows, err := Approvals(t.Context(), conn, "none"); err != nil || len(rows) != 0 {
		t.Errorf("another tenant: %v, %v", rows, err)
	}
	all, err := Candidates(t.Context(), conn, Query{Since: day.Add(-30 * 24 * time.Hour), Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	got = ""
	for _, x := range all {
		if x.Server == "tickets" {
			got += fmt.Sprintf("%s/%s %s; ", x.Tool, x.Definition, x.State)
		}
	}
	if want := "/ approved; close/h3 approved; drop/h4 changed; find/h2 new; "; got != want {
		t.Errorf("candidates: %s", got)
	}
}

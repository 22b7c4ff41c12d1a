// Package dashtest makes the traffic that dashboards are tried on.
package dashtest

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/store"
)

var (
	//go:embed traffic.sql
	trafficSQL string
	//go:embed rest.sql
	restSQL string

	traffic = template.Must(template.New("traffic").Parse(trafficSQL))
	rest    = template.Must(template.New("rest").Parse(restSQL))
)

// Traffic is how much there is.
type Traffic struct {
	Events int       // half of them requests, half their answers
	Days   int       // over which they are spread
	End    time.Time // the last of them
	Merged bool      // as the store is when nothing comes in: days that are over are one part (migration 0010)
}

// chunk is how many events are inserted at once.
const chunk = 500_000

// Load inserts the traffic, as admin.
func Load(ctx context.Context, c *store.Conn, t Traffic) error {
	run := func(of *template.Template, from, count int) error {
		var b strings.Builder
		err := of.Execute(&b, map[string]any{
			"Database": c.Database, "Events": t.Events, "Exchanges": t.Events / 2, "Days": t.Days, "End": t.End.Unix(), "From": from, "Count": count, "Acts": 500, "Findings": 2000,
		})
		if err != nil {
			return err
		}
		for s := range strings.SplitSeq(b.String(), ";\n") {
			if strings.TrimSpace(s) == "" {
				continue
			}
			if err := c.Exec(ctx, s); err != nil {
				return fmt.Errorf("cannot load generated traffic: %w", err)
			}
		}
		return nil
	}
	for from := 0; from < t.Events; from += chunk {
		if err := run(traffic, from, min(chunk, t.Events-from)); err != nil {
			return err
		}
	}
	if err := run(rest, 0, 0); err != nil {
		return err
	}
	for day := t.End.UTC().AddDate(0, 0, -t.Days); t.Merged && day.Format(time.DateOnly) < t.End.UTC().Format(time.DateOnly); day = day.AddDate(0, 0, 1) {
		if err := c.Exec(ctx, fmt.Sprintf("OPTIMIZE TABLE %s.events PARTITION '%s' FINAL", c.Database, day.Format(time.DateOnly))); err != nil {
			return fmt.Errorf("cannot merge generated traffic: %w", err)
		}
	}
	return nil
}

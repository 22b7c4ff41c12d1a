package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// result is what became of a scenario.
type result struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Traffic  string    `json:"traffic"`
	OK       bool      `json:"ok"`       // found, and the twin is quiet
	Detected bool      `json:"detected"` // all that must be found was
	Seconds  float64   `json:"seconds"`  // from the last of the evidence at the tap (replayed: from handing the file over) to the finding
	Findings []raised  `json:"findings"` // that were waited for
	Missing  []string  `json:"missing,omitempty"`
	Others   []raised  `json:"others,omitempty"` // of the incident, besides
	Quiet    bool      `json:"twin_quiet"`       // nothing of the twin is at alert severity
	Twin     []raised  `json:"twin_findings,omitempty"`
	Gap      string    `json:"gap,omitempty"`
	Error    string    `json:"error,omitempty"`
	handed   time.Time // of the incident
}

type raised struct {
	ID        string `json:"id"`
	Rule      string `json:"rule"`
	Severity  string `json:"severity"`
	Principal string `json:"principal,omitempty"`
	Server    string `json:"server,omitempty"`
	Tool      string `json:"tool,omitempty"`
	Summary   string `json:"summary"`
}

func (f *found) raised() raised {
	return raised{f.ID, f.Rule, f.Severity, f.Principal, f.Server, f.Tool, f.Summary}
}

// fits says whether f is what w wants.
func (w Want) fits(f *found) bool {
	says := f.Summary
	for k, v := range f.Why {
		says += " " + k + "=" + v
	}
	return f.Rule == w.Rule && rank(f.Severity) >= rank(or(w.Severity, alert)) &&
		(w.Principal == "" || f.Principal == w.Principal) && (w.Server == "" || f.Server == w.Server) && (w.Tool == "" || f.Tool == w.Tool) &&
		strings.Contains(says, w.Says)
}

// run plays the scenarios on a started harness and judges them.
func (h *harness) run(ctx context.Context, list []*Scenario) ([]*result, error) {
	var out []*result
	for _, s := range list {
		fmt.Fprintln(os.Stderr, "playing", s.Name)
		r := &result{Name: s.Name, Title: s.Title, Traffic: s.Traffic, Gap: s.Gap}
		out = append(out, r)
		errs := make(chan error, 2)
		play := func(tenant string, twin bool, script func(context.Context, *Stage) error) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			dir, err := os.MkdirTemp(h.dir, tenant+"-")
			if err != nil {
				errs <- err
				return
			}
			st := &Stage{h: h, Tenant: tenant, Twin: twin, dir: dir}
			err = script(ctx, st)
			st.close()
			if !twin {
				r.handed = st.handed
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", tenant, err)
			}
			errs <- err
		}
		go play(s.Name, false, s.Incident)
		go play(s.Name+"-twin", true, s.Twin)
		for range 2 {
			if err := <-errs; err != nil {
				r.Error = strings.TrimPrefix(r.Error+"; "+err.Error(), "; ")
			}
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	if err := h.settle(ctx); err != nil {
		return out, err
	}
	for i, s := range list {
		h.judge(s, out[i])
	}
	return out, nil
}

func (h *harness) judge(s *Scenario, r *result) {
	findings := h.of(s.Name)
	used := map[int]bool{}
	for _, w := range s.Want {
		hit := -1
		for i := range findings {
			if w.fits(&findings[i]) {
				hit = i
				break
			}
		}
		if hit < 0 {
			r.Missing = append(r.Missing, w.String())
			continue
		}
		f := &findings[hit]
		since := time.Unix(0, f.Last)
		if !r.handed.IsZero() {
			since = r.handed
		}
		r.Seconds = max(r.Seconds, f.came.Sub(since).Seconds())
		if !used[hit] {
			used[hit] = true
			r.Findings = append(r.Findings, f.raised())
		}
	}
	for i := range findings {
		if !used[i] {
			r.Others = append(r.Others, findings[i].raised())
		}
	}
	r.Quiet = true
	for _, f := range h.of(s.Name + "-twin") {
		r.Twin = append(r.Twin, f.raised())
		r.Quiet = r.Quiet && rank(f.Severity) < rank(alert)
	}
	r.Detected = len(r.Missing) == 0 && len(s.Want) > 0
	r.OK = r.Detected && r.Quiet && r.Error == ""
}

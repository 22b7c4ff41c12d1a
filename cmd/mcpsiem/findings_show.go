package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// bodyShown is how many characters of a message are shown unless all are asked for.
const bodyShown = 400

// shown prints a finding for a person. Everything that came over the wire passes through plain.
func (p *printer) shown(v *shown, full bool) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(p.w, "%-13s %s\n", name, value)
		}
	}
	section := func(name string) { fmt.Fprintf(p.w, "\n%s\n", p.paint(1, name)) }
	color := 33
	if v.SeverityRank >= 4 {
		color = 31
	}
	fmt.Fprintf(p.w, "%s  %s\n%s\n\n", p.paint(color, strings.ToUpper(plain(v.Severity))), p.paint(1, plain(v.Title)), plain(v.Summary))
	line("id", v.ID)
	line("rule", plain(v.RuleID)+" "+plain(v.RuleVersion))
	line("confidence", fmt.Sprintf("%.2f", v.Confidence))
	status := plain(v.Status)
	if v.TriagedBy != "" {
		status += " by " + plain(v.TriagedBy)
	}
	if v.AcceptanceEnded {
		status += ", whose acceptance ended " + clock(v.AcceptedUntil)
	} else if v.Status == "accepted" && v.AcceptedUntil.Unix() > 0 {
		status += " until " + clock(v.AcceptedUntil)
	}
	line("status", status)
	line("note", plain(v.Note))
	seen := clock(v.FirstSeen)
	if last := clock(v.LastSeen); last != seen {
		seen += " to " + last
	}
	line("seen", fmt.Sprintf("%s, %d %s", seen, v.Count, plural(int(v.Count), "event", "events")))
	line("tenant", plain(v.Tenant))
	who := plain(v.PrincipalID)
	if who != "" && !v.PrincipalVerified {
		who += " (not verified)"
	}
	line("principal", who)
	line("client", plain(v.ClientName))
	line("server", plain(v.Server))
	line("tool", plain(v.Tool))
	line("conversation", plain(v.ConversationID))
	line("key", plain(v.Key))

	if len(v.Steps) > 0 {
		section("What happened")
	}
	for i, s := range v.Steps {
		fmt.Fprintf(p.w, "%2d. ", i+1)
		if s.Evidence != "" {
			fmt.Fprintf(p.w, "%s\n    ", plain(s.Evidence))
		}
		switch {
		case s.Event != nil:
			e := s.Event
			arrow := "→"
			if e.Direction == "server_to_client" {
				arrow = "←"
			}
			parts := []string{e.Method, e.Tool, e.ResourceURI, e.Outcome}
			if e.Method == "" {
				parts[0] = e.Name
			}
			parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
			fmt.Fprintf(p.w, "%s  %s %s %s  %s", clock(e.Time), dash(plain(e.PrincipalID)), arrow, dash(plain(e.Server)), plain(strings.Join(parts, " ")))
			if len(e.DataClasses) > 0 {
				fmt.Fprintf(p.w, "  [%s]", plain(strings.Join(e.DataClasses, " ")))
			}
			fmt.Fprintf(p.w, "\n    event %s\n", e.ID)
			if body := plain(e.Body); body != "" {
				if !full {
					body = short(body, bodyShown)
				}
				fmt.Fprintf(p.w, "    %s\n", body)
			}
		case s.EventID != "":
			fmt.Fprintf(p.w, "event %s, which the store does not hold (any more)\n", plain(s.EventID))
		default:
			fmt.Fprintln(p.w)
		}
	}
	if len(v.Why) > 0 {
		section("Why it fired")
		for _, k := range slices.Sorted(maps.Keys(v.Why)) {
			fmt.Fprintf(p.w, "  %s: %s\n", plain(k), plain(v.Why[k]))
		}
	}
	for _, x := range []struct{ name, text string }{{"What to do", v.Remediation}, {"When it is harmless", v.FalsePositives}} {
		if x.text != "" {
			section(x.name)
			fmt.Fprintf(p.w, "  %s\n", plain(x.text))
		}
	}
	if len(v.References) > 0 {
		section("References")
		for _, r := range v.References {
			fmt.Fprintf(p.w, "  %s\n", plain(r))
		}
	}
	section("History")
	for _, h := range v.History {
		by := "the detector"
		if h.TriagedBy != "" {
			by = plain(h.TriagedBy)
		}
		fmt.Fprintf(p.w, "  %s  %s by %s", clock(h.Changed), plain(h.Status), by)
		if h.AcceptedUntil.Unix() > 0 {
			fmt.Fprintf(p.w, " until %s", clock(h.AcceptedUntil))
		}
		if h.Note != "" {
			fmt.Fprintf(p.w, ": %s", plain(h.Note))
		}
		fmt.Fprintln(p.w)
	}
	if len(v.Related) > 0 {
		section(fmt.Sprintf("The same again (%d of %d open)", v.GroupOpen, v.GroupFindings))
		for _, r := range v.Related {
			fmt.Fprintf(p.w, "  %s  %s  %s  %s\n", shortID(r.ID), clock(r.LastSeen), plain(r.Status), plain(short(r.Summary, 120)))
		}
	}
}

// shortID is enough of an id to name a finding by.
func shortID(id string) string { return id[:min(12, len(id))] }

// clock is a time as people of this machine read it.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }

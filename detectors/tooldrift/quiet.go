package tooldrift

// What happens to a server's list without a change: names used twice, definitions that come back, tools that are gone.

import (
	"slices"
	"strconv"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

// raiseCollisions raises names that the list uses more than once; silent marks those whose definitions are all the same.
func (d *detector) raiseCollisions(c *engine.Context, e *event.Event, twice []change) {
	if len(twice) == 0 {
		return
	}
	slices.SortFunc(twice, byName)
	severity := engine.Informational
	parts := []string{"collision"}
	var evidence []string
	different := 0
	for i, x := range twice {
		line := engine.Name(x.name) + " is listed more than once with the same definition"
		if !x.silent {
			different++
			severity = engine.Low
			line = engine.Name(x.name) + " is listed with different definitions, " + x.before[:min(12, len(x.before))] + " first and " + x.hash[:min(12, len(x.hash))] + " last"
		}
		parts = append(parts, x.name, strconv.FormatBool(x.silent))
		if i < maxShown {
			evidence = append(evidence, line)
		}
	}
	a := engine.Alert{
		Scope:    []string{event.SourceID(parts...)},
		Title:    "Several tools under one name",
		Severity: severity,
		Summary:  "Server " + engine.Name(e.Server) + " listed " + count(len(twice), "name") + " more than once: " + engine.Name(twice[0].name) + more(len(twice)-1) + ".",
		Evidence: evidence,
		Why:      map[string]string{"names": strconv.Itoa(len(twice)), "different_definitions": strconv.Itoa(different)},
		Count:    int64(len(twice)),
	}
	if len(twice) == 1 {
		a.Tool = twice[0].name
	}
	c.Emit(a)
}

// raiseReturns raises definitions that the server had before, each once.
func (d *detector) raiseReturns(c *engine.Context, e *event.Event, returns []change) {
	if len(returns) == 0 {
		return
	}
	slices.SortFunc(returns, byName)
	parts := []string{"return"}
	var evidence []string
	for i, x := range returns {
		parts = append(parts, x.name, x.hash)
		if i < maxShown {
			evidence = append(evidence, changeLine(x, "went back"))
		}
	}
	a := engine.Alert{
		Scope:    []string{event.SourceID(parts...)},
		Title:    "Tool went back to an earlier definition",
		Severity: engine.Informational,
		Summary:  "Server " + engine.Name(e.Server) + " listed " + count(len(returns), "tool") + " as it had before: " + engine.Name(returns[0].name) + more(len(returns)-1) + ".",
		Evidence: evidence,
		Why:      map[string]string{"returned": strconv.Itoa(len(returns)), "claimed_version": engine.Name(version(e))},
		Count:    int64(len(returns)),
	}
	if len(returns) == 1 {
		a.Tool = returns[0].name
	}
	c.Emit(a)
}

// raiseGone raises tools that no list has named for long, although the server kept listing: a single list may be one page of several, or
// what one user may see.
func (d *detector) raiseGone(c *engine.Context, e *event.Event, s *state) {
	before := c.Now - int64(d.conf.GoneAfter)
	if s.Since > before {
		return
	}
	var gone []change
	for key, t := range s.Tools {
		if !t.Gone && max(t.Seen, s.Since) < before {
			t.Gone = true
			if t.Name == "" { // remembered before names were
				t.Name = engine.Name(key)
			}
			gone = append(gone, change{name: t.Name, hash: t.current()})
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.SortFunc(gone, byName)
	parts := []string{"gone"}
	var evidence []string
	for i, x := range gone {
		parts = append(parts, x.name, x.hash)
		if i < maxShown {
			evidence = append(evidence, x.name+" is no longer listed")
		}
	}
	a := engine.Alert{
		Scope:    []string{event.SourceID(parts...)},
		Window:   d.conf.GoneAfter,
		Title:    "Tool no longer listed",
		Severity: engine.Informational,
		Summary:  "Server " + engine.Name(e.Server) + " no longer lists " + count(len(gone), "tool") + ": " + gone[0].name + more(len(gone)-1) + ".",
		Evidence: evidence,
		Why:      map[string]string{"gone": strconv.Itoa(len(gone))},
		Count:    int64(len(gone)),
	}
	if len(gone) == 1 {
		a.Tool = gone[0].name
	}
	c.Emit(a)
}

// Command scenarios replays incidents of the Model Context Protocol as real traffic and checks that each is noticed: it starts `mcpsiem up`
// once, puts taps before small servers that do what the incident's did, drives them with the official SDKs, and waits for the findings. Beside
// each incident runs its harmless twin, which must raise nothing that would alert anybody.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
			os.Exit(1)
		}
		return
	}
	h := &harness{}
	flag.StringVar(&h.bin, "bin", "bin", "folder with mcpsiem and mcptap")
	flag.StringVar(&h.npm, "npm", "test/demo/npm", "folder with the npm packages installed")
	flag.BoolVar(&h.keep, "keep", false, "leave the state folder in place")
	only := flag.String("only", "", "play these scenarios only, separated by commas")
	asJSON := flag.Bool("json", false, "print one JSON array instead of a table")
	known := flag.Bool("allow-known", false, "do not fail for incidents that are known not to be detected")
	verbose := flag.Bool("v", false, "list everything that was raised, not only what was waited for")
	names := flag.Bool("list", false, "list the scenarios and end")
	flag.Parse()
	if *names {
		for _, s := range scenarios {
			fmt.Printf("%-20s %s\n", s.Name, s.Title)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := h.all(ctx, *only)
	if err == nil {
		if *asJSON {
			e := json.NewEncoder(os.Stdout)
			e.SetIndent("", "  ")
			err = e.Encode(results)
		} else {
			table(results, *verbose)
		}
	}
	if err == nil {
		err = verdict(results, *known)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scenarios:", err)
		os.Exit(1)
	}
}

// all starts, plays and ends.
func (h *harness) all(ctx context.Context, only string) ([]*result, error) {
	list := scenarios
	if only != "" {
		list = nil
		for name := range strings.SplitSeq(only, ",") {
			s, err := find(name)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
	}
	var err error
	for _, p := range []*string{&h.bin, &h.npm} {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	if h.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if err := start(ctx, h, list); err != nil {
		return nil, err
	}
	defer h.stop()
	return h.run(ctx, list)
}

func verdict(results []*result, allowKnown bool) error {
	var bad []string
	for _, r := range results {
		if !r.OK && !(allowKnown && r.Gap != "" && r.Quiet && r.Error == "") {
			bad = append(bad, r.Name)
		}
	}
	if len(bad) > 0 {
		return errors.New("not as it should be: " + strings.Join(bad, ", "))
	}
	return nil
}

func table(results []*result, verbose bool) {
	w := tabwriter.NewWriter(os.Stdout, 2, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tRESULT\tSECONDS\tTWIN\tFINDINGS")
	found := 0
	for _, r := range results {
		state, twin := "not detected", "quiet"
		if r.Detected {
			state = "detected"
			found++
		}
		if r.Error != "" {
			state = "failed"
		}
		if !r.Quiet {
			twin = "ALARM"
		}
		var list []string
		for _, f := range r.Findings {
			list = append(list, f.Rule+" "+f.Severity)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%s\t%s\n", r.Name, state, r.Seconds, twin, strings.Join(list, ", "))
	}
	w.Flush()
	fmt.Printf("\n%d of %d incidents detected\n", found, len(results))
	for _, r := range results {
		if r.OK && !verbose {
			continue
		}
		fmt.Printf("\n%s: %s (%s)\n", r.Name, r.Title, r.Traffic)
		if r.Error != "" {
			fmt.Println("  error:", r.Error)
		}
		if r.Gap != "" {
			fmt.Println("  known gap:", r.Gap)
		}
		for _, m := range r.Missing {
			fmt.Println("  missing:", m)
		}
		for what, list := range map[string][]raised{"found": r.Findings, "besides": r.Others, "twin": r.Twin} {
			for _, f := range list {
				if what != "twin" || verbose || rank(f.Severity) >= rank(alert) {
					fmt.Printf("  %s: %s %s principal=%q server=%q tool=%q: %s\n", what, f.Rule, f.Severity, f.Principal, f.Server, f.Tool, f.Summary)
				}
			}
		}
	}
}

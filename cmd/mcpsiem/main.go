// Command mcpsiem is the flight recorder and alarm of the Model Context Protocol: a Collector distribution with the commands
// to run it, ask it and check it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// Exit codes, stable for scripts.
const (
	exitOK          = 0
	exitFailure     = 1 // something went wrong; the message says what
	exitUsage       = 2 // the command line or a configuration is wrong
	exitRunning     = 3 // `up` found another mcpsiem on the state folder
	exitUnreachable = 4 // no running mcpsiem, or one of its parts does not answer
	exitCheck       = 5 // a check (doctor, status --check) found something wrong
)

// exitError carries an exit code with an error.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

func main() {
	chdb.Main() // becomes the embedded ClickHouse where this process was started as that, and does not return then
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	began := false // an error before a command begins is one of usage
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := needed(c); err != nil {
			return err
		}
		began = true
		return nil
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "mcpsiem:", err)
	var coded *exitError
	var running *state.ErrRunning
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &running):
		return exitRunning
	case !began:
		return exitUsage
	}
	return exitFailure
}

// extra commands of special builds.
var extra []func() *cobra.Command

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "mcpsiem",
		Short: "Flight recorder and alarm for MCP, the Model Context Protocol",
		Long: `mcpsiem records every message between AI agents and MCP servers, names who acted, removes what must not be stored,
counts what it costs, raises findings when something is wrong, and keeps it all in ClickHouse.

  mcpsiem up                      start everything on this machine
  mcptap stdio --name N -- CMD    run an MCP server CMD under a tap
  mcpsiem tail                    watch what passes
  mcpsiem findings list           what somebody should look at
  mcpsiem query "SELECT server, tool, count() FROM mcp_calls GROUP BY ALL"
  mcpsiem status                  see that nothing is lost

` + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       distro.VersionText(),
	}
	root.SetVersionTemplate("mcpsiem {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return withCode(exitUsage, fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath()))
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run"},
		&cobra.Group{ID: "look", Title: "Look"},
		&cobra.Group{ID: "mend", Title: "Check and mend"},
	)
	root.AddCommand(
		newInit(), newUp(), newDown(), newRun(), newValidate(), newMigrate(), newIngest(),
		newStatus(), newTail(), newFindings(), newQuery(), newRules(), newInventory(), newApprove(), newBudgets(), newSink(), newReplay(), newReconcile(),
		newDLQ(), newDoctor(), newHealth(), newIdentity(), newKeys(), newEval(), newAudit(), newEvidence(), newElastic(),
		newRetention(), newHold(), newSubject(), newRoles(),
	)
	for _, f := range extra {
		root.AddCommand(f())
	}
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	teach(root)
	complete(root)
	return root
}

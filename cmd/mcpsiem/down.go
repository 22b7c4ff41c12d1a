package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/state"
)

func newDown() *cobra.Command {
	var dir string
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "down",
		GroupID: "run",
		Short:   "Stop the mcpsiem that `up` started",
		Long: `Ask the running mcpsiem to end in order and wait until it has: receivers close, what is in flight is finished, ClickHouse
and NATS stop. Nothing is lost; taps spool until the next ` + "`mcpsiem up`" + `. Exit code 4 if none is running.`,
		Example: "  mcpsiem down",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := state.Dir(dir)
			pid, ok := d.Holder()
			if !ok {
				return withCode(exitUnreachable, fmt.Errorf("mcpsiem is not running on %s", d))
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("cannot stop process %d: %w", pid, err)
			}
			fmt.Fprintf(os.Stderr, "stopping mcpsiem (pid %d)\n", pid)
			deadline := time.Now().Add(timeout)
			for {
				if _, ok := d.Holder(); !ok {
					fmt.Fprintln(os.Stderr, "stopped")
					return nil
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("mcpsiem (pid %d) has not ended after %v: see %s; `kill -9 %d` is safe, everything acknowledged is on disk",
						pid, timeout, d.Path("log", "mcpsiem.log"), pid)
				}
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
	}
	c.Flags().StringVar(&dir, "state", state.Default(), "state folder of the installation `DIR` (env MCPSIEM_STATE)")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait `DURATION`")
	return c
}

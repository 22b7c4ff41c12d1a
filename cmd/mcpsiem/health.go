package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// newHealth asks the health check of one process, for places that have no HTTP client: containers without a shell.
func newHealth() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "health [ADDR]",
		GroupID: "mend",
		Short:   "Ask the health check of one mcpsiem process",
		Long: `Ask the health_check extension at ADDR, and print what it answers. Exit code 4 where it does not answer, or not with 200. For probes in
containers, which have no shell and no curl. The whole installation is checked by ` + "`mcpsiem doctor` and `mcpsiem status --check`.",
		Example: "  mcpsiem health\n  mcpsiem health 127.0.0.1:13134",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			addr := "127.0.0.1:13133"
			if len(args) == 1 {
				addr = args[0]
			}
			if _, _, err := splitAddr(addr); err != nil {
				return withCode(exitUsage, err)
			}
			if err := askHealth(c.Context(), addr, timeout); err != nil {
				return withCode(exitUnreachable, err)
			}
			fmt.Fprintln(c.OutOrStdout(), "ok")
			return nil
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait `DURATION`")
	return c
}

func askHealth(ctx context.Context, addr string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: addr, Path: "/"}).String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("cannot ask the health check at %s: %w", addr, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", addr, resp.Status)
	}
	return nil
}

//go:build manual

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/mcpsiem/mcpsiem/internal/distro"
)

// init adds `mcpsiem man DIR`, which writes a manual page for each command. It is built by `make man` alone, so that the program does not
// carry a typesetter.
func init() {
	extra = append(extra, func() *cobra.Command {
		return &cobra.Command{
			Use: "man DIR", Short: "Write manual pages", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if err := os.MkdirAll(args[0], 0o755); err != nil {
					return fmt.Errorf("cannot make the folder: %w", err)
				}
				root := c.Root()
				root.DisableAutoGenTag = true // the same source makes the same pages
				each(root, func(c *cobra.Command) {
					if !strings.Contains(c.Long, exitCodes) {
						c.Long = strings.TrimSpace(c.Long + "\n\n" + exitCodes)
					}
					c.LocalFlags().VisitAll(func(f *pflag.Flag) { f.DefValue = shortPath(f.DefValue) }) // not the home of who builds them
				})
				return doc.GenManTree(root, &doc.GenManHeader{Title: "MCPSIEM", Section: "1", Source: "mcpsiem " + distro.Version, Manual: "mcpsiem"}, args[0])
			},
		}
	})
}

// Command mcptap is the tap: it stands between an MCP client and server, passes every byte on, and sends copies of the messages to
// an mcpsiem collector. One runs beside every server, so it is small and has no Collector in it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// Exit codes. mcptap stdio otherwise ends like the server that it runs.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2
	exitCannotRun = 126
	exitNotFound  = 127
)

// version is set when a release is built.
var version = ""

// command is one of mcptap's commands.
type command struct {
	name    string
	args    string // what follows the flags
	short   string
	long    string
	example string
	flags   func(*flags) // declares the command's flags
	run     func(*flags, []string) error
}

// commands in the order in which help lists them.
func commands() []*command {
	return []*command{stdioCommand(), httpCommand(), wrapCommand(), unwrapCommand(), rotateKeyCommand(), completionCommand(), versionCommand()}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs mcptap with args and gives its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		overview(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "--help", "-h", "-help":
		if len(args) > 1 {
			if c := find(args[1]); c != nil {
				c.help(stdout)
				return exitOK
			}
		}
		overview(stdout)
		return exitOK
	case "--version", "-version":
		args[0] = "version"
	}
	c := find(args[0])
	if c == nil {
		fmt.Fprintf(stderr, "mcptap: there is no command of that name. Run mcptap help.\n")
		return exitUsage
	}
	f := newFlags(c)
	f.stdout, f.stderr = stdout, stderr
	rest, err := f.parse(args[1:])
	if errors.Is(err, errHelp) {
		c.help(stdout)
		return exitOK
	}
	if err == nil {
		err = c.run(f, rest)
	}
	if err == nil {
		return exitOK
	}
	var e *exitError
	code := exitFailure
	if errors.As(err, &e) {
		code = e.code
	}
	fmt.Fprintf(stderr, "mcptap: %v\n", err)
	if code == exitUsage {
		fmt.Fprintf(stderr, "Run mcptap help %s.\n", c.name)
	}
	return code
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

func overview(w io.Writer) {
	fmt.Fprint(w, `mcptap stands between an MCP client and server, passes every byte on unchanged, and sends
copies of the messages to an mcpsiem collector.

Usage: mcptap COMMAND [FLAGS] ...

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s%s\n", c.name, c.short)
	}
	fmt.Fprint(w, `
Run mcptap help COMMAND for a command's flags and examples.

Each flag has an environment variable: --token-file is MCPTAP_TOKEN_FILE. A flag wins over it.

Exit codes:
  0    done                  2    wrong usage
  1    it failed             126  the server cannot be run
                             127  the server's command was not found
  mcptap stdio otherwise ends as the server does: with its exit code, or by its signal.
`)
}

func (c *command) help(w io.Writer) {
	fmt.Fprintf(w, "Usage: mcptap %s %s\n\n%s\n", c.name, strings.TrimSpace("[FLAGS] "+c.args), strings.TrimSpace(c.long))
	f := newFlags(c)
	if len(f.all) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		for _, fl := range f.all {
			if fl.hidden {
				continue
			}
			head := "--" + fl.name
			if fl.arg != "" {
				head += " " + fl.arg
			}
			text := fl.usage
			if fl.def != "" {
				text += " (default " + fl.def + ")"
			}
			fmt.Fprintf(w, "  %s\n        %s\n", head, text)
		}
	}
	fmt.Fprintf(w, "\nExamples:\n%s", c.example)
}

func versionCommand() *command {
	return &command{
		name: "version", short: "print the version",
		long:    "Prints mcptap's version, the Go version it was built with, and its system.",
		example: "  mcptap version\n",
		run: func(f *flags, args []string) error {
			if len(args) > 0 {
				return usage("version takes no arguments")
			}
			v, goVersion, system := version, "", ""
			if b, ok := debug.ReadBuildInfo(); ok {
				if v == "" {
					v = b.Main.Version
				}
				goVersion = b.GoVersion
				var os, arch string
				for _, s := range b.Settings {
					switch s.Key {
					case "GOOS":
						os = s.Value
					case "GOARCH":
						arch = s.Value
					}
				}
				system = os + "/" + arch
			}
			_, err := fmt.Fprintln(f.stdout, "mcptap", v, goVersion, system)
			return err
		},
	}
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/launch"
	"github.com/mcpsiem/mcpsiem/internal/tap"
	"github.com/mcpsiem/mcpsiem/internal/tapio"
)

func stdioCommand() *command {
	return &command{
		name: "stdio", args: "-- COMMAND [ARGS...]", short: "run an MCP server and tap its stdin and stdout",
		long: `
Runs COMMAND, an MCP server that speaks over stdin and stdout, and stands between it and the client that
started mcptap. Every byte passes unchanged and before it is looked at; stderr, signals, closing and
the exit code are the server's. If recording is not possible a warning goes to stderr, once, and
traffic flows all the same.

What cannot be sent waits, encrypted, in the state folder and is sent by the next tap that can.

Exit codes: the server's own; 126 if it cannot be run, 127 if COMMAND was not found, 2 for wrong usage.
A server that dies of a signal makes mcptap die of the same signal.`,
		example: `  mcptap stdio --name files -- npx -y @modelcontextprotocol/server-filesystem /data
  mcptap stdio --name db --label team=blue --tenant acme -- uvx db-mcp
  mcptap stdio --name db --endpoint https://mcpsiem.example.com:4318 --token-file ~/.mcpsiem.token -- ./server
`,
		flags: func(f *flags) {
			f.addRecording("COMMAND's file name", "8MiB")
			f.toggle(new(bool), "no-args", "a mark that mcptap wrap leaves").hidden = true
			f.list(&f.recording.configured, "configured", "NAME", "a variable that mcptap wrap saw a credential for in the client's configuration file").hidden = true
		},
		run: runStdio,
	}
}

func runStdio(f *flags, args []string) error {
	if len(args) == 0 {
		return usage("which server? mcptap stdio --name NAME -- COMMAND [ARGS...]")
	}
	r := &f.recording
	program := filepath.Base(args[0])
	if r.name == "" {
		r.name = program
	}
	in, out, err := tapio.StdFiles()
	if err != nil {
		return err
	}
	w := newWarnings(f)
	labels := maps.Clone(r.labels)
	if from := credentialSources(args, os.Environ(), r.configured); len(from) > 0 {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[event.LabelCredentials] = strings.Join(from, " ")
	}
	var (
		mu  sync.Mutex // guards rec
		rec *tap.Recorder
	)
	s := &tapio.Stdio{
		Command: args, In: in, Out: out, Err: os.Stderr,
		Open: func(pid int) (tap.Stream, error) {
			got, err := r.recorder(slog.New(w))
			if err != nil {
				return nil, err
			}
			mu.Lock()
			rec = got
			mu.Unlock()
			return got.Open(tap.StreamInfo{
				Server: r.name, Transport: event.TransportStdio, Labels: labels, Tenant: r.tenant,
				Command: program, Package: launch.Package(args), PID: pid, ParentCommand: parentCommand(),
			}), nil
		},
		Finish: func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if rec == nil {
				return nil
			}
			return rec.Shutdown(ctx)
		},
		Warn:            w.warn,
		CaptureLimit:    int(r.captureLimit),
		Buffer:          int(r.buffer),
		ShutdownTimeout: r.shutdownTimeout,
	}
	exit, err := s.Run()
	if err != nil {
		var se *tapio.StartError
		if errors.As(err, &se) {
			return &exitError{se.Code, err}
		}
		return err
	}
	tapio.DieLike(exit)
	return nil
}

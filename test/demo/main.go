// Command demo shows mcpsiem on real traffic and checks it: it starts `mcpsiem up` in a folder of its own, puts taps before
// real MCP servers from npm, drives them with the official Go and TypeScript SDKs, and compares what is stored with what
// witnesses on both sides of each tap saw. It exits 0 only if every message is stored exactly once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type demo struct {
	bin, npm, dir, self string
	state               string
	json                bool
	up                  *exec.Cmd
	upExit              chan error
	endpoint            string // base URL of the collector, for the taps
}

func main() {
	if len(os.Args) > 3 && os.Args[1] == "witness" && os.Args[3] == "--" {
		err := witnessStdio(os.Args[2], os.Args[4:])
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			os.Exit(exit.ExitCode())
		case err != nil:
			fmt.Fprintln(os.Stderr, "witness:", err)
			os.Exit(127)
		}
		return
	}
	var d demo
	keep := flag.Bool("keep", false, "leave mcpsiem running and its folder in place")
	flag.StringVar(&d.bin, "bin", "bin", "folder with mcpsiem and mcptap")
	flag.StringVar(&d.npm, "npm", "test/demo/npm", "folder with the npm packages installed")
	flag.BoolVar(&d.json, "json", false, "print one JSON object instead of tables")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context, keep bool) error {
	var err error
	for _, p := range []*string{&d.bin, &d.npm} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "mcpsiem-demo-"); err != nil {
		return err
	}
	d.state = filepath.Join(d.dir, "state")
	if err := os.MkdirAll(filepath.Join(d.dir, "notes"), 0o700); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(d.dir)
	}
	began := time.Now()
	if err := d.start(ctx); err != nil {
		return err
	}
	if !keep {
		defer d.stop()
	}
	d.logf("mcpsiem is up after %.1f s", time.Since(began).Seconds())
	servers, err := d.drive(ctx)
	if err != nil {
		return err
	}
	verdict, err := d.judge(ctx, servers)
	if err != nil {
		return err
	}
	if err := d.print(ctx, verdict); err != nil {
		return err
	}
	if keep {
		d.logf("still running: mcpsiem --state %s status; end it with mcpsiem down --state %s", d.state, d.state)
	}
	if !verdict.OK {
		return errors.New("what is stored is not what passed")
	}
	return nil
}

// start runs `mcpsiem up` on free ports and waits until it is ready.
func (d *demo) start(ctx context.Context) error {
	d.up = exec.Command(filepath.Join(d.bin, "mcpsiem"), "up", "--state", d.state, "--any-port")
	d.up.Stdout, d.up.Stderr = os.Stderr, os.Stderr
	d.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the demonstration, which then ends this in order
	if err := d.up.Start(); err != nil {
		return fmt.Errorf("cannot start mcpsiem: %w (build it with `make build`)", err)
	}
	d.upExit = make(chan error, 1)
	go func() { d.upExit <- d.up.Wait() }()
	for deadline := time.Now().Add(10 * time.Minute); ; {
		var e struct {
			PID  int    `json:"pid"`
			OTLP string `json:"otlp_http"`
		}
		b, err := os.ReadFile(filepath.Join(d.state, "endpoints.json"))
		if err == nil && json.Unmarshal(b, &e) == nil && e.PID == d.up.Process.Pid {
			d.endpoint = "http://" + e.OTLP
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("mcpsiem is not ready after 10 minutes")
		}
		select {
		case err := <-d.upExit:
			d.upExit <- err
			return fmt.Errorf("mcpsiem ended early: %w", err)
		case <-ctx.Done():
			d.stop()
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *demo) stop() {
	d.up.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.upExit:
	case <-time.After(30 * time.Second):
		d.up.Process.Kill()
	}
}

func (d *demo) tapFlags() []string {
	return []string{"--endpoint", d.endpoint, "--token-file", filepath.Join(d.state, "secrets", "otlp.token"), "--state-dir", filepath.Join(d.dir, "tap")}
}

func (d *demo) notes(server, side string) string {
	return filepath.Join(d.dir, "notes", server+"."+side)
}

// query runs SQL through the command that a user would run and decodes its rows.
func (d *demo) query(ctx context.Context, sql string, rows any) error {
	out, err := exec.CommandContext(ctx, filepath.Join(d.bin, "mcpsiem"), "query", "--state", d.state, "--format", "json", sql).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("query failed: %s", strings.TrimSpace(string(exit.Stderr)))
		}
		return err
	}
	joined := "[" + strings.ReplaceAll(strings.TrimSpace(string(out)), "}\n{", "},\n{") + "]"
	return json.Unmarshal([]byte(joined), rows)
}

func (d *demo) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

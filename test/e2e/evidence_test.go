package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// exitCode N COMMAND ARG... runs a command that has to end with the code; its output goes to the test's log, and to stdout and stderr of the script.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var code *exec.ExitError
	switch {
	case err == nil && want != 0, err != nil && !errors.As(err, &code):
		ts.Fatalf("want exit code %d, got %v", want, err)
	case err != nil && code.ExitCode() != want:
		ts.Fatalf("want exit code %d, got %d", want, code.ExitCode())
	}
}

// waitSealed waits until everything that is stored is sealed.
func waitSealed(ts *testscript.TestScript, _ bool, _ []string) {
	dir := state.Dir(ts.Getenv("MCPSIEM_STATE"))
	ctx := context.Background()
	// Not by a command: each question of one is on record, and so one more row to be sealed.
	c, err := store.Open(ctx, store.Config{Endpoint: endpoints(ts)["clickhouse"].(string), Username: "analyst", PasswordFile: filepath.Clean(dir.Secret(state.SecretClickHouseRead))})
	ts.Check(err)
	defer c.Close()
	for range 300 {
		var open uint64
		if c.QueryRow(ctx, "SELECT countIf(stored > sealed) + 100 * (count() = 0) FROM seal_status").Scan(&open) == nil && open == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("not everything is sealed after 30 seconds")
}

// flipByte FROM TO AT copies a file with one byte changed.
func flipByte(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[2])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// adminSQL STATEMENT does as the store's administrator what no command does.
func adminSQL(ts *testscript.TestScript, _ bool, args []string) {
	dir := state.Dir(ts.Getenv("MCPSIEM_STATE"))
	c, err := store.Open(context.Background(), store.Config{Endpoint: endpoints(ts)["clickhouse"].(string), Username: "admin", PasswordFile: filepath.Clean(dir.Secret(state.SecretClickHouseAdm))})
	ts.Check(err)
	defer c.Close()
	ts.Check(c.Exec(context.Background(), args[0]))
}

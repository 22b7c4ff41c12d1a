// Package storetest gives a package's tests one embedded ClickHouse with the schema in it.
package storetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// Server is the engine that Main started.
var Server *chdb.Server

// Main is a TestMain: it starts the engine, migrates, runs the tests (run returns their exit code) and stops the engine. Where the engine
// cannot be had the tests fail.
func Main(run func() int) {
	chdb.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mcpsiem-store")
		if err != nil {
			return fail(err)
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
		defer cancel()
		lib, err := chdb.Ensure(ctx, chdb.EnsureOptions{Progress: os.Stderr})
		if err != nil {
			return fail(err)
		}
		if Server, err = chdb.Start(ctx, chdb.Options{Dir: dir, Lib: lib}); err != nil {
			return fail(err)
		}
		defer Server.Stop(context.Background())
		c, err := store.Open(ctx, Config(chdb.UserAdmin))
		if err != nil {
			return fail(err)
		}
		err = store.Migrate(ctx, c, io.Discard)
		c.Close()
		if err != nil {
			return fail(err)
		}
		return run()
	}())
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "cannot run the tests without ClickHouse:", err)
	return 1
}

// Config reaches the engine as one of its users.
func Config(user string) store.Config {
	return store.Config{Endpoint: Server.TCPAddr(), Username: user, Password: Server.Password(user)}
}

// Open connects as one of the engine's users until the test ends.
func Open(t testing.TB, user string) *store.Conn {
	t.Helper()
	c, err := store.Open(context.Background(), Config(user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

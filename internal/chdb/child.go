// The child process: the engine itself. One process holds one engine, because the library keeps global state, installs
// signal handlers and ends its process when something is badly wrong; none of that may happen in the pipeline's process.

package chdb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

const (
	// envServe makes a process the engine; its value is the path of the server's config.xml.
	envServe = "MCPSIEM_CHDB_SERVE"
	// EnvLib names the engine's library, and overrides the cache.
	EnvLib = "MCPSIEM_CHDB_LIB"
)

// holdQuery opens the listeners and then keeps the engine busy with nothing until it is cancelled. It reads no file: a
// grant for that would let every local user read every file of this one.
const holdQuery = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; " +
	"SELECT sleepEachRow(0.2) FROM numbers(1000000000000) SETTINGS max_block_size = 1, max_execution_time = 0 FORMAT Null"

// releaseQuery cancels the holding query, after which the engine ends in order: what runs is cancelled and tables are closed.
const releaseQuery = "KILL QUERY WHERE startsWith(query, 'SELECT sleepEachRow(0.2) FROM numbers(1000000000000)') ASYNC"

// stopPatience is how long an engine that was told to end may take before its process ends anyway. What was acknowledged
// is on disk by then, so that the only loss is time.
const stopPatience = 20 * time.Second

// Main turns this process into the engine if it was started as one, and then does not return. Every program and test binary that calls
// Start calls Main first.
func Main() {
	cfg := os.Getenv(envServe)
	if cfg == "" {
		return
	}
	os.Exit(serve(os.Getenv(EnvLib), cfg))
}

// serve runs the engine until it is told to stop: by SIGTERM or by the end of standard input, which the parent
// holds open and which closes with the parent, however that ends.
func serve(lib, cfg string) int {
	runtime.LockOSThread()
	h, err := purego.Dlopen(lib, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot load the ClickHouse library %s: %v\n", lib, err)
		return exitNoLibrary
	}
	sym, err := purego.Dlsym(h, "chdb_query_cmdline")
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot use the ClickHouse library %s: %v\n", lib, err)
		return exitNoLibrary
	}
	var cmdline func(argc int32, argv **byte) int32
	purego.RegisterFunc(&cmdline, sym)

	stdin, err := duplicate(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start ClickHouse:", err)
		return exitNoParent
	}
	control := bufio.NewReader(stdin)
	line, err := control.ReadString('\n')
	if err != nil {
		return exitNoParent
	}
	httpAddr, password, _ := strings.Cut(strings.TrimSpace(line), " ")

	// The engine takes itself for a batch job where its standard input is no terminal, and then ends the process at the first
	// exception on a connection: a wrong password or a client that hangs up would do (ClickHouse issue 115666, in 26.7).
	// So it gets a terminal, at which nobody ever types.
	master, slave, err := openTerminal()
	if err == nil {
		err = becomeStdin(slave)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start ClickHouse: cannot open a terminal for it:", err)
		return exitNoTerminal
	}
	slave.Close()

	term := make(chan os.Signal, 4)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := control.ReadString('\n'); err != nil {
				return
			}
			debug.FreeOSMemory() // the engine answers: what starting it took is given back
		}
	}()
	go func() {
		select {
		case <-term:
		case <-gone:
		}
		time.AfterFunc(stopPatience, func() { os.Exit(exitStuck) })
		for {
			release(httpAddr, password)
			master.Close() // without its query the engine asks the terminal for another one, and ends with it
			time.Sleep(300 * time.Millisecond)
		}
	}()

	args := []string{"clickhouse", "--config-file=" + cfg, "--interactive", "--progress=off", "--history_file=/dev/null", "--disable_suggestion", "--query", holdQuery}
	argv := make([]*byte, len(args)+1)
	// The deferred call keeps the pinner reachable while the engine runs: a pinner that is collected ends the process.
	var pin runtime.Pinner
	defer pin.Unpin()
	for i, a := range args {
		p, err := unix.BytePtrFromString(a)
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot start ClickHouse: its config path holds a NUL")
			return exitNoLibrary
		}
		argv[i] = p
		pin.Pin(p)
	}
	pin.Pin(&argv[0])
	return int(cmdline(int32(len(args)), &argv[0]))
}

// Exit codes of the child beside the engine's own.
const (
	exitNoLibrary  = 90
	exitStuck      = 91
	exitNoParent   = 92
	exitNoTerminal = 93
)

// release asks the engine, over its own HTTP listener, to end.
func release(addr, password string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", strings.NewReader(releaseQuery))
	if err != nil {
		return
	}
	req.Header.Set("X-ClickHouse-User", userSupervisor)
	req.Header.Set("X-ClickHouse-Key", password)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
}

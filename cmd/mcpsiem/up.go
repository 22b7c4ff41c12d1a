package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/distro"
	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/setup"
	"github.com/mcpsiem/mcpsiem/internal/state"
	"github.com/mcpsiem/mcpsiem/internal/store"
)

// upOptions are the flags of `up`.
type upOptions struct {
	state   string
	anyPort bool
	addrs   state.Endpoints
	follow  []string
	configs []string // laid over the generated configuration
}

func newUp() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:     "up",
		GroupID: "run",
		Short:   "Start everything on this machine, in one process tree",
		Long: `Start NATS JetStream (encrypted, every acknowledgement on disk), ClickHouse and all pipelines, on loopback only, with
generated credentials in the state folder; create or upgrade the schema; and print where things are. Runs until Ctrl-C, SIGTERM or
` + "`mcpsiem down`" + `, and then ends in order. What is on disk survives; taps spool while it is away.

--config lays your own settings over the generated configuration, key by key, e.g. token issuers, a redaction policy, prices:
    processors: {identity: {default_tenant: acme}}
A people.yaml, a budgets.yaml, a residency.yaml, a sinks.yaml (docs/sinks.md) and a site.yaml (settings as with --config) in the state folder are
used without that; ` + "`mcpsiem init`" + ` asks for what goes into them.

The first start fetches the ClickHouse engine by npm (178 MB) into the cache folder.`,
		Example: "  mcpsiem up\n  mcpsiem up --follow '/var/log/mcp-gateway/*.jsonl'\n  mcpsiem up --state /tmp/try --any-port",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return up(c.Context(), o, c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&o.state, "state", state.Default(), "state folder `DIR` (env MCPSIEM_STATE)")
	f.BoolVar(&o.anyPort, "any-port", false, "take free ports instead of the usual ones where no address is given")
	f.StringVar(&o.addrs.OTLPHTTP, "otlp-http", "127.0.0.1:4318", "OTLP over HTTP `ADDR`")
	f.StringVar(&o.addrs.OTLPGRPC, "otlp-grpc", "127.0.0.1:4317", "OTLP over gRPC `ADDR`")
	f.StringVar(&o.addrs.NATS, "nats", "127.0.0.1:14222", "NATS `ADDR`")
	f.StringVar(&o.addrs.ClickHouse, "clickhouse", "127.0.0.1:19000", "ClickHouse, native protocol `ADDR`")
	f.StringVar(&o.addrs.ClickHouseHTTP, "clickhouse-http", "127.0.0.1:18123", "ClickHouse, HTTP `ADDR`")
	f.StringVar(&o.addrs.Health, "health", "127.0.0.1:13133", "health check `ADDR`")
	f.StringVar(&o.addrs.Metrics, "metrics", "127.0.0.1:18888", "Prometheus metrics of mcpsiem itself `ADDR`")
	f.StringVar(&o.addrs.Page, "page", "127.0.0.1:18600", "the built-in page, HTTP `ADDR`")
	f.StringArrayVar(&o.follow, "follow", nil, "follow event files, one JSON object a line, matching `GLOB`; may be given more than once")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "lay this configuration over the generated one `FILE`; may be given more than once")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	c.PreRun = func(c *cobra.Command, _ []string) {
		if !o.anyPort {
			return
		}
		for name, addr := range addresses(&o.addrs) {
			if !c.Flags().Changed(name) {
				*addr = "127.0.0.1:0"
			}
		}
	}
	return c
}

func up(ctx context.Context, o upOptions, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := loopbackOnly(o.addrs); err != nil {
		return withCode(exitUsage, err)
	}
	d, err := state.Create(o.state)
	if err != nil {
		return err
	}
	lock, err := d.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	// Other commands take mcpsiem as ready once this file is there.
	_ = os.Remove(d.Path("endpoints.json"))
	if err := enoughSpace(d); err != nil {
		return err
	}
	e := o.addrs
	e.PID = os.Getpid()
	if err := claimPorts(ctx, &e, lock.Unclean); err != nil {
		return err
	}
	log, err := openLog(d.Path("log", "mcpsiem.log"))
	if err != nil {
		return err
	}
	defer log.Sync()

	if _, err := distro.CheckSinks(ctx, d.Sinks()); err != nil {
		return withCode(exitUsage, err)
	}
	// A fault of the operator's is told before anything is fetched or started.
	planned := e
	planned.NATS = "nats://" + e.NATS
	if config, err := writeConfig(d, planned, o.follow); err != nil {
		return err
	} else if err := distro.Validate(ctx, append(config, o.configs...)); err != nil {
		return withCode(exitUsage, err)
	}
	lib, err := chdb.Ensure(ctx, chdb.EnsureOptions{Progress: os.Stderr})
	if err != nil {
		return err
	}
	step := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

	step("starting NATS")
	nats, err := startNATS(d, e.NATS, log)
	if err != nil {
		return err
	}
	defer nats.Shutdown()
	e.NATS = nats.ClientURL()
	watchingKeys, stopWatchingKeys := context.WithCancel(ctx)
	defer stopWatchingKeys()
	go (&keyWatch{dir: d, nats: nats, log: log.Named("keys")}).run(watchingKeys)

	step("starting ClickHouse")
	ch, err := startClickHouse(ctx, d, e, lib, log)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = errors.Join(err, ch.Stop(stop))
	}()
	e.ClickHouse, e.ClickHouseHTTP = ch.TCPAddr(), ch.HTTPAddr()
	admin := store.Config{Endpoint: e.ClickHouse, Database: "mcpsiem", Username: chdb.UserAdmin, PasswordFile: d.Secret(state.SecretClickHouseAdm)}
	if err := migrate(ctx, admin, os.Stderr); err != nil {
		return err
	}
	if err := peopleViews(ctx, d, admin); err != nil {
		return err
	}

	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go watchRoles(watching, d, ch, admin, log.Named("roles"))

	step("starting pipelines")
	config, err := writeConfig(d, e, o.follow)
	if err != nil {
		return err
	}
	started := func() {
		if err := d.WriteEndpoints(e); err != nil {
			step("mcpsiem: %v", err)
			cancel()
			return
		}
		printWelcome(out, d, e)
	}
	err = distro.Run(ctx, append(config, o.configs...), started)
	_ = os.Remove(d.Path("endpoints.json"))
	step("stopping")
	if err != nil {
		return fmt.Errorf("the pipelines ended: %w (log: %s)", err, d.Path("log", "mcpsiem.log"))
	}
	return nil
}

func startNATS(d state.Dir, addr string, log *zap.Logger) (*natsd.Server, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	secrets := map[string]string{}
	for _, name := range []string{state.SecretJetStreamKey, state.SecretNATSPipeline, state.SecretNATSViewer} {
		if secrets[name], err = d.ReadSecret(name); err != nil {
			return nil, err
		}
	}
	next, nextErr := nextJetStreamKey(d) // counts if a change to it had been decided
	nats, err := natsd.Start(natsd.Options{
		Dir: d.Path("nats"), Host: host, Port: port, Key: secrets[state.SecretJetStreamKey], NextKey: next, Logger: log.Named("nats"),
		Users: []natsd.User{
			{Name: "pipeline", Password: secrets[state.SecretNATSPipeline], Role: natsd.RolePipeline},
			{Name: "viewer", Password: secrets[state.SecretNATSViewer], Role: natsd.RoleViewer},
		},
	})
	if err != nil && nextErr != nil {
		err = fmt.Errorf("%w; the change to the next key may have been decided, and %w", err, nextErr)
	}
	return nats, err
}

func startClickHouse(ctx context.Context, d state.Dir, e state.Endpoints, lib string, log *zap.Logger) (*chdb.Server, error) {
	_, tcp, err := splitAddr(e.ClickHouse)
	if err != nil {
		return nil, err
	}
	_, http, err := splitAddr(e.ClickHouseHTTP)
	if err != nil {
		return nil, err
	}
	passwords := map[string]string{}
	for user, secret := range map[string]string{
		chdb.UserAdmin: state.SecretClickHouseAdm, chdb.UserPipeline: state.SecretClickHousePipe, chdb.UserAnalyst: state.SecretClickHouseRead,
		chdb.UserRemover: state.SecretClickHouseRemove,
	} {
		if passwords[user], err = d.ReadSecret(secret); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(passwords)
	if err != nil {
		return nil, err
	}
	file := d.Secret("clickhouse-users.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write ClickHouse users: %w", err)
	}
	accounts, err := peopleAccounts(d)
	if err != nil {
		return nil, err
	}
	log = log.Named("clickhouse")
	return chdb.Start(ctx, chdb.Options{
		Dir: d.Path("clickhouse"), TCPPort: tcp, HTTPPort: http, SecretsFile: file, Lib: lib, Accounts: accounts,
		Log: func(msg string) { log.Warn(msg) },
	})
}

func migrate(ctx context.Context, cfg store.Config, progress io.Writer) error {
	conn, err := store.Open(ctx, cfg)
	if err != nil {
		return withCode(exitUnreachable, err)
	}
	defer conn.Close()
	return store.Migrate(ctx, conn, progress)
}

// writeConfig renders the Collector's configuration files into the state folder, the later to be laid over the earlier.
func writeConfig(d state.Dir, e state.Endpoints, follow []string) ([]string, error) {
	host, port, err := net.SplitHostPort(e.Metrics)
	if err != nil {
		return nil, err
	}
	l := distro.Laptop{
		OTLPHTTP: e.OTLPHTTP, OTLPGRPC: e.OTLPGRPC, NATSURL: e.NATS, ClickHouse: e.ClickHouse, HealthAddr: e.Health, PageAddr: e.Page,
		MetricsHost: host, MetricsPort: port, Secrets: d.Path("secrets"), DetectDir: d.Path("detect"), RulesDir: d.Rules(), SealDir: d.Path("seal"), ClickHouseHTTP: e.ClickHouseHTTP,
		JournalFile: d.Path("journal.json"), RetentionDir: d.Path("retention"), ArchiveDir: d.Path("archive"),
		WatchDirectory: d.Directory(), WatchBudgets: d.Budgets(), WatchRetention: d.Retention(), WatchRoles: d.Roles(), AllowList: d.AllowList(),
		LogFile: d.Path("log", "mcpsiem.log"), FileLogs: follow, FileStorage: d.Path("files"),
	}
	for path, to := range map[string]*string{d.Directory(): &l.Directory, d.Budgets(): &l.Budgets, d.Retention(): &l.Retention, d.Residency(): &l.Residency} {
		if _, err := os.Stat(path); err == nil {
			*to = path
		}
	}
	if len(follow) > 0 {
		if err := os.MkdirAll(l.FileStorage, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make folder for file offsets: %w", err)
		}
	}
	main, err := l.Render()
	if err != nil {
		return nil, err
	}
	list, err := distro.ReadSinks(d.Sinks())
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	sinks, err := distro.RenderSinks(list, map[string]any{"url": e.NATS, "username": "pipeline", "password_file": d.Secret(state.SecretNATSPipeline)})
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range []struct {
		path string
		text []byte
	}{{d.Path("config.yaml"), main}, {d.Path("config-sinks.yaml"), sinks}} {
		if f.text == nil {
			_ = os.Remove(f.path)
			continue
		}
		if err := os.WriteFile(f.path, f.text, 0o600); err != nil {
			return nil, fmt.Errorf("cannot write configuration: %w", err)
		}
		files = append(files, f.path)
	}
	if site := setup.Site(d); exists(site) {
		files = append(files, site)
	}
	return files, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func printWelcome(w io.Writer, d state.Dir, e state.Endpoints) {
	self, err := os.Executable()
	if err != nil {
		self = "mcpsiem"
	}
	tap, arg := filepath.Join(filepath.Dir(self), "mcptap"), ""
	if string(d) != state.Default() || e.OTLPHTTP != "127.0.0.1:4318" {
		arg = fmt.Sprintf(" --endpoint http://%s --token-file %s", e.OTLPHTTP, d.Secret(state.SecretOTLPToken))
	}
	stateArg := ""
	if string(d) != state.Default() {
		stateArg = " --state " + string(d)
	}
	fmt.Fprintf(w, `
mcpsiem is running (pid %d). Ctrl-C ends it in order.

  Look here    %s
  OTLP         http://%s   grpc %s   token in %s
  ClickHouse   http://%s   native %s   user analyst, password in %s
  NATS         %s   user viewer, password in %s
  metrics      http://%s/metrics   health http://%s
  state, log   %s

Tap a first server, in another terminal:

  %s stdio --name files%s -- npx -y @modelcontextprotocol/server-filesystem ~
  %s wrap --dry-run FILE      # every server in a client's configuration

Then look:

  %s tail%s
  %s status%s
  %s query%s "SELECT started, principal_id, server, tool, outcome FROM mcp_calls WHERE started > now() - INTERVAL 1 HOUR ORDER BY started DESC LIMIT 20"

`, e.PID, pageLink(d, e), e.OTLPHTTP, e.OTLPGRPC, d.Secret(state.SecretOTLPToken), e.ClickHouseHTTP, e.ClickHouse, d.Secret(state.SecretClickHouseRead),
		e.NATS, d.Secret(state.SecretNATSViewer), e.Metrics, e.Health, d, tap, arg, tap, self, stateArg, self, stateArg, self, stateArg)
}

// pageLink opens the built-in page.
func pageLink(d state.Dir, e state.Endpoints) string {
	token, err := d.ReadSecret(state.SecretPage)
	if err != nil {
		return "http://" + e.Page + "/"
	}
	return "http://" + e.Page + "/?token=" + token
}

// addresses names each endpoint by its flag.
func addresses(e *state.Endpoints) map[string]*string {
	return map[string]*string{
		"otlp-http": &e.OTLPHTTP, "otlp-grpc": &e.OTLPGRPC, "nats": &e.NATS, "clickhouse": &e.ClickHouse,
		"clickhouse-http": &e.ClickHouseHTTP, "health": &e.Health, "metrics": &e.Metrics, "page": &e.Page,
	}
}

// loopbackOnly refuses addresses that other machines can reach: this installation has no TLS.
func loopbackOnly(e state.Endpoints) error {
	for name, addr := range addresses(&e) {
		host, _, err := splitAddr(*addr)
		if err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
		ip := net.ParseIP(host)
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("--%s %s: `mcpsiem up` listens on loopback only; to serve other machines use `mcpsiem run` with TLS (deploy/config)", name, *addr)
		}
	}
	return nil
}

// claimPorts checks that each port is free, and picks one where 0 is given, before anything is started. After a crash the
// former engine may still be ending, so it waits a while.
func claimPorts(ctx context.Context, e *state.Endpoints, afterCrash bool) error {
	patience := time.Duration(0)
	if afterCrash {
		patience = 20 * time.Second
	}
	deadline := time.Now().Add(patience)
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for name, addr := range addresses(e) {
		l, err := net.Listen("tcp", *addr)
		for errors.Is(err, unix.EADDRINUSE) && time.Now().Before(deadline) && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			l, err = net.Listen("tcp", *addr)
		}
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("port of --%s (%s) is in use: stop what uses it, give another address, or let mcpsiem pick all with --any-port", name, *addr)
		}
		if err != nil {
			return fmt.Errorf("cannot listen on --%s %s: %w", name, *addr, err)
		}
		held = append(held, l)
		*addr = l.Addr().String()
	}
	return nil
}

func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address: write HOST:PORT", addr)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no valid port", addr)
	}
	return host, port, nil
}

// enoughSpace refuses to start where the engines would fail in obscure ways.
func enoughSpace(d state.Dir) error {
	var st unix.Statfs_t
	if err := unix.Statfs(string(d), &st); err != nil {
		return nil
	}
	const need = 512 << 20
	if free := uint64(st.Bavail) * uint64(st.Bsize); free < need {
		return fmt.Errorf("only %s free in %s, %s are needed: free some space, or choose another folder with --state", bytesText(free), d, bytesText(need))
	}
	return nil
}

// openLog is the log of everything outside the Collector, which writes to the same file.
func openLog(path string) (*zap.Logger, error) {
	c := zap.NewProductionConfig()
	c.OutputPaths, c.ErrorOutputPaths = []string{path}, []string{path}
	c.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	log, err := c.Build()
	if err != nil {
		return nil, fmt.Errorf("cannot open log: %w", err)
	}
	return log, nil
}

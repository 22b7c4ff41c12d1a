package deploy

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// root is the repository's.
func root(t *testing.T) string {
	t.Helper()
	r, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// composeCopy is a copy of what deploy/compose mounts, with its secrets made, since the script writes beside itself.
func composeCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"deploy/compose", "deploy/config", "deploy/grafana", "deploy/docker", "dashboards/grafana"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(root(t), sub))); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(dir, "deploy/compose")
	for _, made := range []string{"secrets", "generated", "data", ".env"} { // of someone who runs it in this tree
		if err := os.RemoveAll(filepath.Join(at, made)); err != nil {
			t.Fatal(err)
		}
	}
	secrets(t, at)
	return at
}

func secrets(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("sh", filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
}

func loadCompose(t *testing.T, dir string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")},
		cli.WithWorkingDirectory(dir), cli.WithEnvFiles(filepath.Join(dir, ".env")), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	dir := composeCopy(t)
	p := loadCompose(t, dir)
	for _, want := range []string{"nats", "clickhouse", "migrate", "ingest", "enrich", "detect", "store", "splunk", "cli", "grafana"} {
		if _, ok := p.Services[want]; !ok {
			t.Errorf("no service %s", want)
		}
	}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type != "bind" || err != nil {
				t.Errorf("%s: mounts %s, which is not there (%v)", name, v.Source, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published beyond loopback (%q)", name, port.Published, port.HostIP)
			}
		}
		if s.HealthCheck == nil {
			t.Errorf("%s: no health check", name)
		}
		if !slices.Contains(s.CapDrop, "ALL") || s.User == "" || strings.HasPrefix(s.User, "0:") {
			t.Errorf("%s: keeps capabilities or runs as root (user %q)", name, s.User)
		}
		for key, v := range s.Environment {
			secret := strings.Contains(key, "PASSWORD") || strings.Contains(key, "TOKEN")
			if secret && !strings.HasSuffix(key, "_FILE") && v != nil && name != "grafana" {
				t.Errorf("%s: a secret in the environment: %s", name, key)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(root(t), s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		// What must be reached is on a network with it.
		for dep := range s.DependsOn {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(s.Networks)), func(n string) bool { _, ok := p.Services[dep].Networks[n]; return ok }) {
				t.Errorf("%s cannot reach %s: no network in common", name, dep)
			}
		}
	}
}

// What Git ignores here is secret, or the data of services: the build of the image must not take it in.
func TestBuildContext(t *testing.T) {
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	kept := strings.Split(read(".dockerignore"), "\n")
	for _, made := range strings.Fields(read("deploy/compose/.gitignore")) {
		if at := "deploy/compose/" + strings.Trim(made, "/"); !slices.Contains(kept, at) {
			t.Errorf(".dockerignore does not name %s", at)
		}
	}
}

// envNames finds the variables without a default that a configuration reads.
var envNames = regexp.MustCompile(`\$\{env:([A-Z_]+)(:-[^}]*)?\}`)

// TestComposeRoles validates each role's configuration with mcpsiem itself, in the environment and with the files that the service has.
func TestComposeRoles(t *testing.T) {
	dir := composeCopy(t)
	if err := os.WriteFile(filepath.Join(dir, "secrets/splunk.token"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets(t, dir)
	p := loadCompose(t, dir)
	bin := mcpsiem(t)
	ran := 0
	for name, s := range p.Services {
		if len(s.Command) == 0 || s.Command[0] != "run" {
			continue
		}
		ran++
		inside := func(path string) string { // a path in the container, on this machine
			for _, v := range s.Volumes {
				if rest, ok := strings.CutPrefix(path, v.Target); ok {
					return v.Source + rest
				}
			}
			return path
		}
		env := []string{"PATH=" + os.Getenv("PATH")}
		for k, v := range s.Environment {
			if v == nil {
				continue
			}
			value := inside(*v)
			if k == "SPLUNK_HEC_URL" {
				value = "https://splunk.example.com:8088"
			}
			env = append(env, k+"="+value)
		}
		args := []string{"validate"}
		for _, a := range s.Command[1:] {
			args = append(args, inside(a))
		}
		for _, file := range args[1:] {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			for _, m := range envNames.FindAllStringSubmatch(string(text), -1) {
				if _, ok := s.Environment[m[1]]; !ok && m[2] == "" {
					t.Errorf("%s: %s reads %s, which the service does not have", name, filepath.Base(file), m[1])
				}
			}
			for _, m := range regexp.MustCompile(`MCPSIEM_SECRETS\}/([a-z.-]+)`).FindAllStringSubmatch(string(text), -1) {
				if st, err := os.Stat(inside("/run/mcpsiem/" + m[1])); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("%s: %s reads the secret %s: %v", name, filepath.Base(file), m[1], err)
				}
			}
		}
		cmd := exec.Command(bin, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: mcpsiem %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	if ran < 5 {
		t.Errorf("only %d roles were checked", ran)
	}
}

// mcpsiem is the built program.
func mcpsiem(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(root(t), "bin/mcpsiem")
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("build first: make build (%v)", err)
	}
	return bin
}

// TestSecretsScript: private, never the same twice, never changed by a second run.
func TestSecretsScript(t *testing.T) {
	dir := composeCopy(t)
	read := func() map[string]string {
		out := map[string]string{}
		files, _ := filepath.Glob(filepath.Join(dir, "secrets/*"))
		for _, f := range files {
			st, err := os.Stat(f)
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", f, st.Mode(), err)
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^[0-9a-f]{64}$`).Match(b) {
				t.Errorf("%s is not 32 random bytes in hex", filepath.Base(f))
			}
			out[filepath.Base(f)] = string(b)
		}
		return out
	}
	first := read()
	if len(first) != 11 {
		t.Errorf("%d secrets", len(first))
	}
	seen := map[string]bool{}
	for name, v := range first {
		if seen[v] {
			t.Errorf("%s is the same as another", name)
		}
		seen[v] = true
	}
	secrets(t, dir)
	if !maps.Equal(first, read()) {
		t.Error("a second run changed secrets")
	}
	for _, f := range []string{"generated/users.xml", "clickhouse/config.xml"} {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "@ADMIN@") || strings.Contains(string(b), first["clickhouse.password"]) {
			t.Errorf("%s: a placeholder or a password is in it", f)
		}
		d := xml.NewDecoder(strings.NewReader(string(b)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		}
	}
}

// TestNATSConfig runs the NATS server on the configuration that compose gives it.
func TestNATSConfig(t *testing.T) {
	dir := composeCopy(t)
	at := t.TempDir()
	for to, from := range map[string]string{"nats.conf": "nats/nats.conf", "auth.conf": "generated/nats-auth.conf"} {
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, to), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := server.ProcessConfigFile(filepath.Join(at, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways || o.JetStreamCipher != server.AES || len(o.JetStreamKey) != 64 {
		t.Error("streams are not encrypted, or not synced")
	}
	o.StoreDir, o.Host, o.Port, o.HTTPHost, o.HTTPPort, o.NoSigs = t.TempDir(), "127.0.0.1", server.RANDOM_PORT, "", 0, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	password := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, "secrets", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if _, err := nats.Connect(s.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a stranger: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	js := func(user, file string, opts ...nats.Option) jetstream.JetStream {
		nc, err := nats.Connect(s.ClientURL(), append(opts, nats.UserInfo(user, password(file)))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	p := js("pipeline", "nats.password")
	if _, err := p.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"mcpsiem.events.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(ctx, "mcpsiem.events.a", []byte("x")); err != nil {
		t.Error(err)
	}
	v := js("viewer", "nats-viewer.password", nats.CustomInboxPrefix("_INBOX_viewer"))
	if _, err := v.Stream(ctx, "EVENTS"); err != nil {
		t.Error(err)
	}
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	if _, err := v.Publish(short, "mcpsiem.events.a", []byte("x")); err == nil {
		t.Error("the viewer may publish")
	}
}

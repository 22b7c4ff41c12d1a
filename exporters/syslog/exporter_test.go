package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func hexID(i int) string { return fmt.Sprintf("%032x", i) }

func records(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		if i%5 == 4 {
			f := finding.Finding{Time: 1_800_000_000_123_456_789}
			f.ID, f.RuleID, f.Title, f.Severity, f.Status, f.Tenant, f.Summary = hexID(first+i), "tool_poisoning", "Poisoned tool", "high", "open", "acme", "ann called read_file"
			f.Encode(lrs.AppendEmpty())
			continue
		}
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_123_456_789, Body: `{"planted":true}`}
		e.ID, e.Tenant, e.Method, e.Kind, e.Tool, e.Server, e.PrincipalID = hexID(first+i), "acme", "tools/call", event.KindRequest, "read_file", "files", "ann"
		e.ClientAddress, e.HostName = "10.0.0.7:4711", "laptop-7"
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}

func newTestConfig(edit ...func(*Config)) *Config {
	c := newDefaultConfig()
	c.Network, c.Timeout = "tcp", 2*time.Second
	c.Retry = sink.RetryConfig{Initial: time.Millisecond, Max: 20 * time.Millisecond, MaxElapsed: time.Second}
	for _, f := range edit {
		f(c)
	}
	return c
}

func open(t testing.TB, edit ...func(*Config)) *syslogExporter {
	t.Helper()
	c := newTestConfig(edit...)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	set := exportertest.NewNopSettings(Type)
	core, logs := observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	e, err := newExporter(set, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.shutdown(context.Background())
		for _, l := range logs.All() {
			if text := l.Message + fmt.Sprint(l.ContextMap()); strings.Contains(text, "planted") {
				t.Errorf("content in %q", text)
			}
		}
	})
	return e
}

// collector reads messages off a stream strictly.
type collector struct {
	t       testing.TB
	framing string
	format  string
	mu      sync.Mutex
	got     map[string]int
	done    sync.WaitGroup
}

func (c *collector) message(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := strict(c.format, 8192, s); err != nil {
		c.t.Errorf("%v: %q", err, s)
		return
	}
	p, _ := parse(s)
	id := p.params["event_id"] + p.params["finding_id"]
	if c.format == formatCEF {
		_ = p.parseCEF()
		id = p.cef["externalId"]
	}
	c.got[id]++
}

func (c *collector) read(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		if c.framing == framingLines {
			l, err := r.ReadString('\n')
			if err != nil {
				return
			}
			c.message(strings.TrimSuffix(l, "\n"))
			continue
		}
		n, err := r.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSuffix(n, " "))
		if err != nil || size < 1 || size > 1<<20 {
			c.t.Errorf("framing: %q", n)
			return
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		c.message(string(b))
	}
}

func (c *collector) serve(l net.Listener) {
	c.got = map[string]int{}
	c.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.done.Go(func() { c.read(conn) })
		}
	})
	c.t.Cleanup(func() { l.Close() })
}

func (c *collector) want(n, times int) {
	c.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		c.mu.Lock()
		ok := len(c.got) == n
		for _, x := range c.got {
			ok = ok && (x == times || times == 0)
		}
		got := len(c.got)
		c.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d records came, want %d", got, n)
		}
	}
}

func TestTransports(t *testing.T) {
	f := func(name string, listen func(t *testing.T) (net.Listener, func(*Config)), framing, format string) {
		t.Run(name+" "+framing+" "+format, func(t *testing.T) {
			l, edit := listen(t)
			c := &collector{t: t, framing: framing, format: format}
			c.serve(l)
			e := open(t, func(x *Config) { x.Address, x.Framing, x.Format = l.Addr().String(), framing, format; edit(x) })
			for i := range 3 {
				if err := e.consume(context.Background(), records(i*500, 500)); err != nil {
					t.Fatal(err)
				}
			}
			c.want(1500, 1)
		})
	}
	tcp := func(t *testing.T) (net.Listener, func(*Config)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, func(*Config) {}
	}
	unix := func(t *testing.T) (net.Listener, func(*Config)) {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		return l, func(c *Config) { c.Network = "unix" }
	}
	secure := func(t *testing.T) (net.Listener, func(*Config)) {
		srv := httptest.NewUnstartedServer(nil)
		srv.StartTLS()
		cert, ca := srv.TLS.Certificates[0], srv.Certificate()
		srv.Close()
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return l, func(c *Config) {
			c.Network = "tls"
			c.TLS = &configtls.ClientConfig{Config: configtls.Config{CAFile: file}}
		}
	}
	f("tcp", tcp, framingOctets, formatStructured)
	f("tcp", tcp, framingLines, formatCEF)
	f("tls", secure, framingOctets, formatCEF)
	f("unix", unix, framingOctets, formatStructured)

	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unixgram" {
				address = filepath.Join(t.TempDir(), "s")
			}
			pc, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			if network == "udp" {
				address = pc.LocalAddr().String()
			}
			c := &collector{t: t, format: formatStructured, got: map[string]int{}}
			go func() {
				b := make([]byte, 65536)
				for {
					n, _, err := pc.ReadFrom(b)
					if err != nil {
						return
					}
					c.message(string(b[:n]))
				}
			}()
			e := open(t, func(x *Config) { x.Network, x.Address = network, address })
			if err := e.consume(context.Background(), records(0, 20)); err != nil {
				t.Fatal(err)
			}
			c.want(20, 1)
		})
	}
}

// A server that restarts again and again: what its kernel acknowledged and its process never read is lost, which syslog cannot tell; everything else comes.
func TestReconnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	c := &collector{t: t, framing: framingOctets, format: formatStructured}
	c.serve(l)
	e := open(t, func(x *Config) { x.Address = address })
	if err := e.consume(context.Background(), records(0, 50)); err != nil {
		t.Fatal(err)
	}
	c.want(50, 1)
	l.Close() // no new connections; the present one goes with its worker
	w := <-e.workers
	_ = w.conn.raw.Close()
	<-w.conn.closed
	e.workers <- w
	e.cfg.Retry.MaxElapsed = 20 * time.Millisecond
	if err := e.consume(context.Background(), records(50, 50)); err == nil || streams.Permanent(err) || strings.Contains(err.Error(), "127.0.0.1") {
		t.Fatalf("nobody listens: %v", err)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	got := c.got
	c.serve(l)
	c.got = got
	e.cfg.Retry.MaxElapsed = 2 * time.Second
	if err := e.consume(context.Background(), records(50, 50)); err != nil {
		t.Fatal(err)
	}
	c.want(100, 1)
}

// With confirm a receiver whose kernel does not take what is sent is no success.
func TestConfirmWaitsForTheOtherSide(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			_ = c.(*net.TCPConn).SetReadBuffer(4096)
			accepted <- c // and never reads
		}
	}()
	e := open(t, func(x *Config) {
		x.Address, x.Timeout, x.Retry.MaxElapsed = l.Addr().String(), 200*time.Millisecond, 0
	})
	err = nil
	for i := 0; i < 40 && err == nil; i++ {
		err = e.consume(context.Background(), records(i*2000, 2000))
	}
	if err == nil || streams.Permanent(err) || streams.Reason(err) != "timeout" {
		t.Errorf("a receiver that does not read takes everything: %v", err)
	}
	l.Close()
	for c := range accepted {
		c.Close()
	}
}

func TestFields(t *testing.T) {
	ld := records(0, 5)
	enc := func(format string) []*parsed {
		var out []*parsed
		e := newEncoder(newTestConfig(func(c *Config) { c.Format, c.Hostname = format, "gw-1" }))
		filter, _ := (&sink.Route{}).Compile()
		for rec := range sink.NewReader(filter, nil).Read(context.Background(), ld) {
			s := string(e.message(nil, rec))
			if err := strict(format, 8192, s); err != nil {
				t.Fatalf("%v: %s", err, s)
			}
			p, _ := parse(s)
			_ = p.parseCEF()
			out = append(out, p)
		}
		return out
	}
	p := enc(formatStructured)
	if x := p[0]; x.pri != 16*8+6 || x.host != "laptop-7" || x.app != "mcpsiem" || x.msgid != "mcp.request" || x.params["tool"] != "read_file" || x.time.UnixMicro() != 1_800_000_000_123_456 {
		t.Errorf("%+v", x)
	}
	if x := p[4]; x.pri != 16*8+3 || x.host != "gw-1" || x.msgid != "tool_poisoning" || x.body != "ann called read_file" {
		t.Errorf("%+v", x)
	}
	p = enc(formatCEF)
	if x := p[0]; x.cefHeader[4] != "tools/call" || x.cef["suser"] != "ann" || x.cef["src"] != "10.0.0.7" || x.cef["cs1"] != "read_file" || x.cef["cs1Label"] != "tool" || x.cef["rt"] != "1800000000123" {
		t.Errorf("%+v", x)
	}
	if x := p[4]; x.cefHeader[4] != "tool_poisoning" || x.cefHeader[5] != "Poisoned tool" || x.cefHeader[6] != "8" || x.cef["externalId"] != hexID(4) {
		t.Errorf("%+v", x)
	}
}

// some makes a record of text.
func some(kind int, ts int64, s []string) *sink.Record {
	at := func(i int) string { return s[i%len(s)] }
	if kind == 0 {
		f := &finding.Finding{Time: ts}
		f.ID, f.RuleID, f.Title, f.Summary, f.Severity, f.Status, f.Tenant, f.Server, f.Tool, f.PrincipalID, f.Group = at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10)
		f.References, f.Count, f.Revision = s, ts%7, ts%3
		return &sink.Record{Finding: f}
	}
	e := &event.Event{Name: []string{event.NameAudit, event.NameRequest, at(4)}[kind%3], Time: ts, Body: at(3)}
	e.ID, e.Tenant, e.Method, e.Kind, e.Tool, e.Server, e.PrincipalID, e.HostName, e.ClientAddress, e.ServerAddress = at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9)
	e.AuditAction, e.AuditTarget, e.Outcome, e.ResourceURI, e.DataClasses, e.Signals = at(10), at(11), at(12), at(13), s, map[string]float64{at(1): 1}
	return &sink.Record{Event: e}
}

func TestEveryMessageIsStrict(t *testing.T) {
	evil := []string{"", `"`, `\`, `]`, `|`, `=`, "\n", "\r\n", "\x00", "\u202e", "\u2028", "\xff\xfe", "a=b c=d", `\n`, `x" y="z`, `] [evil@1 a="b"]`, "<34>1 - - - - - - -", "é", strings.Repeat("é]", 3000), "10.0.0.1", "[::1]:80", " ", "999 "}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(evil), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		s := rapid.SliceOfN(text, 1, 14).Draw(t, "texts")
		rec := some(rapid.IntRange(0, 5).Draw(t, "kind"), rapid.Int64Range(-5, 1<<61).Draw(t, "time"), s)
		for _, format := range formats {
			c := newTestConfig(func(c *Config) {
				c.Format, c.MaxMessageBytes = format, rapid.SampledFrom([]int{1024, 2048, 8192}).Draw(t, "max")
				c.BOM = rapid.Bool().Draw(t, "bom")
			})
			if err := strict(format, c.MaxMessageBytes, string(newEncoder(c).message(nil, rec))); err != nil {
				t.Fatalf("%s: %v: %q", format, err, newEncoder(c).message(nil, rec))
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(0, int64(1_800_000_000_000_000_000), "id", `"]\`, "a=b|c")
	f.Add(1, int64(0), "\xff", "\n", "10.0.0.1:80")
	f.Fuzz(func(t *testing.T, kind int, ts int64, a, b, c string) {
		if ts > 1<<62 || ts < 0 {
			ts = 0
		}
		rec := some(max(kind, 0)%6, ts, []string{a, b, c, a + b + c})
		for _, format := range formats {
			cfg := newTestConfig(func(c *Config) { c.Format, c.MaxMessageBytes = format, 1024 })
			s := string(newEncoder(cfg).message(nil, rec))
			if err := strict(format, 1024, s); err != nil {
				t.Fatalf("%s: %v: %q", format, err, s)
			}
		}
	})
}

func TestMapping(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := readCEF([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("version: 2", "version 2")
	f("x: 1", "cannot read")
	f("version: 1", "nothing for records")
	f("version: 1\nrecords: {event: {extensions: [{key: a, from: [nope]}]}}", `no field "nope"`)
	f("version: 1\nrecords: {event: {extensions: [{key: a b, from: [tool]}]}}", "is none, or there twice")
}

func TestConfig(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := newDefaultConfig()
		c.Address = "syslog.example.com:6514"
		edit(c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(*Config) {})
	f("address", func(c *Config) { c.Address = "host" })
	f("", func(c *Config) { c.Network, c.Address = "unixgram", "/dev/log" })
	f("network", func(c *Config) { c.Network = "tcp6" })
	f("format", func(c *Config) { c.Format = "leef" })
	f("facility", func(c *Config) { c.Facility = "local8" })
	f("sd_id", func(c *Config) { c.SDID = "mcpsiem" })
	f("max_message_bytes", func(c *Config) { c.MaxMessageBytes = 100 })
	f("hostname", func(c *Config) { c.Hostname = "a b" })
	f("tls is for", func(c *Config) { c.Network, c.TLS = "tcp", &configtls.ClientConfig{} })
}

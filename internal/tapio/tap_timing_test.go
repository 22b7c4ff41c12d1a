//go:build unix

package tapio

// What the tap costs, with and without it in the same run. One operation is one call of 1 KB and its answer.
//
//	go test -run xxx -bench Tap ./internal/tapio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mcptap builds the real binary.
func mcptap(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "mcptap")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../../cmd/mcptap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("cannot build mcptap: %v: %s", err, out)
	}
	return bin
}

// quietCollector takes everything.
func quietCollector(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	b.Cleanup(s.Close)
	return s.URL
}

type latencies []time.Duration

func (l latencies) at(q float64) float64 {
	slices.Sort(l)
	return float64(l[int(q*float64(len(l)-1))].Nanoseconds()) / 1000
}

// report prints what a call takes with and without the tap, in microseconds, and what the tap adds.
func (l latencies) report(b *testing.B, tapped latencies) {
	b.ReportMetric(0, "ns/op")
	for _, q := range []float64{0.5, 0.99} {
		name := fmt.Sprintf("p%d-us", int(q*100))
		b.ReportMetric(l.at(q), "without-"+name)
		b.ReportMetric(tapped.at(q), "with-"+name)
		b.ReportMetric(tapped.at(q)-l.at(q), "added-"+name)
	}
}

// alternate runs both calls by turns, so that what else the machine does hits both.
func alternate(b *testing.B, direct, tapped func() time.Duration) {
	var d, t latencies
	for range 300 {
		direct()
		tapped()
	}
	for b.Loop() {
		for range 50 {
			d = append(d, direct())
		}
		for range 50 {
			t = append(t, tapped())
		}
	}
	d.report(b, t)
}

var kilobyte = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"x":"` + strings.Repeat("abcdefghij", 94) + `"}}}`

func BenchmarkTapStdio(b *testing.B) {
	bin, url := mcptap(b), quietCollector(b)
	server := func(args ...string) func() time.Duration {
		self, _ := os.Executable()
		cmd := exec.Command(self)
		if len(args) > 0 {
			cmd = exec.Command(args[0], append(args[1:], self)...)
		}
		cmd.Env = append(os.Environ(), "TAPIO_ROLE=echo")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			in.Close()
			cmd.Wait()
		})
		r := bufio.NewReaderSize(out, 1<<16)
		line := []byte(kilobyte + "\n")
		return func() time.Duration {
			start := time.Now()
			in.Write(line)
			if _, err := r.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
	}
	alternate(b, server(), server(bin, "stdio", "--endpoint", url, "--state-dir", b.TempDir(), "--quiet", "--"))
}

// startHTTP runs mcptap http and gives its URL and process.
func startHTTP(b *testing.B, bin, upstream, collector string) (string, *exec.Cmd) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(bin, "http", "--listen", addr, "--upstream", upstream, "--endpoint", collector, "--state-dir", b.TempDir(), "--quiet")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	return "http://" + addr, cmd
}

// startProxy runs a plain reverse proxy in a process of its own and gives its URL.
func startProxy(b *testing.B, upstream string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, addr, upstream)
	cmd.Env = append(os.Environ(), "TAPIO_ROLE=proxy")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	return "http://" + addr
}

func BenchmarkTapHTTP(b *testing.B) {
	answer := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("abcdefghij", 94) + `"}]}}`
	for _, events := range []bool{false, true} {
		b.Run(map[bool]string{false: "json", true: "sse"}[events], func(b *testing.B) {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if events {
					w.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(w, "event: message\ndata: "+answer+"\n\n")
					return
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, answer)
			}))
			defer up.Close()
			url, _ := startHTTP(b, mcptap(b), up.URL, quietCollector(b))
			c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			defer c.CloseIdleConnections()
			call := func(url string) func() time.Duration {
				return func() time.Duration {
					start := time.Now()
					res, err := c.Post(url, "application/json", strings.NewReader(kilobyte))
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
					return time.Since(start)
				}
			}
			var proxied latencies
			through := call(startProxy(b, up.URL))
			direct := call(up.URL)
			alternate(b, func() time.Duration {
				proxied = append(proxied, through())
				return direct()
			}, call(url))
			b.ReportMetric(proxied.at(0.5), "ReverseProxy-p50-us")
			b.ReportMetric(proxied.at(0.99), "ReverseProxy-p99-us")
		})
	}
}

// BenchmarkTapStart measures how much later a server's first answer comes, from the start of the process on; the binary's size; and
// what is resident after 1000 calls.
func BenchmarkTapStart(b *testing.B) {
	bin, url := mcptap(b), quietCollector(b)
	run := func(name string, args ...string) time.Duration {
		start := time.Now()
		if err := exec.CommandContext(context.Background(), name, args...).Run(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	state := b.TempDir()
	var help, direct, tapped latencies
	for b.Loop() {
		help = append(help, run(bin, "version"))
		direct = append(direct, run("/bin/true"))
		tapped = append(tapped, run(bin, "stdio", "--endpoint", url, "--state-dir", state, "--quiet", "--", "/bin/true"))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(help.at(0.5)/1000, "version-ms")
	b.ReportMetric(direct.at(0.5)/1000, "true-ms")
	b.ReportMetric(tapped.at(0.5)/1000, "tapped-true-ms")
	info, err := os.Stat(bin)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")

	cmd := exec.Command(bin, "stdio", "--endpoint", url, "--state-dir", state, "--quiet", "--", "cat")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReaderSize(out, 1<<16)
	for range 1000 {
		io.WriteString(in, kilobyte+"\n")
		r.ReadSlice('\n')
	}
	time.Sleep(500 * time.Millisecond)
	b.ReportMetric(resident(cmd.Process.Pid), "stdio-RSS-MB")
	in.Close()
	cmd.Wait()
}

// resident is a process's resident memory in MB; 0 where /proc does not say.
func resident(pid int) float64 {
	s, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(s), "VmRSS:")
	var kb float64
	fmt.Sscan(rest, &kb)
	return kb * 1024 / 1e6
}

func BenchmarkTapLines(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := lineFramer{direction: "d", limit: DefaultCaptureLimit, stream: nowhere{}}
			line := []byte(strings.Repeat("x", size) + "\n")
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				f.feed(line, time.Time{})
			}
		})
	}
}

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
)

// sighting is one JSON-RPC message that a witness saw. A witness stands on each side of a tap and shares no code with it.
type sighting struct {
	Dir    string `json:"dir"` // client_to_server, server_to_client
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	Method string `json:"method,omitempty"`
	ID     string `json:"id,omitempty"`
}

// notebook collects sightings in a file, one JSON object a line.
type notebook struct {
	mu sync.Mutex
	f  *os.File
}

func openNotebook(path string) (*notebook, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &notebook{f: f}, err
}

// note writes down one message; whatever is no JSON object is left out, as the far side would ignore it too.
func (n *notebook) note(dir string, msg []byte) {
	msg = bytes.TrimSpace(msg)
	var env struct {
		Method string          `json:"method"`
		ID     json.RawMessage `json:"id"`
	}
	if len(msg) == 0 || msg[0] != '{' || json.Unmarshal(msg, &env) != nil {
		return
	}
	sum := sha256.Sum256(msg)
	line, _ := json.Marshal(sighting{dir, len(msg), hex.EncodeToString(sum[:]), env.Method, string(bytes.Trim(env.ID, `"`))})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.f.Write(append(line, '\n'))
}

// witnessStdio runs a command and copies its standard input and output, noting every line.
func witnessStdio(notes string, command []string) error {
	n, err := openNotebook(notes)
	if err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { copyLines(in, os.Stdin, "client_to_server", n); in.Close() }()
	copyLines(os.Stdout, out, "server_to_client", n)
	return cmd.Wait()
}

func copyLines(w io.Writer, r io.Reader, dir string, n *notebook) {
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := br.ReadBytes('\n')
		if len(line) > 0 {
			n.note(dir, line)
			if _, werr := w.Write(line); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// witnessHTTP is a reverse proxy before upstream that notes every message in bodies and event streams.
func witnessHTTP(notes string, upstream *url.URL) (http.Handler, error) {
	n, err := openNotebook(notes)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream); r.Out.Host = upstream.Host },
		Transport:     &http.Transport{DisableCompression: true},
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(resp *http.Response) error {
			sse := bytes.HasPrefix([]byte(resp.Header.Get("Content-Type")), []byte("text/event-stream"))
			resp.Body = &noting{ReadCloser: resp.Body, sse: sse, n: n}
			return nil
		},
	}, nil
}

// requestNoter notes request bodies before the handler sees them.
func requestNoter(notes string, next http.Handler) (http.Handler, error) {
	n, err := openNotebook(notes)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			n.note("client_to_server", b)
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		next.ServeHTTP(w, r)
	}), nil
}

// noting copies a response body and notes the messages in it.
type noting struct {
	io.ReadCloser
	sse bool
	n   *notebook
	buf bytes.Buffer
}

func (b *noting) Read(p []byte) (int, error) {
	k, err := b.ReadCloser.Read(p)
	b.buf.Write(p[:k])
	if b.sse {
		b.events()
	} else if err != nil {
		b.n.note("server_to_client", b.buf.Bytes())
		b.buf.Reset()
	}
	return k, err
}

// events notes the data of every whole event in the buffer. The servers in the demonstration end lines with LF only.
func (b *noting) events() {
	for {
		raw := b.buf.Bytes()
		end := bytes.Index(raw, []byte("\n\n"))
		if end < 0 {
			return
		}
		var data [][]byte
		for _, line := range bytes.Split(raw[:end], []byte("\n")) {
			if d, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				data = append(data, bytes.TrimPrefix(d, []byte(" ")))
			}
		}
		b.n.note("server_to_client", bytes.Join(data, []byte("\n")))
		b.buf.Next(end + 2)
	}
}

func readNotes(path string) ([]sighting, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []sighting
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var s sighting
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

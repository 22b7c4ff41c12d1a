// Package witnesstest is a witness for tests: https://c2sp.org/tlog-witness over HTTP, with faults.
package witnesstest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Fault is what is wrong with an answer.
type Fault string

// Faults.
const (
	None        Fault = ""
	Forged      Fault = "forged"       // a signature of another key under the witness's name
	OtherText   Fault = "other text"   // a good signature of something else
	NoSignature Fault = "no signature" // 200 and nothing
	ServerError Fault = "server error"
	Slow        Fault = "slow" // answers when the client has gone
	Endless     Fault = "endless"
	Fickle      Fault = "fickle" // 409 with another size each time
)

type seen struct {
	size int64
	root tlog.Hash
}

// Witness is a witness of the logs it was told of.
type Witness struct {
	*httptest.Server
	Key string // verifier key

	mu       sync.Mutex
	name     string
	id       []byte
	key      ed25519.PrivateKey
	verifier map[string]note.Verifier
	logs     map[string]seen
	fault    Fault
	asked    int
}

// New starts a witness.
func New(t testing.TB, name string) *Witness {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &Witness{name: name, key: key, verifier: map[string]note.Verifier{}, logs: map[string]seen{}}
	k := append([]byte{4}, pub...)
	sum := sha256.Sum256(append([]byte(name+"\n"), k...))
	w.id = sum[:4]
	w.Key = fmt.Sprintf("%s+%x+%s", name, w.id, base64.StdEncoding.EncodeToString(k))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.serve)
	w.Server = httptest.NewServer(mux)
	t.Cleanup(w.Server.Close)
	return w
}

// Know tells the witness of a log by its verifier key.
func (w *Witness) Know(t testing.TB, vkey string) {
	t.Helper()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verifier[v.Name()] = v
}

// Do makes the next answers faulty.
func (w *Witness) Do(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// Seen is the size of a log that the witness has cosigned last.
func (w *Witness) Seen(origin string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs[origin].size
}

func (w *Witness) serve(rw http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	switch w.fault {
	case ServerError:
		http.Error(rw, "no", http.StatusInternalServerError)
		return
	case Slow:
		w.mu.Unlock()
		<-r.Context().Done()
		w.mu.Lock()
		return
	case Endless:
		for chunk := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	case NoSignature:
		return
	case Fickle:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", w.asked)
		return
	}
	head, signed, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	oldText, ok2 := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseInt(oldText, 10, 64)
	text := strings.SplitN(string(signed), "\n", 4)
	if !ok || !ok2 || err != nil || len(lines) > 64 || len(text) < 4 {
		http.Error(rw, "malformed", http.StatusBadRequest)
		return
	}
	v := w.verifier[text[0]]
	if v == nil {
		http.Error(rw, "unknown log", http.StatusNotFound)
		return
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		http.Error(rw, "no signature", http.StatusForbidden)
		return
	}
	size, err := strconv.ParseInt(text[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(text[2])
	if err != nil || err2 != nil || len(root) != 32 || old > size {
		http.Error(rw, "malformed", http.StatusBadRequest)
		return
	}
	last := w.logs[text[0]]
	if old != last.size {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", last.size)
		return
	}
	var proof tlog.TreeProof
	for _, l := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(l)
		if err != nil || len(h) != 32 {
			http.Error(rw, "malformed", http.StatusBadRequest)
			return
		}
		proof = append(proof, tlog.Hash(h))
	}
	good := true
	switch {
	case old == 0:
		good = len(proof) == 0
	case old == size:
		good = len(proof) == 0 && last.root == tlog.Hash(root)
	default:
		good = tlog.CheckTree(proof, size, tlog.Hash(root), old, last.root) == nil
	}
	if !good {
		http.Error(rw, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	w.logs[text[0]] = seen{size, tlog.Hash(root)}
	at := uint64(time.Now().Unix())
	key, body := w.key, n.Text
	switch w.fault {
	case Forged:
		_, key, _ = ed25519.GenerateKey(rand.Reader)
	case OtherText:
		body += "more\n"
	}
	sig := append(bytes.Clone(w.id), binary.BigEndian.AppendUint64(nil, at)...)
	sig = append(sig, ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, body))...)
	fmt.Fprintf(rw, "— other.example/x AAAAAA==\n— %s %s\n", w.name, base64.StdEncoding.EncodeToString(sig))
}

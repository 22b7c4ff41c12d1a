// Package natsdtest gives tests an embedded NATS server that they can stop, kill and start again.
package natsdtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Credentials of the users that every test server has.
const (
	User, Password             = "pipeline", "pipeline-secret"
	ViewerUser, ViewerPassword = "viewer", "viewer-secret"
	Key                        = "0123456789abcdef0123456789abcdef"
)

// Server is an embedded server on a temporary directory and a port that stays the same across restarts.
type Server struct {
	T    testing.TB
	Opts natsd.Options
	srv  *natsd.Server
}

// New starts a server and stops it when the test ends. Writes are synced only if edit sets NoSync to false.
func New(t testing.TB, edit ...func(*natsd.Options)) *Server {
	t.Helper()
	s := &Server{T: t, Opts: natsd.Options{
		Dir:   t.TempDir(),
		Key:   Key,
		Users: []natsd.User{{Name: User, Password: Password}, {Name: ViewerUser, Password: ViewerPassword, Role: natsd.RoleViewer}},
		// The disk of a test machine may be nearly full.
		MinFree: 1 << 20,
		NoSync:  true,
	}}
	for _, f := range edit {
		f(&s.Opts)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start starts the server again on the same directory and port.
func (s *Server) Start() {
	s.T.Helper()
	srv, err := natsd.Start(s.Opts)
	if err != nil {
		s.T.Fatalf("cannot start the test server: %v", err)
	}
	s.srv = srv
	if s.Opts.Port == 0 {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(User, Password))
		if err != nil {
			s.T.Fatalf("cannot connect to the test server: %v", err)
		}
		s.Opts.Port = port(nc.ConnectedAddr())
		nc.Close()
	}
}

// Stop stops it in order.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv = nil
	}
}

// URL for clients, also while the server is stopped.
func (s *Server) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(s.Opts.Port) }

// NATS is the configuration block for the pipeline's user.
func (s *Server) NATS() streams.NATSConfig {
	c := streams.NewNATSConfig()
	c.URL = s.URL()
	c.Username, c.Password = User, configopaque.String(Password)
	return c
}

// JS connects as the pipeline's user until the test ends.
func (s *Server) JS() jetstream.JetStream {
	s.T.Helper()
	nc, err := nats.Connect(s.URL(), nats.UserInfo(User, Password), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		s.T.Fatalf("cannot connect to the test server: %v", err)
	}
	s.T.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.T.Fatal(err)
	}
	return js
}

// CopyAsCrashed copies the directory of the running server: what a crash of the process at this moment leaves behind.
func (s *Server) CopyAsCrashed() string {
	s.T.Helper()
	to := s.T.TempDir()
	if err := os.CopyFS(filepath.Join(to, "d"), os.DirFS(s.Opts.Dir)); err != nil {
		s.T.Fatal(err)
	}
	return filepath.Join(to, "d")
}

func port(addr string) int {
	n := 0
	for _, c := range addr[strings.LastIndexByte(addr, ':')+1:] {
		n = 10*n + int(c-'0')
	}
	return n
}

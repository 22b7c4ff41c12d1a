// Package natsd runs a NATS server with JetStream inside the process.
package natsd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

var (
	// ErrWrongKey means that the directory was written with another encryption key.
	ErrWrongKey = errors.New("wrong encryption key")
	// ErrInUse means that another process works on the directory.
	ErrInUse = errors.New("in use by another process")
	// ErrStopped means that the server is down for now and tries again by itself.
	ErrStopped = errors.New("the embedded NATS server is down and tries again")
	// ErrUnrecovered means that a stream is on disk but cannot be read.
	ErrUnrecovered = errors.New("stream cannot be recovered")
)

const (
	startTimeout  = 60 * time.Second // recovery reads every block that was written since the last clean stop
	lameDuckGrace = 50 * time.Millisecond
	lameDuck      = 500 * time.Millisecond
)

// Server is a running NATS server. Shutdown has to be called.
type Server struct {
	opts Options // with the port that was bound
	lock *dirLock
	log  *logger
	once sync.Once
	stop chan struct{}  // closed by Shutdown
	done sync.WaitGroup // the healer

	mu     sync.Mutex // guards what follows, and opts.Key
	srv    *server.Server
	closed bool
}

// Start runs the server and returns when it takes connections and all its streams are recovered.
func Start(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the NATS directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s, err := start(&o, lock)
	if err != nil {
		lock.release()
		return nil, err
	}
	return s, nil
}

func start(o *Options, lock *dirLock) (*Server, error) {
	if free, err := freeBytes(o.Dir); err == nil && free < o.MinFree {
		return nil, fmt.Errorf("cannot start the embedded NATS server: %d MB free in %s, at least %d MB are needed; free some space or choose another directory",
			free>>20, o.Dir, o.MinFree>>20)
	}
	if err := finishRekey(o.Dir); err != nil {
		return nil, err
	}
	if o.NextKey != "" && matches(o.Dir, o.NextKey) {
		o.Key = o.NextKey
	}
	if err := checkKey(o.Dir, o.Key); err != nil {
		return nil, err
	}
	s := &Server{opts: *o, lock: lock, log: newLogger(o.Logger), stop: make(chan struct{})}
	if err := s.serve(); err != nil {
		return nil, err
	}
	if a, ok := s.srv.Addr().(*net.TCPAddr); ok {
		s.opts.Port = a.Port
	}
	s.done.Add(1)
	go s.heal()
	return s, nil
}

// serve starts a server on the directory. mu is held, or nobody else knows of s yet.
func (s *Server) serve() error {
	srv, err := server.NewServer(s.opts.server())
	if err != nil {
		return fmt.Errorf("cannot configure the embedded NATS server: %w", err)
	}
	s.srv = srv
	srv.SetLoggerV2(s.log, false, false, false)
	started := make(chan struct{})
	go func() { srv.Start(); close(started) }()
	if err := s.await(&s.opts, started); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		<-started
		return err
	}
	return nil
}

func (s *Server) await(o *Options, started <-chan struct{}) error {
	select {
	case msg := <-s.log.fatal:
		if strings.Contains(msg, "Error listening") {
			return fmt.Errorf("cannot listen on %s: %s; stop what uses the port or choose another", o.address(), afterColon(msg))
		}
		return fmt.Errorf("cannot start the embedded NATS server: %s", msg)
	case <-started:
	case <-time.After(startTimeout):
		return fmt.Errorf("cannot start the embedded NATS server: not ready after %s", startTimeout)
	}
	select { // Start returns after a fatal error, too
	case msg := <-s.log.fatal:
		return fmt.Errorf("cannot start the embedded NATS server: %s", msg)
	default:
	}
	if !s.srv.ReadyForConnections(startTimeout) {
		return errors.New("cannot start the embedded NATS server: it takes no connections")
	}
	return s.checkRecovered(o.Dir)
}

// checkRecovered compares the streams on disk with those that the server knows: it skips one that it cannot read.
func (s *Server) checkRecovered(dir string) error {
	const account = "$G"
	entries, err := os.ReadDir(filepath.Join(dir, server.JetStreamStoreDir, account, "streams"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot list the streams on disk: %w", err)
	}
	z, err := s.srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return fmt.Errorf("cannot list the recovered streams: %w", err)
	}
	have := make(map[string]bool)
	for _, a := range z.AccountDetails {
		for _, st := range a.Streams {
			have[st.Name] = true
		}
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !have[name] {
			return fmt.Errorf("%w: %s in %s; restore the directory from a backup, or move the stream's folder away to start without it",
				ErrUnrecovered, name, dir)
		}
	}
	return nil
}

// ClientURL is the address for clients, without credentials.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv.ClientURL()
}

// Uses says whether the streams are under a key.
func (s *Server) Uses(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Key == key
}

// Rekey puts the streams under another key. The server stops for it and comes back on the same address with everything it had; clients connect again by themselves. After an error
// that is no ErrStopped the former key is in effect and the server runs.
func (s *Server) Rekey(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("cannot change the encryption key: the embedded NATS server has ended")
	}
	if s.opts.Key == key {
		return nil
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	err := rekey(s.opts.Dir, s.opts.Key, key)
	if err != nil && decided(s.opts.Dir) {
		// Neither key opens all of the store until this is finished; the healer does that.
		s.opts.Key = key
		s.log.Errorf("%v", err)
		s.log.full.Store(true)
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	if err == nil {
		s.opts.Key = key
	}
	if down := s.serve(); down != nil {
		s.log.Errorf("Cannot restart the embedded NATS server, will try again: %v", down)
		s.log.full.Store(true)
		return errors.Join(err, fmt.Errorf("%w: %w", ErrStopped, down))
	}
	return err
}

// Shutdown stops accepting clients, tells the connected ones to go, closes JetStream, and returns when all is on disk.
func (s *Server) Shutdown() {
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		s.srv.LameDuckShutdown()
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		s.lock.release()
	})
}

func afterColon(msg string) string {
	if i := strings.LastIndex(msg, ", "); i >= 0 {
		return strings.Trim(msg[i+2:], `"`)
	}
	return msg
}

package tap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Config says what a Recorder records to. The zero value of a field stands for its default; only Endpoint is due.
type Config struct {
	TapID     string                 // names the tap across its processes; default the host's name
	Endpoint  string                 // base URL of the collector's OTLP/HTTP receiver, e.g. http://127.0.0.1:4318
	Token     func() (string, error) // bearer token; called at start and after each 401. Wins over TokenFile
	TokenFile string                 // file with the bearer token; read again after each 401
	TLS       TLSConfig

	SpoolDir      string // where batches wait while the collector is away; empty: in memory only. Taps may share it
	SpoolMaxBytes int64  // of all taps in SpoolDir; default 256 MiB. When it is reached the newest batches are lost, and counted
	SpoolKeyFile  string // AES-256 key, generated with mode 0600 if absent; default SpoolDir/key

	QueueBytes     int64         // frames waiting to be decoded; default 16 MiB
	CaptureLimit   int           // bytes of one frame that are kept; default 4 MiB
	Tenant         string        // that owns the tap's own records, as the streams' tenant does their events; default event.DefaultTenant
	BatchBytes     int           // uncompressed size at which a batch is sealed; default 256 KiB
	FlushInterval  time.Duration // age at which a batch is sealed; default 200 ms
	RequestTimeout time.Duration // after which an unanswered request is recorded as timeout; default 15 min
	SendTimeout    time.Duration // of one POST; default 10 s

	Logger *slog.Logger // for the tap's own troubles, at most one line a minute of a kind, never content; default stderr
}

// TLSConfig is how to speak to an https endpoint.
type TLSConfig struct {
	CAFile             string // PEM; default the system's
	CertFile, KeyFile  string // client certificate, PEM
	ServerName         string
	InsecureSkipVerify bool
}

// Defaults and bounds.
const (
	DefaultCaptureLimit  = 4 << 20
	DefaultQueueBytes    = 16 << 20
	DefaultBatchBytes    = 256 << 10
	DefaultSpoolMaxBytes = 256 << 20
	DefaultFlushInterval = 200 * time.Millisecond
)

func (c Config) withDefaults() (Config, error) {
	if c.Endpoint == "" {
		return c, errors.New("cannot start recorder: no collector endpoint is configured")
	}
	if c.Tenant == "" {
		c.Tenant = event.DefaultTenant
	}
	if c.TapID == "" {
		h, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("cannot name the tap by its host: %w", err)
		}
		c.TapID = h
	}
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.QueueBytes, DefaultQueueBytes)
	set(&c.SpoolMaxBytes, DefaultSpoolMaxBytes)
	if c.CaptureLimit <= 0 {
		c.CaptureLimit = DefaultCaptureLimit
	}
	if c.BatchBytes <= 0 {
		c.BatchBytes = DefaultBatchBytes
	}
	dur(&c.FlushInterval, DefaultFlushInterval)
	dur(&c.RequestTimeout, 15*time.Minute)
	dur(&c.SendTimeout, 10*time.Second)
	if c.SpoolDir != "" && c.SpoolKeyFile == "" {
		c.SpoolKeyFile = filepath.Join(c.SpoolDir, "key")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return c, nil
}

// Recorder turns frames into events and ships them. Its streams' methods only put frames into a bounded queue; one
// goroutine decodes, numbers and batches, another ships. Every number from 1 to the last one used is either in a batch
// or in a loss record.
type Recorder struct {
	cfg   Config
	epoch int64
	q     *queue
	sh    *shipper
	dec   *decoder
	log   *quietLog

	streams atomic.Uint64
	stats   counters

	shutdown sync.Once
	err      error
	decoded  chan struct{} // closed when the decode goroutine has ended
}

// counters are the Recorder's numbers, each written by one goroutine or atomically.
type counters struct {
	frames, events, lost, duplicates, blank atomic.Uint64
}

// New starts a Recorder. It touches neither network nor, beyond the TLS files it checks, disk: a misconfigured collector shows in
// the log and in Stats, and never stops the traffic.
func New(cfg Config) (*Recorder, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	var tlsc *tls.Config
	if tlsc, err = cfg.TLS.load(); err != nil {
		return nil, err
	}
	r := &Recorder{
		cfg:     cfg,
		epoch:   time.Now().UnixNano(),
		q:       newQueue(cfg.QueueBytes),
		log:     &quietLog{out: cfg.Logger},
		decoded: make(chan struct{}),
	}
	led := &ledger{wake: r.q.wakeUp}
	if r.sh, err = newShipper(cfg, tlsc, r.epoch, led, r.log); err != nil {
		return nil, err
	}
	r.dec = newDecoder(r, led)
	go r.dec.run()
	go r.sh.run()
	return r, nil
}

// Open begins a stream. It may be called at any time before Shutdown, from any goroutine.
func (r *Recorder) Open(info StreamInfo) Stream {
	return &stream{r: r, n: r.streams.Add(1), info: info}
}

// CaptureLimit is how many bytes of a frame a front end should keep.
func (r *Recorder) CaptureLimit() int { return r.cfg.CaptureLimit }

// Shutdown ends the recording: frames that are queued are decoded, requests without an answer recorded, and everything is
// shipped or, where the collector does not take it in time, spooled. It returns when that is done, at the latest shortly after ctx
// ends. Its error says that events were lost, or kept on disk unsent. Streams may still be called, to no effect.
func (r *Recorder) Shutdown(ctx context.Context) error {
	r.shutdown.Do(func() {
		r.q.close()
		<-r.decoded // bounded: the queue is, and decoding does not wait for the network
		r.err = r.sh.finish(ctx, r.dec.farewell)
	})
	return r.err
}

// Stats are the Recorder's counters since its start.
type Stats struct {
	Frames      uint64 // taken from front ends
	Events      uint64 // numbered and batched, the tap's own records included
	Lost        uint64 // events that were counted as lost, for any reason
	Duplicates  uint64 // frames not recorded again since a resumed stream repeated them
	Blank       uint64 // frames of white space alone
	QueueBytes  int64  // waiting to be decoded
	Shipped     uint64 // events that the collector took
	Batches     uint64 // batches that the collector took, those of dead processes included
	Retries     uint64 // failed attempts to ship
	Quarantined uint64 // events in batches that the collector refused for good
	Spooled     uint64 // batches written to disk
	SpoolBytes  int64  // on disk, unsent, of this process
	Corrupt     uint64 // spooled batches that could not be read back
	Connected   bool   // whether the last attempt to ship succeeded; true before the first
}

// Stats returns the counters.
func (r *Recorder) Stats() Stats {
	s := Stats{
		Frames: r.stats.frames.Load(), Events: r.stats.events.Load(), Lost: r.stats.lost.Load(),
		Duplicates: r.stats.duplicates.Load(), Blank: r.stats.blank.Load(), QueueBytes: r.q.size(),
	}
	r.sh.addStats(&s)
	return s
}

// TapID and Epoch are what the events of this process are numbered under.
func (r *Recorder) TapID() string { return r.cfg.TapID }

// Epoch is the start of this process's numbering, ns since 1970.
func (r *Recorder) Epoch() int64 { return r.epoch }

// stream is the front ends' side of a Stream; what the decode goroutine knows of it is in state, which only that goroutine
// touches.
type stream struct {
	r     *Recorder
	n     uint64
	info  StreamInfo
	state *streamState
}

var _ Stream = (*stream)(nil)

func (s *stream) Frame(f Frame) {
	s.r.stats.frames.Add(1)
	s.r.q.put(item{op: opFrame, s: s, f: f, size: frameSize(&f)})
}

func (s *stream) TransportError(class string, f Frame) {
	f.Data = nil // an error page is nobody's message
	s.r.q.put(item{op: opTransport, s: s, f: f, text: class, size: frameSize(&f)})
}

func (s *stream) ClientGone(n uint64, at time.Time) {
	s.r.q.put(item{op: opClientGone, s: s, n: n, at: at, size: itemOverhead})
}

func (s *stream) Lost(_ string, frames int) {
	if frames > 0 {
		s.r.q.lose(int64(frames))
	}
}

func (s *stream) Close(exit *Exit) {
	s.r.q.put(item{op: opClose, s: s, exit: exit, at: time.Now()})
}

// quietLog passes on at most one message a minute of each kind.
type quietLog struct {
	out  *slog.Logger
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func (l *quietLog) warn(msg string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	quiet := now.Sub(l.last[msg]) < time.Minute
	if !quiet {
		if l.last == nil {
			l.last = make(map[string]time.Time)
		}
		l.last[msg] = now
	}
	l.mu.Unlock()
	if !quiet {
		l.out.Warn(msg, args...)
	}
}

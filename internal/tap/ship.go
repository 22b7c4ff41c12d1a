package tap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// maxMemory bounds the sealed batches that wait in memory while the collector answers; what exceeds it goes to the spool.
const maxMemory = 4 << 20

// shipper sends batches, each until the collector has it or has refused it for good. Batches stay in memory while the collector
// answers at once; from the first failure on they go to the spool, and come back from there, oldest first.
type shipper struct {
	cfg  Config
	post *poster
	sp   *spool // nil without a spool directory
	led  *ledger
	log  *quietLog
	wake chan struct{} // capacity 1
	done chan struct{} // closed when run has ended

	ctx  context.Context // ends the attempt under way
	stop context.CancelFunc

	mu       sync.Mutex // guards everything below
	mem      []*batch
	memBytes int64
	healthy  bool // the last attempt succeeded; true before the first
	closing  bool // run sends what is in memory and ends
	stats    shipStats
}

type shipStats struct{ shipped, batches, retries, quarantined, spooled, lost uint64 }

func newShipper(cfg Config, tlsc *tls.Config, epoch int64, led *ledger, log *quietLog) (*shipper, error) {
	p, err := newPoster(cfg, tlsc, log)
	if err != nil {
		return nil, err
	}
	s := &shipper{cfg: cfg, post: p, led: led, log: log, wake: make(chan struct{}, 1), done: make(chan struct{}), healthy: true}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if cfg.SpoolDir != "" {
		s.sp = newSpool(cfg, epoch)
	}
	return s, nil
}

func (s *shipper) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// submit takes a batch over. It does not wait for the network; it may wait for the disk.
func (s *shipper) submit(b *batch) {
	s.mu.Lock()
	fits := s.memBytes+int64(len(b.data)) <= maxMemory || len(s.mem) == 0
	if fits && (s.healthy || s.sp == nil) {
		s.push(b)
		s.mu.Unlock()
		s.wakeUp()
		return
	}
	s.mu.Unlock()
	s.keep(b)
}

func (s *shipper) push(b *batch) { // with s.mu
	s.mem = append(s.mem, b)
	s.memBytes += int64(len(b.data))
}

func (s *shipper) pop() *batch { // with s.mu
	if len(s.mem) == 0 {
		return nil
	}
	b := s.mem[0]
	s.mem[0] = nil
	s.mem = s.mem[1:]
	s.memBytes -= int64(len(b.data))
	return b
}

// keep spools a batch, or gives it up.
func (s *shipper) keep(b *batch) {
	if s.sp == nil {
		s.log.warn("collector is not taking events and no spool is configured; newest events are lost")
		s.lost(b)
		return
	}
	switch err := s.sp.append(b); {
	case err == nil:
		s.mu.Lock()
		s.stats.spooled++
		s.mu.Unlock()
		s.wakeUp()
	case errors.Is(err, errSpoolFull):
		s.log.warn("spool is full; newest events are lost", "max_bytes", s.cfg.SpoolMaxBytes)
		s.lost(b)
	default:
		s.log.warn("cannot spool; newest events are lost", "error", err)
		s.lost(b)
	}
}

// lost gives a batch up and has it declared.
func (s *shipper) lost(b *batch) {
	s.mu.Lock()
	s.stats.lost += uint64(b.count)
	s.mu.Unlock()
	s.led.addBatch(b)
}

const (
	backoffMin      = 250 * time.Millisecond
	backoffMax      = 30 * time.Second
	maxServerErrors = 3 // attempts at a batch that the collector answers with 500, which OTLP does not call retryable
	scanEvery       = time.Minute
	drainAtEnd      = time.Second // for this process's own spool, when it ends with the collector well
)

// run sends until finish is called.
func (s *shipper) run() {
	defer close(s.done)
	var (
		fails    int // in a row
		failed   int // 500s for the batch at hand
		notYet   time.Time
		nextScan time.Time
		drainEnd time.Time
		timer    = time.NewTimer(time.Hour)
	)
	defer timer.Stop()
	for {
		s.mu.Lock()
		closing, healthy := s.closing, s.healthy
		var b *batch
		now := time.Now()
		if !now.Before(notYet) || closing && (healthy || s.sp == nil) {
			b = s.pop()
		}
		waiting := len(s.mem) > 0
		s.mu.Unlock()
		var from *spoolDir
		if closing && drainEnd.IsZero() {
			drainEnd = now.Add(drainAtEnd)
		}
		if b == nil && s.sp != nil && !now.Before(notYet) && (!closing || healthy && now.Before(drainEnd)) {
			if !closing && !now.Before(nextScan) {
				nextScan = now.Add(scanEvery)
				if err := s.sp.adopt(); err != nil {
					s.log.warn("cannot look for spooled events", "error", err)
				}
			}
			var err error
			if b, from, err = s.sp.next(s.corrupt); err != nil {
				s.log.warn("cannot read spool", "error", err)
			}
			if closing && from != nil && !s.sp.isOwn(from) { // dead processes' can wait for the next one
				b, from = nil, nil
			}
			waiting = b != nil
		}
		if b == nil {
			if closing {
				return
			}
			w := time.Hour
			if s.sp != nil {
				w = max(time.Millisecond, nextScan.Sub(now))
			}
			if now.Before(notYet) {
				w = min(w, notYet.Sub(now))
			} else if !waiting && !healthy { // nothing to try with: the next batch finds out
				s.setHealthy(true)
			}
			if s.sp != nil {
				dirty, err := s.sp.flush(now)
				if err != nil {
					s.log.warn("cannot sync spool", "error", err)
				}
				if dirty {
					w = min(w, syncEvery)
				}
			}
			timer.Reset(w)
			select {
			case <-s.wake:
			case <-timer.C:
			}
			continue
		}

		v := s.post.send(s.ctx, b.data)
		switch v.what {
		case sendOK:
			fails, failed, notYet = 0, 0, time.Time{}
			s.setHealthy(true)
			s.led.accepted()
			s.mu.Lock()
			s.stats.batches++
			s.stats.shipped += uint64(max(0, b.count-v.rejected))
			s.mu.Unlock()
			if v.rejected > 0 { // which ones is not said; a partial success must not be sent again (OTLP)
				s.reject(b, min(v.rejected, b.count))
			}
			if from != nil {
				s.commit(from)
			}
			continue
		case sendServerError:
			if failed++; failed < maxServerErrors {
				break
			}
			fallthrough
		case sendRefused:
			fails, failed, notYet = 0, 0, time.Time{}
			s.log.warn("collector refused a batch for good; its events are counted as lost", "status", v.status, "events", b.count)
			s.mu.Lock()
			s.stats.quarantined += uint64(b.count)
			s.mu.Unlock()
			s.lost(b)
			if from != nil {
				s.commit(from)
			}
			continue
		}
		// Not now: keep it, and all that waits.
		fails++
		s.mu.Lock()
		s.stats.retries++
		s.mu.Unlock()
		wait := min(backoffMax, backoffMin<<min(fails-1, 10))
		wait = wait/2 + rand.N(wait/2+1)
		notYet = time.Now().Add(max(wait, v.retryAfter))
		s.setHealthy(false)
		if from == nil {
			s.putBack(b)
		}
		s.mu.Lock()
		closing = s.closing
		s.mu.Unlock()
		if closing {
			return
		}
	}
}

// putBack keeps a batch that could not be sent: on disk, together with all others in memory; or in memory, at the front.
func (s *shipper) putBack(b *batch) {
	s.mu.Lock()
	if s.sp == nil {
		s.mem = append([]*batch{b}, s.mem...)
		s.memBytes += int64(len(b.data))
		s.mu.Unlock()
		return
	}
	rest := s.mem
	s.mem, s.memBytes = nil, 0
	s.mu.Unlock()
	s.keep(b)
	for _, b := range rest {
		s.keep(b)
	}
}

func (s *shipper) setHealthy(h bool) {
	s.mu.Lock()
	s.healthy = h
	s.mu.Unlock()
}

func (s *shipper) reject(b *batch, n int64) {
	s.log.warn("collector rejected part of a batch", "events", n)
	s.mu.Lock()
	s.stats.quarantined += uint64(n)
	s.stats.lost += uint64(n)
	s.mu.Unlock()
	for _, d := range b.declared { // they may be among them
		s.led.add(d.series, d.lost)
	}
	s.led.add(b.series, lostRange{b.from, b.to, n})
}

func (s *shipper) commit(d *spoolDir) {
	if err := s.sp.commit(d); err != nil {
		s.log.warn("cannot remove shipped events from the spool; they may be sent twice", "error", err)
	}
}

// corrupt is told of a spooled batch that cannot be read back, with its numbers where they could.
func (s *shipper) corrupt(b *batch) {
	s.log.warn("spooled events are damaged and lost")
	if b != nil {
		s.lost(b)
	}
}

// finish sends or spools what there is, then what farewell gives, and returns when ctx ends at the latest, but for a reserve to
// write the rest to disk.
func (s *shipper) finish(ctx context.Context, farewell func() *batch) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.wakeUp()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.stop()
		<-s.done
	}
	s.mu.Lock()
	rest := s.mem
	s.mem, s.memBytes = nil, 0
	healthy := s.healthy
	s.mu.Unlock()
	for _, b := range rest {
		s.keep(b)
	}
	if b := farewell(); b != nil {
		sent := false
		if healthy && ctx.Err() == nil {
			sctx, cancel := context.WithTimeout(ctx, s.cfg.SendTimeout)
			sent = s.post.send(sctx, b.data).what == sendOK
			cancel()
		}
		if !sent {
			s.keep(b)
		}
	}
	s.stop()
	s.post.close()
	var err error
	if s.sp != nil {
		err = s.sp.close()
	}
	s.mu.Lock()
	lost := s.stats.lost
	s.mu.Unlock()
	var left int64
	if s.sp != nil {
		left = s.sp.bytes()
	}
	switch {
	case err != nil:
		return fmt.Errorf("cannot close the spool: %w", err)
	case lost > 0:
		return fmt.Errorf("cannot keep %d events: the collector did not take them and the spool had no room", lost)
	case left > 0:
		return fmt.Errorf("cannot ship %d bytes of events yet: they stay in the spool %s", left, s.cfg.SpoolDir)
	}
	return nil
}

func (s *shipper) addStats(out *Stats) {
	s.mu.Lock()
	st := s.stats
	out.Connected = s.healthy
	s.mu.Unlock()
	out.Shipped, out.Batches, out.Retries, out.Quarantined, out.Spooled = st.shipped, st.batches, st.retries, st.quarantined, st.spooled
	out.Lost += st.lost
	if s.sp != nil {
		out.SpoolBytes, out.Corrupt = s.sp.bytes(), s.sp.corruptCount()
	}
}

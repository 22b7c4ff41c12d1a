// What happens after the disk was full.

package natsd

import "time"

// healInterval is how often the healer looks whether there is something to heal.
var healInterval = 2 * time.Second

// heal restarts the server once there is space again after a write failed for want of it. A stream that met a full disk refuses
// messages until it is opened anew; nothing that it acknowledged is missing from it. Clients connect again by themselves.
func (s *Server) heal() {
	defer s.done.Done()
	tick := time.NewTicker(healInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if !s.log.full.Load() {
			continue
		}
		if free, err := freeBytes(s.opts.Dir); err != nil || free < s.opts.MinFree {
			continue
		}
		s.restart()
	}
}

func (s *Server) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Warnf("The disk was full and has space again, or the server could not start: restarting the embedded NATS server")
	s.log.full.Store(false)
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	err := finishRekey(s.opts.Dir)
	if err == nil {
		err = s.serve()
	}
	if err != nil {
		s.log.Errorf("Cannot restart the embedded NATS server, will try again: %v", err)
		s.log.full.Store(true)
	}
}

// Batches decoded once for the partitions of a process.

package jetstream

import (
	"bytes"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
)

// shared keeps the batches that were decoded last: each partition reads the same messages, and decoding is most of the work on one. What it
// holds is read-only.
type shared struct {
	mu   sync.Mutex // guards all below
	all  map[uint64]*sharedBatch
	list []uint64 // sequences in all, oldest first
	size int      // bytes of the messages in all
}

type sharedBatch struct {
	data []byte // the message: another stream of the same name has other ones
	once sync.Once
	ld   plog.Logs
	err  error
}

// Bounds of what is kept; decoded, a message takes about ten times its size.
const (
	maxShared      = 64
	maxSharedBytes = 4 << 20
)

// decode returns the message decoded, by decode if nobody has done it of late.
func (s *shared) decode(seq uint64, data []byte, decode func() (plog.Logs, error)) (plog.Logs, error) {
	s.mu.Lock()
	b := s.all[seq]
	if b == nil || !bytes.Equal(b.data, data) {
		if b == nil {
			s.list = append(s.list, seq)
		} else {
			s.size -= len(b.data)
		}
		b = &sharedBatch{data: data}
		s.all[seq] = b
		s.size += len(data)
		for len(s.list) > 1 && (len(s.list) > maxShared || s.size > maxSharedBytes) {
			old := s.list[0]
			s.list = s.list[1:]
			s.size -= len(s.all[old].data)
			delete(s.all, old)
		}
	}
	s.mu.Unlock()
	b.once.Do(func() {
		if b.ld, b.err = decode(); b.err == nil {
			b.ld.MarkReadOnly()
		}
	})
	return b.ld, b.err
}

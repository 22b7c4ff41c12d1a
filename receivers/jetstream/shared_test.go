package jetstream

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
)

func TestSharedBatches(t *testing.T) {
	s := &shared{all: map[uint64]*sharedBatch{}}
	var decoded atomic.Int64
	get := func(seq uint64, data string) {
		ld, err := s.decode(seq, []byte(data), func() (plog.Logs, error) {
			decoded.Add(1)
			ld := plog.NewLogs()
			ld.ResourceLogs().AppendEmpty().Resource().Attributes().PutStr("data", data)
			return ld, nil
		})
		if err != nil {
			t.Error(err)
			return
		}
		if v, _ := ld.ResourceLogs().At(0).Resource().Attributes().Get("data"); v.Str() != data || !ld.IsReadOnly() {
			t.Errorf("message %d is %q, want %q", seq, v.Str(), data)
		}
	}
	var wg sync.WaitGroup
	for range 4 { // partitions in step
		wg.Go(func() {
			for seq := range uint64(maxShared) {
				get(seq, fmt.Sprint("message ", seq))
			}
		})
	}
	wg.Wait()
	if n := decoded.Load(); n != maxShared {
		t.Errorf("%d messages were decoded %d times", maxShared, n)
	}
	get(5, "another stream's")
	if n := decoded.Load(); n != maxShared+1 {
		t.Error("another message of the same sequence was taken for it")
	}
	big := string(make([]byte, maxSharedBytes/3))
	for seq := range uint64(20) {
		get(1000+seq, big)
	}
	if len(s.all) > 3 || len(s.list) != len(s.all) || s.size > maxSharedBytes {
		t.Errorf("%d batches of %d bytes are kept, listed %d", len(s.all), s.size, len(s.list))
	}
	get(2000, big+big+big+big) // larger than all: kept alone
	if len(s.all) != 1 {
		t.Errorf("%d batches are kept", len(s.all))
	}
}

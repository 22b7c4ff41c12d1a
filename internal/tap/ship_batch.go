package tap

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// batch is an OTLP request that was sealed once: every attempt to ship it, from memory, from disk or by another process, sends the
// same bytes.
type batch struct {
	series   series
	from, to int64      // first and last number in it
	count    int64      // events in it
	declared []declared // by loss records in it
	data     []byte     // ExportLogsServiceRequest, zstd
	final    bool       // carries the last loss records: may use the spool's reserve
}

// declared is a range that a loss record declares lost.
type declared struct {
	series series
	lost   lostRange
}

// The encoder is made at the first batch, with buffers for a laptop: one of it, a window of one batch.
var (
	encoderOnce sync.Once
	encoder     *zstd.Encoder
)

func compress(b []byte) []byte {
	encoderOnce.Do(func() {
		var err error
		encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("BUG: zstd options: " + err.Error())
		}
	})
	return encoder.EncodeAll(b, make([]byte, 0, len(b)/4+64))
}

const batchVersion = 1

// appendTo appends the batch's plaintext form in the spool: version, series, numbers, declared ranges, data.
func (b *batch) appendTo(dst []byte) []byte {
	dst = appendSeries(append(dst, batchVersion), b.series)
	dst = binary.AppendVarint(dst, b.from)
	dst = binary.AppendVarint(dst, b.to)
	dst = binary.AppendVarint(dst, b.count)
	dst = binary.AppendUvarint(dst, uint64(len(b.declared)))
	for _, d := range b.declared {
		dst = appendSeries(dst, d.series)
		dst = binary.AppendVarint(dst, d.lost.From)
		dst = binary.AppendVarint(dst, d.lost.To)
		dst = binary.AppendVarint(dst, d.lost.Events)
	}
	return append(dst, b.data...)
}

func appendSeries(dst []byte, s series) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.Tap)))
	dst = append(dst, s.Tap...)
	return binary.AppendVarint(dst, s.Epoch)
}

var errBatchForm = errors.New("cannot read spooled batch: its form is unknown")

// fields reads the values that the functions above append. bad is set by the first that is not there.
type fields struct {
	p   []byte
	bad bool
}

func (f *fields) uint() uint64 {
	v, n := binary.Uvarint(f.p)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.p = f.p[n:]
	return v
}

func (f *fields) int() int64 {
	v, n := binary.Varint(f.p)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.p = f.p[n:]
	return v
}

func (f *fields) series() (s series) {
	n := f.uint()
	if f.bad || n > uint64(len(f.p)) {
		f.bad = true
		return s
	}
	s.Tap, f.p = string(f.p[:n]), f.p[n:]
	s.Epoch = f.int()
	return s
}

func parseSeries(b []byte) (series, bool) {
	f := fields{p: b}
	s := f.series()
	return s, !f.bad
}

func parseBatch(p []byte) (*batch, error) {
	if len(p) == 0 || p[0] != batchVersion {
		return nil, errBatchForm
	}
	f := fields{p: p[1:]}
	b := batch{series: f.series(), from: f.int(), to: f.int(), count: f.int()}
	for n := f.uint(); n > 0 && !f.bad; n-- { // each takes bytes, so a false n ends with them
		b.declared = append(b.declared, declared{f.series(), lostRange{f.int(), f.int(), f.int()}})
	}
	if f.bad {
		return nil, errBatchForm
	}
	b.data = f.p
	return &b, nil
}

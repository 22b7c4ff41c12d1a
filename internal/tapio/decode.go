package tapio

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Bounds of decoding: output may be decodeFloor + decodeRatio times the input. Real JSON stays far below; what does not is
// made to fill memory or time.
const (
	decodeFloor  = 64 << 20
	decodeRatio  = 100
	zstdWindow   = 32 << 20
	maxEncodings = 3
)

var (
	errBomb     = errors.New("the content expands beyond all measure")
	errEncoding = errors.New("unknown content encoding")
	errDecode   = errors.New("the content does not decode")
)

// decoder undoes content encodings on bytes that are pushed into it, and yields what they make as soon as they do: a flushed
// event of a compressed stream comes out when its bytes are in. A nil decoder passes bytes through.
//
// The decompressors read from a source; they run as a coroutine that pauses where the source has no more bytes yet.
type decoder struct {
	in     []byte
	eof    bool
	pause  func(struct{}) bool // false: give up
	sink   func([]byte)
	resume func() (struct{}, bool)
	stop   func()
	taken  int64
	made   int64
	err    error // once set, decoding is over
}

// newDecoder makes a decoder for a Content-Encoding header; nil, nil where there is nothing to undo.
func newDecoder(header string, sink func([]byte)) (*decoder, error) {
	var encodings []string
	for e := range strings.SplitSeq(header, ",") {
		e = strings.ToLower(strings.TrimSpace(e))
		switch e {
		case "", "identity":
		case "gzip", "x-gzip", "deflate", "br", "zstd":
			encodings = append(encodings, e)
		default:
			return nil, errEncoding
		}
	}
	if len(encodings) == 0 {
		return nil, nil
	}
	if len(encodings) > maxEncodings {
		return nil, errEncoding
	}
	d := &decoder{sink: sink}
	d.resume, d.stop = iter.Pull(func(yield func(struct{}) bool) {
		d.pause = yield
		d.err = d.run(encodings)
	})
	return d, nil
}

var errStopped = errors.New("stopped")

// Read is the decompressors' source.
func (d *decoder) Read(p []byte) (int, error) {
	for len(d.in) == 0 {
		if d.eof {
			return 0, io.EOF
		}
		if !d.pause(struct{}{}) {
			return 0, errStopped
		}
	}
	n := copy(p, d.in)
	d.in = d.in[n:]
	return n, nil
}

// ReadByte keeps the decompressors from reading ahead.
func (d *decoder) ReadByte() (byte, error) {
	var b [1]byte
	if _, err := d.Read(b[:]); err != nil {
		return 0, err
	}
	return b[0], nil
}

func (d *decoder) run(encodings []string) (err error) {
	defer func() {
		if recover() != nil { // a decompressor's defect must not be the tap's
			err = errDecode
		}
	}()
	var r io.Reader = d
	for i := len(encodings) - 1; i >= 0; i-- {
		r, err = undo(encodings[i], r)
		if err != nil {
			return errDecode
		}
		if c, ok := r.(io.Closer); ok {
			defer c.Close()
		}
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			d.made += int64(n)
			if d.made > decodeFloor+decodeRatio*d.taken {
				return errBomb
			}
			d.sink(buf[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errDecode
		}
	}
}

// byteReader is what keeps decompressors from buffering ahead of what they decode.
type byteReader interface {
	io.Reader
	io.ByteReader
}

type oneByte struct{ io.Reader }

func (r oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

func undo(encoding string, r io.Reader) (io.Reader, error) {
	br, ok := r.(byteReader)
	if !ok {
		br = oneByte{r}
	}
	switch encoding {
	case "gzip", "x-gzip":
		return gzip.NewReader(br)
	case "br":
		return brotli.NewReader(br), nil
	case "zstd":
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case "deflate": // zlib by the book, bare deflate from some
		var head [2]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return nil, err
		}
		all := byteReader(oneByte{io.MultiReader(bytes.NewReader(head[:]), br)})
		if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			return zlib.NewReader(all)
		}
		return flate.NewReader(all), nil
	}
	return nil, fmt.Errorf("%w", errEncoding)
}

// push decodes the next bytes. b is not kept. After an error nothing more is decoded.
func (d *decoder) push(b []byte) error {
	if d.err != nil || d.eof {
		return d.err
	}
	d.taken += int64(len(b))
	d.in = b
	_, running := d.resume()
	d.in = nil
	if !running && d.err == nil {
		d.eof = true // the encoded content is complete; what follows it means nothing
	}
	return d.err
}

// end says that no more bytes come.
func (d *decoder) end() error {
	if d.err == nil && !d.eof {
		d.eof = true
		d.resume()
	}
	d.close()
	return d.err
}

// close gives up.
func (d *decoder) close() { d.stop() }

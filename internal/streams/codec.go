// Batches as message bodies.

package streams

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
)

// EncodingZstd is the value of HeaderEncoding for what Encode makes.
const EncodingZstd = "zstd"

// ContentType is the value of HeaderType.
const ContentType = "application/x-protobuf"

// MaxDecoded is the largest batch before compression, in bytes. Encode refuses to make a larger one, Decode to read it.
const MaxDecoded = 64 << 20

var (
	// ErrTooLarge means that a batch is larger than MaxDecoded.
	ErrTooLarge = fmt.Errorf("batch exceeds %d MiB before compression", MaxDecoded>>20)
	// ErrCorrupt means that a message body is not a batch. No content of the body is in the error's text.
	ErrCorrupt = errors.New("message body is not a batch")
)

// Both are safe for concurrent use and keep their own pools: EncodeAll and DecodeAll start no goroutines.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
		if err != nil {
			panic("BUG: cannot make a zstd encoder: " + err.Error())
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(MaxDecoded))
		if err != nil {
			panic("BUG: cannot make a zstd decoder: " + err.Error())
		}
		return d
	})
)

// Encode makes the body of a message: OTLP protobuf, zstd-compressed.
func Encode(ld plog.Logs) ([]byte, error) {
	var m plog.ProtoMarshaler
	plain, err := m.MarshalLogs(ld)
	if err != nil {
		return nil, errors.New("cannot marshal a batch") // the cause could quote it
	}
	if len(plain) > MaxDecoded {
		return nil, ErrTooLarge
	}
	return encoder().EncodeAll(plain, make([]byte, 0, len(plain)/4+512)), nil
}

// Decode reads the body of a message whose HeaderEncoding is encoding. Memory and time are bounded whatever data is.
func Decode(data []byte, encoding string) (plog.Logs, error) {
	plain := data
	switch encoding {
	case "":
	case EncodingZstd:
		var err error
		// The frame's own claim of its size is not trusted for more than a start.
		if plain, err = decoder().DecodeAll(data, make([]byte, 0, min(4*len(data)+512, 4<<20))); err != nil {
			if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
				return plog.Logs{}, ErrTooLarge
			}
			return plog.Logs{}, fmt.Errorf("%w: bad zstd frame", ErrCorrupt)
		}
	default:
		return plog.Logs{}, fmt.Errorf("%w: unknown content encoding (%d bytes long)", ErrCorrupt, len(encoding))
	}
	if len(plain) > MaxDecoded {
		return plog.Logs{}, ErrTooLarge
	}
	if err := checkLogs(plain); err != nil {
		return plog.Logs{}, err
	}
	var u plog.ProtoUnmarshaler
	ld, err := u.UnmarshalLogs(plain)
	if err != nil {
		return plog.Logs{}, fmt.Errorf("%w: bad OTLP protobuf", ErrCorrupt)
	}
	return ld, nil
}

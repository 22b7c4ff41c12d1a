package engine

import (
	"context"

	"go.opentelemetry.io/collector/pdata/plog"
)

// Source reads back the stream that the engine's batches come from, so that the engine can catch up on what was acknowledged
// after its last snapshot.
type Source interface {
	// Bounds describes the stream now, and how far the durable consumer has acknowledged it.
	Bounds(ctx context.Context, stream, durable string) (Bounds, error)
	// Read calls f for the messages of the stream with sequences from first to last, in order; messages that are gone are left
	// out. f gets an empty batch for a message that the durable consumer would not be given: one for another consumer, or one
	// that cannot be read. It stops at the first error of f and returns it.
	Read(ctx context.Context, stream, durable string, first, last uint64, f func(seq uint64, ld plog.Logs) error) error
}

// Bounds of a stream.
type Bounds struct {
	Created     int64  // when the stream was created, ns since 1970
	First, Last uint64 // sequences of the first and last message kept; First > Last if there is none
	AckFloor    uint64 // the consumer has acknowledged every message up to this one; 0 if it does not exist
}

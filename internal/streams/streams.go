// Package streams names mcpsiem's JetStream streams, subjects and headers, and carries with a batch where it came from.
//
// One JetStream message is one batch: an OTLP ExportLogsServiceRequest body (plog proto), zstd-compressed.
package streams

import "context"

// Streams.
const (
	Raw      = "RAW"      // work queue; unredacted; gone once enriched
	Events   = "EVENTS"   // redacted; kept for replay
	Findings = "FINDINGS" // what detectors raised
	Dead     = "DEAD"     // what a consumer could not take: redacted batches as they were, RAW batches as counts only
	RawDead  = "RAWDEAD"  // RAW batches that enrich could not take: unredacted, short-lived, named by a record in DEAD
)

// Subjects.
const (
	SubjectRaw      = "mcpsiem.raw"
	SubjectEvents   = "mcpsiem.events"
	SubjectFindings = "mcpsiem.findings"
	SubjectDead     = "mcpsiem.dead"    // followed by .<stream>.<durable>
	SubjectSettled  = "mcpsiem.settled" // followed by .<stream>.<durable>: in DEAD, a note that a dead letter was replayed or dropped
	SubjectRawDead  = "mcpsiem.rawdead" // followed by .<durable>
)

// Headers beside Nats-Msg-Id.
const (
	HeaderCount    = "Mcpsiem-Count"     // records in the batch, decimal
	HeaderSchema   = "Mcpsiem-Schema"    // event.SchemaVersion of the sender
	HeaderEncoding = "Content-Encoding"  // zstd, or absent
	HeaderType     = "Content-Type"      // application/x-protobuf
	HeaderOrigin   = "Mcpsiem-Origin"    // STREAM:SEQUENCE of the message that this one was made from
	HeaderReason   = "Mcpsiem-Reason"    // on DEAD: why, without content
	HeaderSink     = "Mcpsiem-Sink"      // on DEAD: the durable that gave up; on a replayed message: the one that gets it again
	HeaderKept     = "Mcpsiem-Kept"      // on DEAD, for a RAW batch: RAWDEAD:SEQUENCE, where its body is
	HeaderReplayOf = "Mcpsiem-Replay-Of" // on a replayed message: DEAD:SEQUENCE of the dead letter it was
	HeaderID       = "Mcpsiem-Batch-Id"  // on DEAD and RAWDEAD: Nats-Msg-Id of the original message
)

// Origin is the place in a stream from which a batch was read. The JetStream receiver puts it into the context of
// ConsumeLogs; components that forward the context keep it.
type Origin struct {
	Stream      string
	Durable     string
	First, Last uint64 // stream sequences of the first and last message in the batch; equal unless messages were combined
	Redelivered bool   // some message was delivered before: part of the batch may already be where it should go
	ID          string // Nats-Msg-Id of the message; empty for a combined batch and where the sender gave none

	// Partition of Partitions that the batch is for; each partition is given the whole stream. 0 of 0: there are none.
	Partition, Partitions int
}

type originKey struct{}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginFrom returns the origin that ctx carries, if any.
func OriginFrom(ctx context.Context) (Origin, bool) {
	o, ok := ctx.Value(originKey{}).(Origin)
	return o, ok
}

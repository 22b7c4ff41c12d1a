// Publishing one batch from a command: what people do reaches the same streams as what taps see.

package streams

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

// Publish puts one batch into stream and returns its sequence when the stream has it on disk. A batch with the same id within the
// stream's duplicate window is there once. The account must be one that may publish (the pipeline's).
func Publish(ctx context.Context, js jetstream.JetStream, stream, id string, ld plog.Logs) (uint64, error) {
	body, err := Encode(ld)
	if err != nil {
		return 0, err
	}
	schema := event.SchemaVersion
	if stream == Findings {
		schema = finding.SchemaVersion
	}
	m := &nats.Msg{Subject: SubjectOf(stream), Data: body, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header.Set(HeaderCount, strconv.Itoa(ld.LogRecordCount()))
	m.Header.Set(HeaderSchema, strconv.Itoa(schema))
	m.Header.Set(HeaderEncoding, EncodingZstd)
	m.Header.Set(HeaderType, ContentType)
	ack, err := js.PublishMsg(ctx, m, jetstream.WithExpectStream(stream))
	if err != nil {
		return 0, fmt.Errorf("cannot publish to stream %s: %w", stream, err)
	}
	return ack.Sequence, nil
}

// Dead letters: what a consumer gave up on, how it is put aside, looked at and tried again.

package streams

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/collector/pdata/plog"
)

// DeadLetter is a message of the DEAD stream.
type DeadLetter struct {
	Seq       uint64    // in DEAD
	Time      time.Time // when the consumer gave up
	Stream    string    // where the message was
	StreamSeq uint64    // its sequence there
	Sink      string    // the durable consumer that gave up
	Reason    string
	Count     int    // records in the batch
	Size      int    // bytes of the body as kept, 0 if it is in RAWDEAD
	KeptSeq   uint64 // sequence in RAWDEAD of an unredacted body; 0 if there is none
	ID        string // Nats-Msg-Id of the original message
}

// ErrGone means that the body of a dead letter has expired.
var ErrGone = errors.New("body has expired")

// PutDead puts m, which the durable consumer sink of stream gave up on, into DEAD and returns when that is on disk. A RAW message's body is unredacted: it goes
// to RAWDEAD, and DEAD gets the headers only. Repeating the call makes no second letter within the duplicate window.
func PutDead(ctx context.Context, js jetstream.JetStream, m jetstream.Msg, sink, reason string) error {
	return putDead(ctx, js, m, m.Data(), nil, sink, reason)
}

// PutDeadPart is PutDead for some records of m, the others having been taken: the letter holds only those, and its replay brings back only
// those. The records of a RAW message are not to be given in parts.
func PutDeadPart(ctx context.Context, js jetstream.JetStream, m jetstream.Msg, part plog.Logs, sink, reason string) error {
	body, err := Encode(part)
	if err != nil {
		return err
	}
	h := nats.Header{}
	h.Set(HeaderCount, strconv.Itoa(part.LogRecordCount()))
	h.Set(HeaderEncoding, EncodingZstd)
	h.Set(HeaderType, ContentType)
	return putDead(ctx, js, m, body, h, sink, reason)
}

// putDead writes the letter with body; what own says of it goes before what the message's headers say.
func putDead(ctx context.Context, js jetstream.JetStream, m jetstream.Msg, body []byte, own nats.Header, sink, reason string) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("cannot read a message's place in its stream: %w", err)
	}
	origin := FormatOrigin(meta.Stream, meta.Sequence.Stream)
	letter := &nats.Msg{Subject: SubjectDead + "." + meta.Stream + "." + sink, Header: nats.Header{}}
	for _, h := range []string{HeaderCount, HeaderSchema, HeaderEncoding, HeaderType} {
		if v := m.Headers().Get(h); v != "" {
			letter.Header.Set(h, v)
		}
	}
	for k, v := range own {
		letter.Header[k] = v
	}
	if v := m.Headers().Get(jetstream.MsgIDHeader); v != "" {
		letter.Header.Set(HeaderID, v)
	}
	letter.Header.Set(HeaderOrigin, origin)
	letter.Header.Set(HeaderSink, sink)
	letter.Header.Set(HeaderReason, clean(reason))
	id := "dead-" + origin + "-" + sink
	if meta.Stream == Raw {
		kept := &nats.Msg{Subject: SubjectRawDead + "." + sink, Header: nats.Header{}, Data: body}
		for k, v := range letter.Header {
			kept.Header[k] = v
		}
		ack, err := js.PublishMsg(ctx, kept, jetstream.WithMsgID(id), jetstream.WithExpectStream(RawDead))
		if err != nil {
			return fmt.Errorf("cannot keep the body of a dead letter: %w", err)
		}
		letter.Header.Set(HeaderKept, FormatOrigin(RawDead, ack.Sequence))
	} else {
		letter.Data = body
	}
	if _, err := js.PublishMsg(ctx, letter, jetstream.WithMsgID(id), jetstream.WithExpectStream(Dead)); err != nil {
		return fmt.Errorf("cannot write a dead letter: %w", err)
	}
	return nil
}

func parseDead(seq uint64, t time.Time, h nats.Header, size int) (DeadLetter, error) {
	d := DeadLetter{Seq: seq, Time: t, Size: size, Sink: h.Get(HeaderSink), Reason: h.Get(HeaderReason), ID: h.Get(HeaderID)}
	d.Count, _ = strconv.Atoi(h.Get(HeaderCount))
	var err error
	if d.Stream, d.StreamSeq, err = ParseOrigin(h.Get(HeaderOrigin)); err != nil {
		return d, fmt.Errorf("cannot read dead letter %d: %w", seq, err)
	}
	if v := h.Get(HeaderKept); v != "" {
		if _, d.KeptSeq, err = ParseOrigin(v); err != nil {
			return d, fmt.Errorf("cannot read dead letter %d: %w", seq, err)
		}
	}
	return d, nil
}

// DeadLetters yields the dead letters from sequence from on, oldest first; 0 is the first. An error ends the sequence. It reads
// without a consumer and leaves no trace.
func DeadLetters(ctx context.Context, js jetstream.JetStream, from uint64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		st, err := js.Stream(ctx, Dead)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return
		}
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("cannot look up stream %s: %w", Dead, err))
			return
		}
		last := st.CachedInfo().State.LastSeq
		for seq := max(from, 1); seq <= last; seq++ {
			m, err := st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(SubjectDead+".>"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("cannot read dead letters from %d on: %w", seq, err))
				return
			}
			seq = m.Sequence // the next one there is
			if !yield(parseDead(m.Sequence, m.Time, m.Header, len(m.Data))) {
				return
			}
		}
	}
}

// ShowDead returns one dead letter.
func ShowDead(ctx context.Context, js jetstream.JetStream, seq uint64) (DeadLetter, error) {
	d, _, _, err := getDead(ctx, js, seq)
	return d, err
}

// Body returns what a dead letter kept and its content encoding, for Decode. That of a RAW batch is unredacted.
func Body(ctx context.Context, js jetstream.JetStream, seq uint64) (data []byte, encoding string, err error) {
	d, m, _, err := getDead(ctx, js, seq)
	if err != nil {
		return nil, "", err
	}
	if m, err = bodyOf(ctx, js, d, m); err != nil {
		return nil, "", err
	}
	return m.Data, m.Header.Get(HeaderEncoding), nil
}

func getDead(ctx context.Context, js jetstream.JetStream, seq uint64) (DeadLetter, *jetstream.RawStreamMsg, jetstream.Stream, error) {
	st, err := js.Stream(ctx, Dead)
	if err != nil {
		return DeadLetter{}, nil, nil, fmt.Errorf("cannot look up stream %s: %w", Dead, err)
	}
	m, err := st.GetMsg(ctx, seq)
	if err != nil {
		return DeadLetter{}, nil, nil, fmt.Errorf("cannot read dead letter %d: %w", seq, err)
	}
	d, err := parseDead(m.Sequence, m.Time, m.Header, len(m.Data))
	return d, m, st, err
}

func bodyOf(ctx context.Context, js jetstream.JetStream, d DeadLetter, m *jetstream.RawStreamMsg) (*jetstream.RawStreamMsg, error) {
	if d.KeptSeq == 0 {
		return m, nil
	}
	st, err := js.Stream(ctx, RawDead)
	if err == nil {
		m, err = st.GetMsg(ctx, d.KeptSeq)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("cannot read dead letter %d: %w: %s keeps unredacted batches for a short time only", d.Seq, ErrGone, RawDead)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the body of dead letter %d: %w", d.Seq, err)
	}
	return m, nil
}

// Replay sends a dead letter to its stream again, for the consumer that gave up and no other, and then removes it from DEAD. It
// returns the sequence of the new message. The message has an id of its own, made from the letter's sequence: a replay
// that was cut off between the two steps can be repeated, and the first attempt's id does not hide it.
func Replay(ctx context.Context, js jetstream.JetStream, seq uint64) (uint64, error) {
	d, m, dead, err := getDead(ctx, js, seq)
	if err != nil {
		return 0, err
	}
	base := SubjectOf(d.Stream)
	if base == "" {
		st, err := js.Stream(ctx, d.Stream)
		if err != nil {
			return 0, fmt.Errorf("cannot replay dead letter %d: cannot look up stream %s: %w", seq, d.Stream, err)
		}
		if base = plainSubject(st.CachedInfo().Config.Subjects); base == "" {
			return 0, fmt.Errorf("cannot replay dead letter %d: stream %s has no subject to publish to", seq, d.Stream)
		}
	}
	body, err := bodyOf(ctx, js, d, m)
	if err != nil {
		return 0, err
	}
	msg := &nats.Msg{Subject: ReplaySubject(base, d.Sink), Data: body.Data, Header: nats.Header{}}
	for _, h := range []string{HeaderCount, HeaderSchema, HeaderEncoding, HeaderType, HeaderReason, HeaderSink, HeaderOrigin} {
		if v := m.Header.Get(h); v != "" {
			msg.Header.Set(h, v)
		}
	}
	msg.Header.Set(HeaderReplayOf, FormatOrigin(Dead, d.Seq))
	id := fmt.Sprintf("replay-%d-%d", d.Seq, d.Time.UnixNano())
	ack, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithExpectStream(d.Stream))
	if err != nil {
		return 0, fmt.Errorf("cannot replay dead letter %d: %w", seq, err)
	}
	if err := removeDead(ctx, js, dead, d, ReasonReplayed); err != nil {
		return ack.Sequence, fmt.Errorf("replayed dead letter %d but %w; replaying it again within %s is harmless", seq, err, DefaultDuplicates)
	}
	return ack.Sequence, nil
}

// DropDead removes a dead letter and what was kept for it.
func DropDead(ctx context.Context, js jetstream.JetStream, seq uint64) error {
	d, _, dead, err := getDead(ctx, js, seq)
	if err != nil {
		return err
	}
	return removeDead(ctx, js, dead, d, ReasonDropped)
}

// removeDead leaves a note in DEAD, without content, and removes the letter. The note comes first and later in the stream than the
// letter, so that who counts dead letters counts right whether it saw the letter or not.
func removeDead(ctx context.Context, js jetstream.JetStream, dead jetstream.Stream, d DeadLetter, reason string) error {
	note := &nats.Msg{Subject: SubjectSettled + "." + d.Stream + "." + d.Sink, Header: nats.Header{}}
	note.Header.Set(HeaderOrigin, FormatOrigin(d.Stream, d.StreamSeq))
	note.Header.Set(HeaderSink, d.Sink)
	note.Header.Set(HeaderReason, reason)
	note.Header.Set(HeaderReplayOf, FormatOrigin(Dead, d.Seq))
	count := d.Count
	if reason == ReasonReplayed {
		count = 0
	}
	note.Header.Set(HeaderCount, strconv.Itoa(count))
	id := fmt.Sprintf("settled-%d-%d", d.Seq, d.Time.UnixNano())
	if _, err := js.PublishMsg(ctx, note, jetstream.WithMsgID(id), jetstream.WithExpectStream(Dead)); err != nil {
		return fmt.Errorf("cannot note that it is settled: %w", err)
	}
	if d.KeptSeq != 0 {
		st, err := js.Stream(ctx, RawDead)
		if err == nil {
			if _, err = st.GetMsg(ctx, d.KeptSeq); err == nil { // deleting what is gone fails without saying why
				err = st.SecureDeleteMsg(ctx, d.KeptSeq)
			}
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("cannot remove its body from %s: %w", RawDead, err)
		}
	}
	if err := dead.DeleteMsg(ctx, d.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("cannot remove it from %s: %w", Dead, err)
	}
	return nil
}

// plainSubject is the first subject without wildcards.
func plainSubject(subjects []string) string {
	for _, s := range subjects {
		if !strings.ContainsAny(s, "*>") {
			return s
		}
	}
	return ""
}

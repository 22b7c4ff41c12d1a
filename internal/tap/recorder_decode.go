package tap

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// decoder is the goroutine between queue and shipper: it reads frames, pairs answers with requests, numbers events and seals
// batches. Nothing of it is shared.
type decoder struct {
	r      *Recorder
	led    *ledger
	prefix event.IDPrefix
	series series
	host   string
	user   string

	seq    int64 // last number used
	lostTo int64 // last number that was used up for what was never taken
	convs  int64
	calls  *calls
	rounds aged[roundState]
	tasks  aged[*taskState]
	swept  time.Time
	ev     event.Event // scratch

	logs     plog.Logs
	records  plog.LogRecordSlice
	from, to int64 // first and last number in the batch
	count    int64 // events with a number in it
	bytes    int   // estimate of the batch's size
	since    time.Time
	declared []declared
	marshal  plog.ProtoMarshaler
}

func newDecoder(r *Recorder, led *ledger) *decoder {
	d := &decoder{
		r: r, led: led, calls: newCalls(),
		prefix: event.TapPrefix(r.cfg.TapID, r.epoch),
		series: series{r.cfg.TapID, r.epoch},
	}
	d.rounds.max = maxRounds
	d.tasks.max = maxTasks
	d.tasks.gone = func(t *taskState) { d.closeTask(t, event.OutcomeTimeout, "timeout", time.Now(), nil) }
	d.reset()
	return d
}

const sweepEvery = time.Second

func (d *decoder) run() {
	defer close(d.r.decoded)
	d.host, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		d.user = u.Username
	}
	d.own(event.NameTapStart, time.Unix(0, d.r.epoch))
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		items, lost, closed := d.r.q.take()
		for i := range items {
			d.handle(&items[i])
			d.r.q.done(items[i].size)
			items[i] = item{}
			if d.bytes >= d.r.cfg.BatchBytes || d.records.Len() > 0 && time.Since(d.since) >= d.r.cfg.FlushInterval {
				d.seal(false)
			}
		}
		d.lose(lost)
		now := time.Now()
		d.sweep(now)
		if closed && len(items) == 0 {
			d.calls.each(func(c *call) { d.closeCall(c, event.OutcomeCancelled, "stream_closed", now) })
			d.declareLosses(now)
			d.own(event.NameTapStop, now)
			d.seal(false)
			return
		}
		if closed { // nothing more comes: finish in the next round
			continue
		}
		if w := d.led.due(now); w == 0 {
			d.declareLosses(now)
		}
		if d.records.Len() > 0 && (d.bytes >= d.r.cfg.BatchBytes || now.Sub(d.since) >= d.r.cfg.FlushInterval) {
			d.seal(false)
		}
		timer.Reset(d.wait(now))
		select {
		case <-d.r.q.wake:
		case <-timer.C:
		}
	}
}

// wait is how long the goroutine may sleep without a frame.
func (d *decoder) wait(now time.Time) time.Duration {
	w := time.Hour
	if d.records.Len() > 0 {
		w = min(w, d.r.cfg.FlushInterval-now.Sub(d.since))
	}
	if d.calls.open.Len()+d.calls.late.Len() > 0 {
		w = min(w, sweepEvery)
	}
	if l := d.led.due(now); l >= 0 {
		w = min(w, l)
	}
	return max(w, time.Millisecond)
}

// farewell seals a last batch of loss records for what was found lost while the Recorder shut down; nil if nothing was.
func (d *decoder) farewell() *batch {
	if d.led.empty() {
		return nil
	}
	d.declareLosses(time.Now())
	b := d.pack()
	if b != nil {
		b.final = true
	}
	return b
}

func (d *decoder) handle(it *item) {
	d.lose(it.lost)
	st := d.stateOf(it.s)
	switch it.op {
	case opFrame:
		if it.f.Record != "" {
			d.record(it.s, st, &it.f)
			return
		}
		d.frame(it.s, st, &it.f)
	case opTransport:
		d.transportError(it.s, st, it.text, &it.f)
	case opClientGone:
		d.calls.each(func(c *call) {
			if c.s == it.s && c.exchange == it.n && c.key.toServer && c.req.Era == mcp.EraModern {
				d.closeCall(c, event.OutcomeCancelled, "client_closed", it.at)
			}
		})
	case opClose:
		d.closeStream(it.s, st, it.exit, it.at)
	}
}

// --- numbering and batches

// emit numbers d.ev, whose fields are set, and puts it into the batch.
func (d *decoder) emit(size int) {
	d.seq++
	e := &d.ev
	e.TapSeq = d.seq
	e.ID = d.prefix.ID(d.seq)
	if d.records.Len() == 0 {
		d.since = time.Now()
	}
	if d.count == 0 {
		d.from = d.seq
	}
	d.to = d.seq
	e.Encode(d.records.AppendEmpty())
	d.count++
	d.bytes += size + 1024
	d.r.stats.events.Add(1)
}

// nextID is the id of the event that is emitted next.
func (d *decoder) nextID() string { return d.prefix.ID(d.seq + 1) }

func (d *decoder) reset() {
	d.logs = plog.NewLogs()
	rl := d.logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr(event.AttrTapID, d.r.cfg.TapID)
	d.records = rl.ScopeLogs().AppendEmpty().LogRecords()
	d.count, d.bytes, d.from, d.to = 0, 0, 0, 0
	d.declared = nil
}

// pack makes a batch of what was emitted since the last; nil if nothing was.
func (d *decoder) pack() *batch {
	if d.records.Len() == 0 {
		return nil
	}
	raw, err := d.marshal.MarshalLogs(d.logs)
	b := &batch{series: d.series, from: d.from, to: d.to, count: d.count, declared: d.declared}
	d.reset()
	if err != nil {
		d.r.log.warn("cannot encode a batch; its events are lost", "events", b.count)
		d.r.sh.lost(b)
		return nil
	}
	b.data = compress(raw)
	return b
}

func (d *decoder) seal(final bool) {
	if b := d.pack(); b != nil {
		b.final = final
		d.r.sh.submit(b)
	}
}

// own emits one of the tap's own records.
func (d *decoder) own(name string, at time.Time) {
	d.ev = event.Event{Name: name, Time: at.UnixNano()}
	e := &d.ev
	e.Kind, e.SourceKind, e.ClockSource = event.KindRecord, "tap", "tap"
	e.TapID, e.TapEpoch, e.Tenant = d.r.cfg.TapID, d.r.epoch, d.r.cfg.Tenant
	e.HostName, e.OSUser = d.host, d.user
	e.Capture = event.CaptureAbsent
	d.emit(0)
}

// record emits what passed over HTTP and is no message.
func (d *decoder) record(s *stream, st *streamState, f *Frame) {
	fc := &frameContext{s: s, st: st, f: f}
	d.locate(fc)
	d.ev = event.Event{Fields: st.base, Name: f.Record, Time: f.At.UnixNano()}
	ev := &d.ev
	ev.Kind, ev.Direction, ev.Capture = event.KindRecord, f.Direction, event.CaptureAbsent
	if len(f.Data) > 0 {
		ev.Body, ev.BodySize, ev.BodySHA256, ev.Capture = string(f.Data), f.Size, hex.EncodeToString(f.SHA256[:]), event.CaptureComplete
		if f.Truncated {
			ev.Capture = event.CaptureTruncated
		}
	}
	if f.HTTP != nil {
		d.http(fc, f.HTTP)
	}
	d.claims(fc)
	d.converse(st, fc.sess, ev)
	d.emit(len(f.Data))
}

// lose uses up n numbers for events that were never taken, and says so.
func (d *decoder) lose(n int64) {
	if n <= 0 {
		return
	}
	r := lostRange{d.seq + 1, d.seq + n, n}
	d.seq += n
	d.lostTo = d.seq
	d.r.stats.lost.Add(uint64(n))
	d.declare(d.series, r)
}

// declare emits a loss record.
func (d *decoder) declare(s series, r lostRange) {
	d.ev = event.Event{Name: event.NameTapLoss, Time: time.Now().UnixNano()}
	e := &d.ev
	e.Kind, e.SourceKind, e.ClockSource = event.KindRecord, "tap", "tap"
	e.Tenant, e.HostName, e.OSUser = event.DefaultTenant, d.host, d.user
	if s.Tap == d.series.Tap { // of another tap's spool nobody knows whose it was
		e.Tenant = d.r.cfg.Tenant
	}
	e.LostFrom, e.LostTo, e.LostEvents = r.From, r.To, r.Events
	e.Capture = event.CaptureAbsent
	d.declared = append(d.declared, declared{s, r})
	e.TapID, e.TapEpoch = s.Tap, s.Epoch
	if s == d.series {
		d.emit(0)
		return
	}
	// A loss of a dead process belongs to its series, which has no more numbers: it is named by what it declares.
	if d.records.Len() == 0 {
		d.since = time.Now()
	}
	e.ID = event.SourceID("loss", s.Tap, strconv.FormatInt(s.Epoch, 10), strconv.FormatInt(r.From, 10), strconv.FormatInt(r.To, 10))
	e.Encode(d.records.AppendEmpty())
	d.bytes += 1024
}

func (d *decoder) declareLosses(now time.Time) {
	for s, rs := range d.led.take(now) {
		for _, r := range rs {
			d.declare(s, r)
		}
	}
}

// --- frames

// Bounds of attributes, bytes. What is longer is cut and ends in the hash of the whole.
const (
	maxName = 256
	maxURI  = 2048
)

// bounded makes a string from the wire fit for an attribute: UTF-8, at most n bytes.
func bounded(s string, n int) string {
	if len(s) > n {
		h := mcp.Hash("long", s)
		s = s[:n-len(h)-1]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1]
		}
		s += "~" + h
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// boundedURI is bounded for a URI, without the values of its query and without user information.
func boundedURI(s string) string {
	if i := strings.IndexByte(s, '?'); i >= 0 {
		q := s[i+1:]
		frag := ""
		if j := strings.IndexByte(q, '#'); j >= 0 {
			q, frag = q[:j], "#"
		}
		var b strings.Builder
		b.WriteString(s[:i])
		sep := byte('?')
		for p := range strings.SplitSeq(q, "&") {
			k, _, has := strings.Cut(p, "=")
			b.WriteByte(sep)
			sep = '&'
			if has {
				b.WriteString(k)
				b.WriteString("=*")
			} else {
				b.WriteByte('*')
			}
			if b.Len() > maxURI {
				break
			}
		}
		b.WriteString(frag)
		s = b.String()
	}
	if i := strings.Index(s, "://"); i >= 0 {
		host := s[i+3:]
		if j := strings.IndexAny(host, "/?#"); j >= 0 {
			host = host[:j]
		}
		if j := strings.LastIndexByte(host, '@'); j >= 0 {
			s = s[:i+3] + "*@" + s[i+3+j+1:]
		}
	}
	return bounded(s, maxURI)
}

func splitHostPort(s string) (string, int64) {
	h, p, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	n, _ := strconv.ParseUint(p, 10, 16)
	return h, int64(n)
}

func exchangeKey(n uint64) string { return strconv.FormatUint(n, 36) }

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// frameContext is what the messages of one frame share.
type frameContext struct {
	s     *stream
	st    *streamState
	f     *Frame
	x     *exchange // nil on stdio
	sess  *session
	batch string // id of the batch
	n     int    // messages so far
}

func (d *decoder) frame(s *stream, st *streamState, f *Frame) {
	if f.At.IsZero() {
		f.At = time.Now()
	}
	if len(f.Data) > d.r.cfg.CaptureLimit {
		f.Size = max(f.Size, int64(len(f.Data)))
		if f.SHA256 == ([32]byte{}) {
			f.SHA256 = sha256.Sum256(f.Data)
		}
		f.Data, f.Truncated = f.Data[:d.r.cfg.CaptureLimit], true
	}
	if !f.Truncated {
		if blank(f.Data) {
			d.r.stats.blank.Add(1)
			return
		}
		f.Size = int64(len(f.Data))
	}
	fc := frameContext{s: s, st: st, f: f}
	d.locate(&fc)
	if d.repeated(&fc) {
		d.r.stats.duplicates.Add(1)
		return
	}
	mcp.Split(f.Data, mcp.Limits{Partial: f.Truncated}, func(m *mcp.Message) bool {
		d.message(&fc, m)
		fc.n++
		return true
	})
}

// locate finds the frame's HTTP exchange and session.
func (d *decoder) locate(fc *frameContext) {
	h := fc.f.HTTP
	if h == nil {
		fc.sess = fc.st.proc
		return
	}
	key := exchangeKey(h.Exchange)
	x, ok := fc.st.exchanges.get(key)
	if !ok {
		x = &exchange{session: h.SessionID, auth: h.Authorization, headers: h.Headers, url: h.URL, client: h.ClientAddr}
		fc.st.exchanges.put(key, x, fc.f.At)
	}
	fc.x = x
	raw := h.SessionID
	if raw == "" {
		raw = x.session
	}
	fc.sess = fc.st.sessionOf(raw, fc.f.At)
}

// repeated reports whether a resumed SSE stream has sent the frame again: same event id, same content. Only then is it not recorded
// again, so that a server cannot hide a message by using an id twice.
func (d *decoder) repeated(fc *frameContext) bool {
	h := fc.f.HTTP
	if h == nil || h.SSEEventID == "" || fc.f.Direction != event.ServerToClient {
		return false
	}
	what, content := hashText(h.SSEEventID), hashBytes(fc.f.Data)
	old, ok := fc.sess.events.get(what)
	if ok && old == content && h.Resumed {
		return true
	}
	if !ok || old != content {
		fc.sess.events.add(what, content)
	}
	return false
}

// message records one message.
func (d *decoder) message(fc *frameContext, m *mcp.Message) {
	f, st := fc.f, fc.st
	d.ev = event.Event{Fields: st.base, Time: f.At.UnixNano()}
	ev := &d.ev
	ev.Direction = f.Direction
	ev.Anomalies = m.Anomalies.AppendNames(nil)
	d.content(fc, m)
	if h := f.HTTP; h != nil {
		d.http(fc, h)
	}
	if m.Batched {
		if fc.batch == "" {
			fc.batch = d.nextID()
		}
		ev.BatchID, ev.BatchIndex = fc.batch, int64(m.Index)
	}
	if m.Kind != mcp.KindInvalid || m.Method != "" {
		ev.RequestID, ev.RequestIDType = bounded(m.ID.Text, maxName), ""
		if m.ID.Present() {
			ev.RequestIDType = m.ID.Type.String()
		}
		ev.Method = bounded(m.Method, maxName)
		ev.Tool = bounded(m.Tool(), maxName)
		ev.Prompt = bounded(m.Prompt(), maxName)
		ev.ResourceURI = boundedURI(m.ResourceURI())
		if tc, ok := m.TraceContext(); ok {
			ev.TraceID, ev.SpanID = tc.TraceID, tc.SpanID
		} else if f.HTTP != nil && f.Direction == event.ClientToServer {
			if tc, ok := mcp.ParseTraceparent(f.HTTP.Headers["traceparent"]); ok {
				ev.TraceID, ev.SpanID = tc.TraceID, tc.SpanID
			}
		}
	}
	switch m.Kind {
	case mcp.KindRequest:
		ev.Name, ev.Kind = event.NameRequest, event.KindRequest
		d.request(fc, m)
	case mcp.KindResponse, mcp.KindError:
		ev.Name, ev.Kind = event.NameResponse, m.Kind.String()
		d.response(fc, m)
	case mcp.KindNotification:
		ev.Name, ev.Kind = event.NameNotification, event.KindNotification
		d.notification(fc, m)
	default:
		ev.Name, ev.Kind = event.NameInvalid, event.KindInvalid
		d.claims(fc)
		d.converse(st, fc.sess, ev)
		d.emit(len(ev.Body))
	}
}

func (d *decoder) anomaly(name string) { d.ev.Anomalies = append(d.ev.Anomalies, name) }

// content sets the body and what measures it.
func (d *decoder) content(fc *frameContext, m *mcp.Message) {
	ev, f := &d.ev, fc.f
	body := f.Data
	if m.Batched || m.Anomalies.Has(mcp.Concatenated) {
		body = m.Raw
		ev.BodySize = int64(len(body))
		sum := sha256.Sum256(body)
		ev.BodySHA256 = hex.EncodeToString(sum[:])
	} else {
		if f.SHA256 == ([32]byte{}) && !f.Truncated {
			f.SHA256 = sha256.Sum256(f.Data)
		}
		ev.BodySize = f.Size
		if f.SHA256 != ([32]byte{}) {
			ev.BodySHA256 = hex.EncodeToString(f.SHA256[:])
		}
	}
	ev.Capture = event.CaptureComplete
	if f.Truncated && (!m.Batched || m.Anomalies.Has(mcp.TruncatedMessage)) {
		ev.Capture = event.CaptureTruncated
	}
	if len(body) > 0 { // the Recorder owns it and nothing writes to it any more
		ev.Body = unsafe.String(&body[0], len(body))
	}
}

// http sets what the HTTP exchange says. A response's frame may not repeat what its request said.
func (d *decoder) http(fc *frameContext, h *HTTP) {
	ev := &d.ev
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	ev.NetworkProtocolVersion = h.Protocol
	ev.HTTPStatus = int64(h.Status)
	ev.RawAuthorization = or(h.Authorization, fc.x.auth)
	ev.RawURL = or(h.URL, fc.x.url)
	ev.ClientAddress = or(h.ClientAddr, fc.x.client)
	ev.RawHeaders = h.Headers
	if len(ev.RawHeaders) == 0 {
		ev.RawHeaders = fc.x.headers
	}
	ev.AuthDecision = decision(h, ev.RawAuthorization != "")
}

func decision(h *HTTP, credential bool) string {
	switch {
	case h.Status == 401:
		return "unauthenticated"
	case h.Status == 403 && strings.Contains(h.Headers["www-authenticate"], "insufficient_scope"):
		return "insufficient_scope"
	case h.Status == 403:
		return "denied"
	case h.Status >= 200 && h.Status < 300 && credential:
		return "granted"
	}
	return ""
}

// claims sets what client and server said of themselves, as far as the message does not.
func (d *decoder) claims(fc *frameContext) {
	ev := &d.ev
	if ev.ClientName == "" && ev.ClientVersion == "" {
		c := fc.sess.client
		ev.ClientName, ev.ClientVersion = bounded(c.Name, maxName), bounded(c.Version, maxName)
	}
	if ev.ServerClaimedName == "" && ev.ServerClaimedVersion == "" {
		s := fc.sess.server
		if s == (mcp.Implementation{}) {
			s = fc.st.proc.server
		}
		ev.ServerClaimedName, ev.ServerClaimedVersion = bounded(s.Name, maxName), bounded(s.Version, maxName)
	}
}

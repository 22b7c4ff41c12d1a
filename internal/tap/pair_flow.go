package tap

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// boundedID keeps ids of any length comparable at a bounded size.
func boundedID(id mcp.ID) mcp.ID {
	if len(id.Text) > 64 {
		id.Text = "~" + mcp.Hash("id", id.Text)
	}
	return id
}

func (d *decoder) key(fc *frameContext, sess *session, toServer bool, id mcp.ID) callKey {
	k := callKey{stream: fc.s.n, session: sess.hash, toServer: toServer, id: boundedID(id)}
	if fc.x != nil && sess.hash == "" && toServer {
		k.exchange = fc.f.HTTP.Exchange
	}
	return k
}

// request records a request and opens its call.
func (d *decoder) request(fc *frameContext, m *mcp.Message) {
	ev, st, f := &d.ev, fc.st, fc.f
	toServer := f.Direction == event.ClientToServer
	version, era := st.versionOf(fc.s, fc.sess, f, m, fc.x)
	ev.ProtocolVersion, ev.Era = version, era
	if fc.x != nil && toServer {
		fc.x.version, fc.x.era = version, era
	}
	if m.Batched && mcp.BatchForbidden(version) {
		d.anomaly("batch_forbidden")
	}
	sess := fc.sess
	if era == mcp.EraModern && fc.x != nil && fc.s.info.Transport != event.TransportSSE {
		sess = st.proc // a session header means nothing there; on HTTP+SSE the session is the connection
	}
	c := &call{s: fc.s, sess: sess, key: d.key(fc, sess, toServer, m.ID)}
	if ci, ok := m.ClientInfo(); ok {
		ev.ClientName, ev.ClientVersion = bounded(ci.Name, maxName), bounded(ci.Version, maxName)
		c.initInfo = ci
		if fc.x == nil {
			sess.client = ci
		}
	}
	d.claims(fc)
	if fc.x != nil {
		c.exchange = f.HTTP.Exchange
		if era == mcp.EraModern && toServer {
			mismatch, missing := headerMismatch(f.HTTP, m, st.headers)
			if mismatch {
				d.anomaly("header_mismatch")
			}
			if missing {
				d.anomaly("header_missing")
			}
			c.mismatch = mismatch || missing
		}
	}

	if !m.ID.Present() { // its id stood beyond the capture limit
		c.key.id = mcp.ID{Type: mcp.IDOther, Text: strconv.FormatInt(d.seq+1, 10)}
	} else {
		n, open := d.calls.sameID(c.key)
		_, used := sess.used.get(hashID(toServer, c.key.id))
		if open > 0 || era == mcp.EraLegacy && used && (sess.hash != "" || fc.x == nil) {
			d.anomaly("id_reuse")
		}
		if sess.hash != "" || fc.x == nil {
			sess.used.add(hashID(toServer, c.key.id), 0)
		}
		if n >= maxSameID {
			defer func(old *call) { d.giveUp(old, f.At) }(d.calls.byKey[c.key])
		}
	}
	c.token = boundedID(m.ProgressToken())
	c.standing = m.Method == mcp.SubscriptionsListen || m.Method == mcp.TasksResult
	d.round(fc, m, c)
	if t, ok := m.Task(); ok {
		c.task = mcp.Hash("task", t.ID)
		d.nameTask(c.task)
	}
	ev.ExchangeID, ev.ExchangeStart = d.nextID(), ev.Time
	d.converse(st, sess, ev)
	d.emit(len(ev.Body))

	c.req = *ev
	c.req.Body, c.req.Anomalies, c.req.BodySHA256, c.req.BodySize = "", nil, "", 0
	c.deadline = f.At.Add(d.r.cfg.RequestTimeout)
	d.calls.add(c)
	if fc.x != nil {
		fc.x.calls = append(fc.x.calls, c)
	}
	for d.calls.open.Len()+d.calls.standing.Len() > maxOpenCalls {
		l := &d.calls.open
		if l.Len() == 0 {
			l = &d.calls.standing
		}
		d.giveUp(l.Front().Value.(*call), f.At)
	}
}

// giveUp forgets a call for want of room.
func (d *decoder) giveUp(c *call, at time.Time) {
	if c == nil || c.in == nil {
		return
	}
	if c.state == callOpen {
		d.closeCall(c, event.OutcomeTimeout, "pairing_evicted", at)
	}
	d.calls.remove(c)
}

// round finds the call that a request continues (2026-07-28 multi round-trip requests).
func (d *decoder) round(fc *frameContext, m *mcp.Message, c *call) {
	ev := &d.ev
	if ev.Era != mcp.EraModern {
		return
	}
	switch m.Method {
	case mcp.ToolsCall, mcp.PromptsGet, mcp.ResourcesRead:
	default:
		return
	}
	c.round = event.SourceID("round", strconv.FormatUint(fc.s.n, 10), m.Method, m.Name(), m.URI(), ev.RawAuthorization,
		strconv.FormatUint(hashBytes(m.Arguments()), 36))
	state := m.RequestStateHash()
	r, ok := d.rounds.get(state)
	if state == "" && m.HasInputResponses() {
		r, ok = d.rounds.get(c.round)
	}
	switch {
	case ok:
		ev.Round, ev.CallID = r.round+1, r.call
	case state != "":
		d.anomaly("unknown_request_state")
	}
}

// nameTask puts the task and the call that made it on the event.
func (d *decoder) nameTask(hash string) {
	ev := &d.ev
	ev.TaskID = hash
	if t, ok := d.tasks.get(hash); ok {
		ev.CallID = callOf(&t.req)
		if ev.Tool == "" {
			ev.Tool = t.req.Tool
		}
	}
}

// callOf is the id that all messages of a call share.
func callOf(req *event.Event) string {
	if req.CallID != "" {
		return req.CallID
	}
	return req.ExchangeID
}

// findCall finds the call that a response answers.
func (d *decoder) findCall(fc *frameContext, m *mcp.Message) *call {
	toServer := fc.f.Direction == event.ServerToClient // the request went the other way
	if m.ID.Present() {
		if c := d.calls.find(d.key(fc, fc.sess, toServer, m.ID)); c != nil {
			return c
		}
		if fc.x != nil { // initialize, which has no session yet, and the modern era
			if c := d.calls.find(d.key(fc, fc.st.proc, toServer, m.ID)); c != nil {
				return c
			}
		}
		return nil
	}
	// An error that could not name its request, or an id beyond the capture limit: the HTTP exchange tells, if it has one request.
	if fc.x == nil || !toServer {
		return nil
	}
	var found *call
	for _, c := range fc.x.calls {
		if c.in != nil && c.key.toServer {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// inherit puts onto the event what a response repeats of its request.
func (d *decoder) inherit(r *event.Event) {
	ev := &d.ev
	ev.Method, ev.Tool, ev.ResourceURI, ev.Prompt = r.Method, r.Tool, r.ResourceURI, r.Prompt
	if ev.RequestIDType == "" {
		ev.RequestID, ev.RequestIDType = r.RequestID, r.RequestIDType
	}
	ev.ExchangeID, ev.ExchangeStart, ev.Round, ev.CallID, ev.TaskID = r.ExchangeID, r.ExchangeStart, r.Round, r.CallID, r.TaskID
	ev.ProtocolVersion, ev.Era = r.ProtocolVersion, r.Era
	ev.TraceID, ev.SpanID = r.TraceID, r.SpanID
	ev.ClientName, ev.ClientVersion = r.ClientName, r.ClientVersion
	ev.SessionID, ev.ConversationID, ev.ConversationInferred = r.SessionID, r.ConversationID, r.ConversationInferred
	if r.Direction == event.ClientToServer { // the credential is the client's, whichever exchange carries the answer
		if ev.RawAuthorization == "" {
			ev.RawAuthorization = r.RawAuthorization
		}
		if len(ev.RawHeaders) == 0 {
			ev.RawHeaders = r.RawHeaders
		}
		if ev.RawURL == "" {
			ev.RawURL = r.RawURL
		}
		if ev.ClientAddress == "" {
			ev.ClientAddress = r.ClientAddress
		}
	}
	ev.DurationNanos = max(1, ev.Time-r.ExchangeStart)
}

// response records a result or an error and closes its call.
func (d *decoder) response(fc *frameContext, m *mcp.Message) {
	ev, st, f := &d.ev, fc.st, fc.f
	c := d.findCall(fc, m)
	if c == nil {
		d.orphan(fc, m)
		return
	}
	d.inherit(&c.req)
	sess := c.sess
	if fc.sess.hash != "" && sess.hash == "" && c.req.Era != mcp.EraModern { // the answer to initialize brings the session
		sess = fc.sess
		ev.SessionID, ev.ConversationID, ev.ConversationInferred = sess.hash, sess.conv, false
	}
	if !f.FirstByte.IsZero() && f.HTTP != nil {
		ev.FirstByteNanos = max(1, f.FirstByte.UnixNano()-c.req.ExchangeStart)
	}
	if c.req.Method == mcp.Initialize && m.Kind == mcp.KindResponse {
		v := bounded(m.ProtocolVersion(), 32)
		ev.ProtocolVersion = v
		if sess.hash != "" || fc.x == nil {
			sess.version, sess.client = v, c.initInfo
		}
	}
	if si, ok := m.ServerInfo(); ok && f.Direction == event.ServerToClient {
		ev.ServerClaimedName, ev.ServerClaimedVersion = bounded(si.Name, maxName), bounded(si.Version, maxName)
		sess.server, st.proc.server = si, si
	}
	fc2 := *fc
	fc2.sess = sess
	d.claims(&fc2)
	if m.Batched && mcp.BatchForbidden(ev.ProtocolVersion) {
		d.anomaly("batch_forbidden")
	}
	if c.mismatch && ev.HTTPStatus >= 200 && ev.HTTPStatus < 300 {
		d.anomaly("header_mismatch_accepted")
	}

	task, hasTask := m.Task()
	if hasTask {
		d.nameTask(mcp.Hash("task", task.ID))
		task.Created = task.Created && !strings.HasPrefix(c.req.Method, "tasks/")
	} else if c.task != "" {
		d.nameTask(c.task)
	}
	outcome, errType, code := outcomeOf(m)
	switch {
	case c.state == callLate:
		outcome = event.OutcomeLate
	case m.ResultType() == "input_required":
		outcome = event.OutcomeInputRequired
		d.openRound(fc, m, c)
	case task.Created:
		outcome = "" // it comes with the task's
		ev.CallID = callOf(&c.req)
	}
	ev.Outcome, ev.ErrorType, ev.RPCCode = outcome, errType, code
	if m.Kind == mcp.KindResponse && c.req.Method == mcp.SamplingCreateMessage {
		ev.Model = bounded(m.Model(), maxName)
	}
	if c.req.Method == mcp.ToolsList && m.Tools() != nil && f.HTTP != nil && ev.Era == mcp.EraModern {
		if st.headers == nil {
			st.headers = make(map[string][]paramHeader)
		}
		learnHeaders(st.headers, m.Tools())
	}
	d.emit(len(ev.Body))

	if (c.sess.hash != "" || fc.x == nil) && m.ID.Present() {
		c.sess.answered.add(hashID(c.key.toServer, c.key.id), hashBytes(f.Data))
	}
	late := c.state == callLate
	d.forget(fc.x, c)
	if late {
		return
	}
	switch {
	case task.Created && !task.Terminal():
		d.tasks.put(mcp.Hash("task", task.ID), &taskState{req: c.req, s: c.s, id: mcp.Hash("task", task.ID)}, f.At)
	case task.Created: // done at once
		t := &taskState{req: c.req, s: c.s, id: mcp.Hash("task", task.ID)}
		d.closeTaskBy(t, task, c.req.Era, f.At)
	case c.req.Method == mcp.TasksResult && c.task != "":
		if t, ok := d.tasks.get(c.task); ok {
			d.tasks.remove(c.task)
			d.closeTask(t, outcome, errType, f.At, &code)
		}
	case hasTask && task.Terminal():
		d.taskEnded(task, c.req.Era, f.At)
	}
}

// outcomeOf is the outcome that a response states by itself.
func outcomeOf(m *mcp.Message) (outcome, errType, code string) {
	switch {
	case m.Kind == mcp.KindError:
		code = m.ErrorCode()
		errType = code
		if errType == "" {
			errType = "rpc_error"
		}
		return event.OutcomeRPCError, errType, code
	case m.IsError():
		return event.OutcomeToolError, event.OutcomeToolError, ""
	}
	return event.OutcomeOK, "", ""
}

// openRound notes a call that waits for the client's input.
func (d *decoder) openRound(fc *frameContext, m *mcp.Message, c *call) {
	ev := &d.ev
	if c.round == "" {
		d.anomaly("input_required_method")
		return
	}
	ev.Round, ev.CallID = max(1, c.req.Round), callOf(&c.req)
	r := roundState{call: ev.CallID, round: ev.Round}
	if state := m.RequestStateHash(); state != "" {
		d.rounds.put(state, r, fc.f.At)
	}
	d.rounds.put(c.round, r, fc.f.At)
}

// forget removes an answered call.
func (d *decoder) forget(x *exchange, c *call) {
	d.calls.remove(c)
	if x == nil || x.calls == nil {
		return
	}
	x.calls = slices.DeleteFunc(x.calls, func(o *call) bool { return o == c })
}

// orphan records a response whose request was not seen, or was answered before.
func (d *decoder) orphan(fc *frameContext, m *mcp.Message) {
	ev, f := &d.ev, fc.f
	if m.ID.Present() && (fc.sess.hash != "" || fc.x == nil) {
		content, ok := fc.sess.answered.get(hashID(f.Direction == event.ServerToClient, boundedID(m.ID)))
		if ok && content == hashBytes(f.Data) && f.HTTP != nil && f.HTTP.Resumed {
			d.r.stats.duplicates.Add(1)
			return
		}
		if ok {
			d.anomaly("duplicate_response")
		}
	}
	ev.Outcome = event.OutcomeOrphan
	_, ev.ErrorType, ev.RPCCode = outcomeOf(m)
	switch {
	case fc.x != nil && fc.x.era != "" && f.Direction == event.ServerToClient:
		ev.ProtocolVersion, ev.Era = fc.x.version, fc.x.era
	case m.ResultType() != "":
		ev.Era = mcp.EraModern
	case fc.sess.version != "":
		ev.ProtocolVersion, ev.Era = fc.sess.version, mcp.EraLegacy
	case f.HTTP != nil && mcp.ValidVersion(f.HTTP.Version):
		ev.ProtocolVersion, ev.Era = f.HTTP.Version, mcp.Era(f.HTTP.Version)
	}
	if m.Batched && mcp.BatchForbidden(ev.ProtocolVersion) {
		d.anomaly("batch_forbidden")
	}
	if t, ok := m.Task(); ok {
		d.nameTask(mcp.Hash("task", t.ID))
	}
	d.claims(fc)
	d.converse(fc.st, fc.sess, ev)
	d.emit(len(ev.Body))
}

// notification records a notification and what it ends.
func (d *decoder) notification(fc *frameContext, m *mcp.Message) {
	ev, st, f := &d.ev, fc.st, fc.f
	toServer := f.Direction == event.ClientToServer
	version, era := st.versionOf(fc.s, fc.sess, f, m, fc.x)
	ev.ProtocolVersion, ev.Era = version, era
	if fc.x != nil && toServer && fc.x.era == "" {
		fc.x.version, fc.x.era = version, era
	}
	if m.Batched && mcp.BatchForbidden(version) {
		d.anomaly("batch_forbidden")
	}
	sess := fc.sess
	if era == mcp.EraModern && fc.x != nil && fc.s.info.Transport != event.TransportSSE {
		sess = st.proc
	}
	if ci, ok := m.ClientInfo(); ok {
		ev.ClientName, ev.ClientVersion = bounded(ci.Name, maxName), bounded(ci.Version, maxName)
	}
	if fc.x != nil && era == mcp.EraModern && toServer {
		if mismatch, _ := headerMismatch(f.HTTP, m, st.headers); mismatch { // which headers a notification owes is not defined
			d.anomaly("header_mismatch")
		}
	}
	var cancelled *call
	var ended *mcp.Task
	switch m.Method {
	case mcp.NotificationCancelled:
		cancelled = d.cancelled(fc, m, sess, toServer)
		if cancelled != nil {
			d.link(&cancelled.req)
			if cancelled.req.Method == mcp.Initialize {
				d.anomaly("cancel_initialize")
				cancelled = nil
			}
		}
	case mcp.NotificationProgress:
		k := d.key(fc, sess, !toServer, m.ProgressToken())
		if c := d.calls.byToken[k]; c != nil {
			d.link(&c.req)
		}
	case mcp.NotificationTasksStatus, mcp.NotificationTasks:
		if t, ok := m.Task(); ok {
			d.nameTask(mcp.Hash("task", t.ID))
			if t.Terminal() {
				ended = &t
			}
		}
	default:
		if t, ok := m.Task(); ok { // related-task
			d.nameTask(mcp.Hash("task", t.ID))
		}
	}
	d.claims(fc)
	d.converse(st, sess, ev)
	d.emit(len(ev.Body))
	if cancelled != nil {
		d.closeCall(cancelled, event.OutcomeCancelled, "", f.At)
	}
	if ended != nil {
		d.taskEnded(*ended, era, f.At)
	}
}

// link puts the call that a notification is about onto it.
func (d *decoder) link(req *event.Event) {
	d.ev.CallID = callOf(req)
	if d.ev.Tool == "" {
		d.ev.Tool = req.Tool
	}
}

// cancelled finds the open call that a notifications/cancelled ends.
func (d *decoder) cancelled(fc *frameContext, m *mcp.Message, sess *session, toServer bool) *call {
	id := m.CancelledID()
	if !id.Present() { // optional in 2025-11-25
		return nil
	}
	if c := d.calls.find(d.key(fc, sess, toServer, id)); c != nil {
		if c.state == callOpen {
			return c
		}
		return nil
	}
	if !toServer { // the server may end a subscription so
		if c := d.calls.find(d.key(fc, sess, true, id)); c != nil && c.state == callOpen && c.req.Method == mcp.SubscriptionsListen {
			return c
		}
	}
	if fc.x != nil && sess.hash == "" { // without sessions, another exchange of the same client may have sent the request
		var found *call
		n := 0
		d.calls.each(func(c *call) {
			if c.s == fc.s && c.key.session == "" && c.key.toServer == toServer && c.key.id == boundedID(id) &&
				c.req.RawAuthorization == d.ev.RawAuthorization && c.req.ClientAddress == d.ev.ClientAddress {
				found = c
				n++
			}
		})
		if n == 1 {
			return found
		}
	}
	if _, ok := sess.answered.get(hashID(toServer, boundedID(id))); !ok {
		d.anomaly("cancel_unknown")
	}
	return nil
}

// --- endings that no message states

// closeCall records that a call ends without an answer: a response event without content.
func (d *decoder) closeCall(c *call, outcome, errType string, at time.Time) {
	if errType == "stream_closed" && c.broken != "" { // and no other stream brought the answer
		outcome, errType = event.OutcomeTransportError, c.broken
	}
	if d.unseen(c, errType) {
		d.synthesize(&c.req, "", notCaptured, at)
	} else {
		d.synthesize(&c.req, outcome, errType, at)
	}
	if at.IsZero() {
		at = time.Now()
	}
	if (outcome == event.OutcomeCancelled || outcome == event.OutcomeTimeout) && errType != "stream_closed" {
		d.calls.keepLate(c, at.Add(d.r.cfg.RequestTimeout))
		return
	}
	d.calls.remove(c)
}

// notCaptured is the error of a call whose answer may have passed unseen: nobody can say how it ended.
const notCaptured = "not_captured"

// unseen says that a call that seems to have had no answer was open while something was lost.
func (d *decoder) unseen(c *call, errType string) bool {
	switch errType {
	case "timeout", "pairing_evicted", "stream_closed", "server_exit", "reset":
		return c.req.TapSeq < d.lostTo && !c.standing
	}
	return false
}

// synthesize emits the response event of a request whose end no message of its own states.
func (d *decoder) synthesize(req *event.Event, outcome, errType string, at time.Time) {
	if at.IsZero() {
		at = time.Now()
	}
	d.ev = *req
	ev := &d.ev
	ev.Name, ev.Kind, ev.Capture = event.NameResponse, event.KindResponse, event.CaptureAbsent
	ev.Time = at.UnixNano()
	ev.Direction = event.ServerToClient
	if req.Direction == event.ServerToClient {
		ev.Direction = event.ClientToServer
	}
	ev.BatchID, ev.BatchIndex, ev.FirstByteNanos, ev.HTTPStatus = "", 0, 0, 0
	ev.Outcome, ev.ErrorType = outcome, errType
	ev.DurationNanos = max(1, ev.Time-req.ExchangeStart)
	d.emit(0)
}

// taskEnded closes the call behind a task that a message reports to be over.
func (d *decoder) taskEnded(task mcp.Task, era string, at time.Time) {
	h := mcp.Hash("task", task.ID)
	if t, ok := d.tasks.get(h); ok {
		d.tasks.remove(h)
		d.closeTaskBy(t, task, era, at)
	}
}

// closeTaskBy closes a task's call by its final status. In 2025-11-25 a tool's own error makes the task failed; in the extension only
// a JSON-RPC error does, and the outcome stands beside the status.
func (d *decoder) closeTaskBy(t *taskState, task mcp.Task, era string, at time.Time) {
	switch {
	case task.Status == "cancelled":
		d.closeTask(t, event.OutcomeCancelled, "", at, nil)
	case task.Error != nil:
		code, _ := mcp.Get(task.Error, "code")
		c := bounded(string(code), 32)
		d.closeTask(t, event.OutcomeRPCError, c, at, &c)
	case task.Result != nil && mcp.GetBool(task.Result, "isError"):
		d.closeTask(t, event.OutcomeToolError, event.OutcomeToolError, at, nil)
	case task.Status == "failed" && era == mcp.EraModern:
		d.closeTask(t, event.OutcomeRPCError, "task_failed", at, nil)
	case task.Status == "failed":
		d.closeTask(t, event.OutcomeToolError, event.OutcomeToolError, at, nil)
	default:
		d.closeTask(t, event.OutcomeOK, "", at, nil)
	}
}

func (d *decoder) closeTask(t *taskState, outcome, errType string, at time.Time, code *string) {
	req := t.req
	req.TaskID, req.CallID = t.id, callOf(&t.req)
	if code != nil {
		req.RPCCode = *code
	}
	d.synthesize(&req, outcome, errType, at)
}

// transportError records an HTTP exchange without a JSON-RPC answer, once for each request that it leaves open. In a legacy session a
// stream that breaks is not the end of its requests, whose answers may come on a resumed one.
func (d *decoder) transportError(s *stream, st *streamState, class string, f *Frame) {
	if f.At.IsZero() {
		f.At = time.Now()
	}
	fc := &frameContext{s: s, st: st, f: f}
	d.locate(fc)
	class = bounded(class, 64)
	broken := class == "reset" || class == "timeout" || class == "client_closed"
	record := func(c *call, final bool) {
		d.ev = event.Event{Fields: st.base, Name: event.NameTransport, Time: f.At.UnixNano()}
		ev := &d.ev
		ev.Kind, ev.Capture, ev.ErrorType, ev.BodySize = event.KindRecord, event.CaptureAbsent, class, f.Size
		ev.Direction = f.Direction
		if f.HTTP != nil {
			d.http(fc, f.HTTP)
		}
		if c != nil {
			d.inherit(&c.req)
			if final {
				ev.Outcome = event.OutcomeTransportError
				if class == "client_closed" {
					ev.Outcome = event.OutcomeCancelled
				}
			}
			d.claims(fc)
		} else {
			d.claims(fc)
			d.converse(st, fc.sess, ev)
		}
		d.emit(0)
	}
	n := 0
	if fc.x != nil {
		for _, c := range slices.Clone(fc.x.calls) {
			if c.in == nil || c.state != callOpen {
				continue
			}
			n++
			final := !broken || c.req.Era == mcp.EraModern || c.key.session == ""
			record(c, final)
			switch {
			case final:
				d.forget(fc.x, c)
			case class != "client_closed":
				c.broken = class
			}
		}
	}
	if n == 0 {
		record(nil, false)
	}
}

// closeStream ends a stream: what is open is recorded as unanswered, then a stdio server's exit.
func (d *decoder) closeStream(s *stream, st *streamState, exit *Exit, at time.Time) {
	if st.closed {
		return
	}
	outcome, errType := event.OutcomeCancelled, "stream_closed"
	if exit != nil && (exit.Code != 0 || !exit.ClientLeft) {
		outcome, errType = event.OutcomeTransportError, "server_exit"
	}
	d.calls.each(func(c *call) {
		if c.s != s {
			return
		}
		if c.standing && c.req.Method == mcp.SubscriptionsListen {
			d.closeCall(c, event.OutcomeCancelled, "stream_closed", at) // how a subscription ends
			return
		}
		d.closeCall(c, outcome, errType, at)
	})
	for e := d.calls.late.Front(); e != nil; {
		next := e.Next()
		if c := e.Value.(*call); c.s == s {
			d.calls.remove(c)
		}
		e = next
	}
	if s.info.Transport == event.TransportStdio { // its tasks end with the process
		for _, h := range slices.Clone(d.tasks.order) {
			if t, ok := d.tasks.get(h); ok && t.s == s {
				d.tasks.remove(h)
				d.closeTask(t, outcome, errType, at, nil)
			}
		}
	}
	if exit != nil {
		d.ev = event.Event{Fields: st.base, Name: event.NameServerExit, Time: at.UnixNano()}
		ev := &d.ev
		ev.Kind, ev.Capture, ev.ExitCode = event.KindRecord, event.CaptureAbsent, int64(exit.Code)
		fc := frameContext{s: s, st: st, sess: st.proc}
		d.claims(&fc)
		d.converse(st, st.proc, ev)
		d.emit(0)
	}
	st.closed = true
	st.sessions, st.exchanges, st.convs = aged[*session]{max: maxSessions}, aged[*exchange]{max: maxExchange}, aged[*conversation]{max: maxConvs}
	st.headers = nil
}

// sweep closes calls that ran into their timeout and forgets what is too old to matter.
func (d *decoder) sweep(now time.Time) {
	if now.Sub(d.swept) < sweepEvery {
		return
	}
	d.swept = now
	for e := d.calls.open.Front(); e != nil; e = d.calls.open.Front() {
		c := e.Value.(*call)
		if c.deadline.After(now) {
			break
		}
		d.closeCall(c, event.OutcomeTimeout, "timeout", now)
	}
	for e := d.calls.late.Front(); e != nil; e = d.calls.late.Front() {
		c := e.Value.(*call)
		if c.deadline.After(now) {
			break
		}
		d.calls.remove(c)
	}
	d.rounds.expire(now.Add(-roundsLast))
	d.tasks.expire(now.Add(-tasksLast))
}

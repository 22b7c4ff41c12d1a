package tap

import (
	"strconv"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// session is what is remembered of a legacy HTTP session or of a stdio process: claims and the negotiated version, so that messages
// which do not repeat them can be told apart by them.
type session struct {
	hash     string // of the session id; empty for a stdio process and for HTTP without sessions
	conv     string // conversation id; empty where it must be inferred
	version  string // negotiated, legacy
	client   mcp.Implementation
	server   mcp.Implementation
	used     seen // legacy request ids, which must not be used twice
	answered seen // requests answered, with the hash of the answer
	events   seen // SSE event ids, with the hash of their data
}

// streamState is the decode goroutine's side of a stream.
type streamState struct {
	base      event.Fields // what every event of the stream says
	proc      *session     // stdio: the process. HTTP: what is known of the server whatever the session
	sessions  aged[*session]
	exchanges aged[*exchange]
	convs     aged[*conversation]
	modern    string // last version seen in params._meta
	headers   map[string][]paramHeader
	closed    bool
}

// exchange is what the request of an HTTP exchange said, for the frames of its response, which may not say it again.
type exchange struct {
	session string // raw session id
	auth    string
	headers map[string]string
	url     string
	client  string // address
	version string
	era     string
	calls   []*call // still to be answered
}

// conversation is an inferred one: same credential, client and trace, without a long silence.
type conversation struct {
	id   string
	last time.Time
}

func (d *decoder) stateOf(s *stream) *streamState {
	if s.state != nil {
		return s.state
	}
	st := &streamState{proc: &session{}}
	st.sessions.max, st.exchanges.max, st.convs.max = maxSessions, maxExchange, maxConvs
	i := s.info
	b := &st.base
	b.SourceKind, b.ClockSource = "tap", "tap"
	b.TapID, b.TapEpoch = d.r.cfg.TapID, d.r.epoch
	b.Labels, b.Tenant, b.Server = i.Labels, i.Tenant, i.Server
	if b.Tenant == "" {
		b.Tenant = event.DefaultTenant
	}
	b.HostName, b.OSUser = d.host, d.user
	b.Transport = i.Transport
	if i.Transport == event.TransportStdio {
		b.NetworkTransport = "pipe"
		b.Command, b.Package, b.PID, b.ParentCommand = i.Command, i.Package, int64(i.PID), i.ParentCommand
		st.proc.conv = event.SourceID("stdio", b.TapID, strconv.FormatInt(b.TapEpoch, 10), strconv.FormatUint(s.n, 10))
	} else {
		b.NetworkTransport, b.NetworkProtocol = "tcp", "http"
		b.ServerAddress, b.ServerPort = splitHostPort(i.Upstream)
	}
	s.state = st
	return st
}

// sessionOf finds the session of a raw session id, making it if need be.
func (st *streamState) sessionOf(raw string, now time.Time) *session {
	if raw == "" {
		return st.proc
	}
	h := mcp.Hash("session", raw)
	if s, ok := st.sessions.get(h); ok {
		return s
	}
	s := &session{hash: h, conv: event.SourceID("session", h)}
	st.sessions.put(h, s, now)
	return s
}

// versionOf decides version and era of a request or notification: for each message, since one server may serve both eras at once.
func (st *streamState) versionOf(s *stream, sess *session, f *Frame, m *mcp.Message, x *exchange) (version, era string) {
	toServer := f.Direction == event.ClientToServer
	if v := m.MetaProtocolVersion(); v != "" {
		st.modern = v
		return bounded(v, 32), mcp.EraModern
	}
	switch m.Method {
	case mcp.Initialize: // the answer negotiates it
		return "", mcp.EraLegacy
	case mcp.ServerDiscover, mcp.SubscriptionsListen, mcp.NotificationSubscriptionsAcknowledged:
		return st.modern, mcp.EraModern
	}
	if m.SubscriptionID().Present() {
		return st.modern, mcp.EraModern
	}
	if h := f.HTTP; h != nil && toServer && mcp.ValidVersion(h.Version) {
		return h.Version, mcp.Era(h.Version)
	}
	if !toServer && x != nil && x.era != "" {
		return x.version, x.era
	}
	if sess.version != "" {
		return sess.version, mcp.EraLegacy
	}
	switch {
	case s.info.Transport == event.TransportSSE:
		return mcp.Version20241105, mcp.EraLegacy
	case f.HTTP != nil && toServer && f.HTTP.Version == "": // 2025-06-18 transports: absent means this
		return mcp.Version20250326, mcp.EraLegacy
	case st.modern != "":
		return st.modern, mcp.EraModern
	}
	return "", ""
}

// converse sets the event's session and conversation. Where neither a session nor a process bounds it, a conversation is inferred
// from the credential, the client, its address and the trace, and ends with a silence of 30 minutes.
func (d *decoder) converse(st *streamState, sess *session, ev *event.Event) {
	ev.SessionID = sess.hash
	if sess.conv != "" {
		ev.ConversationID = sess.conv
		return
	}
	ev.ConversationInferred = true
	now := time.Unix(0, ev.Time)
	key := event.SourceID(ev.RawAuthorization, ev.ClientName, ev.ClientAddress, string(ev.TraceID[:]))
	c, ok := st.convs.get(key)
	if !ok || now.Sub(c.last) > idleGap {
		d.convs++
		c = &conversation{id: event.SourceID("inferred", d.r.cfg.TapID, strconv.FormatInt(d.r.epoch, 10), strconv.FormatInt(d.convs, 10))}
		st.convs.put(key, c, now)
	}
	c.last = now
	ev.ConversationID = c.id
}

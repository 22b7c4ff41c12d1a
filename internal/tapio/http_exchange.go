package tapio

import (
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/exposure"
	"github.com/mcpsiem/mcpsiem/internal/tap"
)

// exchange is one HTTP request and its response.
type exchange struct {
	p     *Proxy
	info  tap.HTTP // of the request; what frames carry is a copy. SessionID is the recording goroutine's
	form  bool     // the request body is a form
	host  string   // as the client sent it
	named bool     // the request names its session

	// used by the recording goroutine only
	key    string // path and query: what a legacy client posts to
	legacy bool   // of the old HTTP+SSE transport
	asked  bool
}

// newExchange reads what a request says about itself.
func (p *Proxy) newExchange(r *http.Request) *exchange {
	x := &exchange{p: p, host: r.Host, key: r.URL.RequestURI()}
	x.info = tap.HTTP{
		Exchange:      p.exchanges.Add(1),
		Verb:          r.Method,
		URL:           x.key,
		Protocol:      "1.1",
		Authorization: r.Header.Get("Authorization"),
		Headers:       recordedHeaders(r),
		SessionID:     r.Header.Get("Mcp-Session-Id"),
		Version:       r.Header.Get("Mcp-Protocol-Version"),
		Resumed:       r.Header.Get("Last-Event-Id") != "",
		ClientAddr:    r.RemoteAddr,
	}
	x.named = x.info.SessionID != ""
	switch {
	case r.ProtoMajor == 2:
		x.info.Protocol = "2"
	case r.ProtoMinor == 0:
		x.info.Protocol = "1.0"
	}
	switch mediaType(r.Header) {
	case "application/x-www-form-urlencoded", "multipart/form-data":
		x.form = true
	}
	return x
}

func mediaType(h http.Header) string {
	v := h.Get("Content-Type")
	if v == "application/json" || v == "" {
		return v
	}
	if t, _, err := mime.ParseMediaType(v); err == nil {
		return t
	}
	t, _, _ := strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// recordedPrefixes and recordedNames are the request headers, lower case, that identity and detectors need.
var (
	recordedPrefixes = []string{
		"mcp-", "x-forwarded-", "x-auth-request-", "x-goog-authenticated-user-", "x-goog-iap-", "x-ms-client-principal", "x-amzn-oidc-",
		"x-amzn-mtls-", "cf-access-", "cf-connecting-", "x-remote-", "x-authentik-", "x-pomerium-", "tailscale-user-", "x-client-cert",
	}
	recordedNames = map[string]bool{
		"origin": true, "forwarded": true, "via": true, "x-real-ip": true, "true-client-ip": true, "remote-user": true, "x-user": true,
		"x-user-id": true, "x-email": true, "x-groups": true, "x-request-id": true, "x-correlation-id": true, "user-agent": true,
		"traceparent": true, "tracestate": true, "baggage": true, "content-type": true, "accept": true,
		// credentials beside Authorization: identity turns them into fingerprints and removes them
		"x-api-key": true, "api-key": true, "apikey": true, "x-auth-token": true, "x-goog-api-key": true,
	}
)

func recordedHeaders(r *http.Request) map[string]string {
	m := make(map[string]string, 8)
	m["host"] = r.Host
	for name, values := range r.Header {
		l := strings.ToLower(name)
		if l == "mcp-session-id" || !recordedNames[l] && !hasAnyPrefix(l, recordedPrefixes) {
			continue
		}
		if len(values) == 1 {
			m[l] = values[0]
		} else {
			m[l] = strings.Join(values, ", ")
		}
	}
	return m
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// requestKind says what to make of the request body.
func requestKind(r *http.Request) kind {
	if r.Method == http.MethodPost {
		return kindRequest
	}
	return kindIgnore
}

// responseKind says what to make of the response body.
func responseKind(x *exchange, res *http.Response) kind {
	t := mediaType(res.Header)
	get := x.info.Verb == http.MethodGet
	switch {
	case x.info.Verb == http.MethodHead || x.info.Verb == http.MethodOptions:
		return kindIgnore
	case res.StatusCode == http.StatusMethodNotAllowed && x.info.Verb != http.MethodPost:
		return kindIgnore // how a server says that it offers no stream, or no end of sessions
	case res.StatusCode >= 400:
		return kindFailure
	case res.StatusCode >= 300:
		if x.info.Verb == http.MethodPost {
			return kindFailure
		}
		return kindIgnore
	case t == "text/event-stream":
		return kindEvents
	case get && metadataPath(x.info.URL) && (t == "application/json" || strings.HasSuffix(t, "+json")):
		return kindMetadata
	case get:
		return kindIgnore // pages: no MCP message comes as the plain answer to a GET
	case res.StatusCode == http.StatusAccepted || res.StatusCode == http.StatusNoContent:
		return kindIgnore // taken; some servers say so in words
	case x.info.Verb == http.MethodPost && x.form:
		return kindIgnore
	case x.info.Verb == http.MethodPost && (t == "application/json" || strings.HasSuffix(t, "+json") || t == ""):
		return kindMessage
	case x.info.Verb == http.MethodPost:
		return kindFailure
	}
	return kindIgnore
}

// metadataPath says whether a document about authorization lives there: of a protected resource (RFC 9728), an authorization server
// (RFC 8414) or an OpenID provider. These are public; what clients and servers say to each other afterwards is full of secrets.
func metadataPath(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	_, name, ok := strings.Cut(path, "/.well-known/")
	return ok && (strings.HasPrefix(name, "oauth-protected-resource") || strings.HasPrefix(name, "oauth-authorization-server") || strings.HasPrefix(name, "openid-configuration"))
}

// exposed records a request without a message whose query or headers show that a server is reached as it should not be.
func (x *exchange) exposed() {
	i := &x.info
	if i.Verb != http.MethodGet || len(exposure.Judge(func(name string) string { return i.Headers[name] }, i.URL, i.ClientAddr)) == 0 {
		return
	}
	at := time.Now()
	x.p.after(x, func() {
		x.stream().Frame(tap.Frame{Direction: event.ClientToServer, At: at, HTTP: x.http(0), Record: event.NameHTTPRequest})
	})
}

// challengedBy notes a response's WWW-Authenticate among the headers of what follows.
func (x *exchange) challengedBy(res *http.Response) {
	c := strings.Join(res.Header["Www-Authenticate"], ", ")
	if c == "" || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
		return
	}
	x.p.after(x, func() {
		h := maps.Clone(x.info.Headers)
		h["www-authenticate"] = c
		x.info.Headers = h
	})
}

// The rest runs on the recording goroutine.

// http is what a frame of this exchange carries.
func (x *exchange) http(status int) *tap.HTTP {
	x.resolve()
	h := x.info
	h.Status = status
	return &h
}

// resolve finds out whether a POST goes to an endpoint that a legacy stream announced.
func (x *exchange) resolve() {
	if x.asked {
		return
	}
	x.asked = true
	if x.info.Verb == http.MethodPost && x.p.endpoints[x.key] > 0 {
		x.legacy = true
		x.info.SessionID = x.key
	}
}

// stream is where the exchange's frames go.
func (x *exchange) stream() tap.Stream {
	x.resolve()
	if x.legacy {
		return x.p.streamOf(event.TransportSSE)
	}
	return x.p.streamOf(event.TransportHTTP)
}

// fail records that the exchange ended without an answer.
func (x *exchange) fail(class string, f tap.Frame) {
	f.Direction = event.ServerToClient
	if f.HTTP == nil {
		f.HTTP = x.http(0)
	}
	if f.At.IsZero() {
		f.At = time.Now()
	}
	x.stream().TransportError(class, f)
}

// maxEndpoints bounds the announced endpoints that are remembered.
const maxEndpoints = 1 << 16

// endpoint takes the address that a legacy stream's first event announces.
func (x *exchange) endpoint(uri string) {
	base, err := url.Parse(x.info.URL)
	if err != nil {
		return
	}
	u, err := base.Parse(strings.TrimSpace(uri))
	if err != nil {
		return
	}
	x.legacy, x.asked = true, true
	x.key = u.RequestURI()
	x.info.SessionID = x.key
	if len(x.p.endpoints) < maxEndpoints {
		x.p.endpoints[x.key]++
	}
	if u.Host != "" && !strings.EqualFold(u.Host, x.host) && !x.p.cfg.RewriteEndpoint {
		x.p.warnBypass()
		x.fail("endpoint_bypass", tap.Frame{HTTP: x.http(http.StatusOK)})
	}
}

// over forgets the endpoint that the exchange announced.
func (x *exchange) over() {
	if !x.legacy || x.info.Verb != http.MethodGet {
		return
	}
	if n := x.p.endpoints[x.key] - 1; n > 0 {
		x.p.endpoints[x.key] = n
	} else {
		delete(x.p.endpoints, x.key)
	}
}

package identity

import (
	"context"
	"encoding/base64"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// sources lists where identities come from. Each looks at an event and adds its claims and signals; strength, not the order
// here, decides which claim names the principal. A new source is a function here, a line in this list and a row in README.md.
var sources = []func(p *identityProcessor, ctx context.Context, v *view, at int64, out *found){
	(*identityProcessor).fromAuthorization,
	(*identityProcessor).fromURL,
	(*identityProcessor).fromAPIKey,
	(*identityProcessor).fromCertificate,
	(*identityProcessor).fromProxy,
	(*identityProcessor).fromOS,
	(*identityProcessor).fromEnvironment,
	(*identityProcessor).fromAttributes,
	(*identityProcessor).fromClientInfo,
}

// found is what the sources found on one event.
type found struct {
	claims
	presented   bool         // some credential, header or certificate was there
	fingerprint string       // of the strongest credential
	token       *ident.Token // of the JWT among the credentials
}

func (f *found) reset() {
	f.claims.reset()
	f.presented, f.fingerprint, f.token = false, "", nil
}

// fromAuthorization reads the Authorization header (RFC 9110 section 11.6.2).
func (p *identityProcessor) fromAuthorization(ctx context.Context, v *view, at int64, out *found) {
	if v.authorization == "" {
		return
	}
	scheme, cred, ok := strings.Cut(strings.TrimSpace(v.authorization), " ")
	if !ok {
		scheme, cred = "", scheme
	}
	cred = strings.TrimSpace(cred)
	if strings.EqualFold(scheme, "basic") {
		p.basic(cred, out)
		return
	}
	p.token(ctx, v, cred, at, methodOpaqueToken, out)
}

// basic is a user name with a password (RFC 7617). The name is a claim; the pair is a credential like an opaque token.
func (p *identityProcessor) basic(cred string, out *found) {
	if cred == "" {
		return
	}
	out.signal(SignalBasic)
	p.opaque(cred, methodOpaqueToken, out)
	if raw, err := base64.StdEncoding.DecodeString(cred); err == nil {
		if user, _, ok := strings.Cut(string(raw), ":"); ok {
			out.add(claim{strength: unknownToken, method: methodOpaqueToken, id: ident.Clean(user)})
		}
	}
}

// queryCredentials are query parameters that carry credentials; the MCP authorization specification forbids them.
var queryCredentials = map[string]bool{
	"access_token": true, "token": true, "id_token": true, "auth_token": true, "bearer_token": true, "jwt": true,
	"api_key": true, "apikey": true, "api-key": true, "x-api-key": true, "client_secret": true, "password": true,
}

// fromURL finds credentials in the query of the request's URL.
func (p *identityProcessor) fromURL(ctx context.Context, v *view, at int64, out *found) {
	q := strings.IndexByte(v.url, '?')
	if q < 0 {
		return
	}
	query := v.url[q+1:]
	for n := 0; query != "" && n < 64; n++ {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		k, val, _ := strings.Cut(pair, "=")
		if val == "" || len(k) > 32 || !queryCredentials[strings.ToLower(k)] {
			continue
		}
		out.signal(SignalInURL)
		if out.fingerprint != "" {
			continue // the header is what a server looks at first
		}
		if d, err := url.QueryUnescape(val); err == nil {
			val = d
		}
		p.token(ctx, v, val, at, methodAPIKey, out)
	}
}

// fromAPIKey reads the configured API key headers, and takes the keys off the event.
func (p *identityProcessor) fromAPIKey(ctx context.Context, v *view, at int64, out *found) {
	if !v.hasHeaders {
		return
	}
	taken := false
	for _, h := range p.cfg.APIKeyHeaders {
		if key := v.header(h); key != "" {
			taken = true
			p.token(ctx, v, key, at, methodAPIKey, out)
		}
	}
	if taken {
		v.headers.RemoveIf(func(k string, _ pcommon.Value) bool { return p.apiKeyHeader[strings.ToLower(k)] })
	}
}

// token adds the claims of a credential: a JWT says who it is for, anything else is known by its fingerprint.
func (p *identityProcessor) token(ctx context.Context, v *view, cred string, at int64, method string, out *found) {
	if cred == "" {
		return
	}
	c := p.credential(ctx, cred)
	if c.token == nil {
		switch c.err {
		case ident.ErrMalformed:
			out.signal(SignalMalformed)
		case ident.ErrTooLarge:
			out.signal(SignalTooLarge)
		}
		p.opaqueFingerprint(c.fingerprint, c.former, method, out)
		return
	}
	out.presented = true
	if out.fingerprint == "" {
		out.fingerprint = c.fingerprint
	}
	if out.token == nil {
		out.token = c.token
	}
	p.jwt(v, c, at, out)
}

func (p *identityProcessor) opaque(cred, method string, out *found) {
	keys := p.key.Current()
	p.opaqueFingerprint(keys.Key.Fingerprint(cred), keys.Former(cred), method, out)
}

// opaqueFingerprint adds the claim of a credential without content. Presenting a credential that the directory has enrolled
// is proof of holding it, as a signature is. It may be enrolled with its fingerprint under a former key.
func (p *identityProcessor) opaqueFingerprint(fp string, former []string, method string, out *found) {
	out.presented = true
	if out.fingerprint == "" {
		out.fingerprint = fp
	}
	dir := p.directory.Current()
	person := dir.Token(fp)
	for i := 0; person == nil && i < len(former); i++ {
		person = dir.Token(former[i])
	}
	if person != nil {
		s := enrolledToken
		if method == methodAPIKey {
			s = enrolledKey
		}
		out.add(claim{strength: s, method: method, id: person.ID, issuer: "directory", kind: person.Kind, verified: true, person: person})
		return
	}
	if dir.Len() > 0 {
		out.signal(SignalUnregistered)
	}
	s := unknownToken
	if method == methodAPIKey {
		s = unknownKey
	}
	out.add(claim{strength: s, method: method, id: "fp-" + fp, kind: ident.KindUnknown})
}

// jwt adds the claim of a JWT, and what is to be said of it.
func (p *identityProcessor) jwt(v *view, c *credential, at int64, out *found) {
	t, iss := c.token, c.signed.Issuer
	leeway := time.Minute
	if iss != nil {
		leeway = iss.Leeway
	}
	when := t.Valid(at, leeway)
	reason := c.signed.Reason
	if reason == ident.OK && !c.signed.Key.Vouches(at-int64(leeway)) {
		reason = ident.UnknownKey
	}
	verified := reason == ident.OK && !when.Expired && !when.NotYet && !when.Future
	if when.Expired {
		out.signal(SignalExpired)
	}
	if when.NotYet || when.Future {
		out.signal(SignalNotYetValid)
	}
	switch {
	case t.Expires == 0:
		out.signal(SignalNoExpiry)
	case t.IssuedAt != 0 && t.Expires-t.IssuedAt > int64(p.cfg.LongLived/time.Second),
		t.IssuedAt == 0 && t.Expires-at/int64(time.Second) > int64(p.cfg.LongLived/time.Second):
		out.signal(SignalLongLived)
	}
	if iss != nil && !t.For(iss.Audiences) {
		verified = false
		out.signal(SignalAudienceMismatch)
	}
	if !t.For(p.audiences(v.server)) {
		out.signal(SignalAudienceMismatch)
	}
	if reason != ident.OK && (reason != ident.UnknownIssuer || len(p.issuers) > 0) {
		out.signal("token." + string(reason))
	}
	if !verified {
		out.signal(SignalUnverified)
	}

	cl := claim{strength: unverifiedJWT, method: methodJWT, issuer: t.Issuer, kind: ident.KindUser, verified: verified, actors: t.Actors}
	switch {
	case verified:
		cl.strength = verifiedJWT
	case reason == ident.BadSignature || reason == ident.AlgNone || reason == ident.AlgRefused:
		cl.strength = refused // forged: it may not name anyone
	}
	if t.ForApp || t.Subject == "" {
		cl.kind = ident.KindService
	}
	if iss != nil && iss.IDClaim != "" {
		cl.id = t.Names[iss.IDClaim]
	}
	for _, id := range []string{t.Subject, t.ClientID} {
		if cl.id == "" {
			cl.id = id
		}
	}
	if cl.id == "" {
		cl.id = "fp-" + c.fingerprint
	}
	if cl.strength > refused {
		p.resolve(&cl, func(look func(string)) {
			look(t.Issuer + "|" + t.Subject)
			look(cl.id)
			look(t.Subject)
			for _, n := range []string{"email", "preferred_username", "upn"} {
				look(t.Names[n])
			}
			if t.Subject == "" {
				look(t.ClientID)
			}
		})
	}
	out.add(cl)
}

// resolve looks the claim's names up in the directory, the first that is known counts.
func (p *identityProcessor) resolve(c *claim, names func(look func(string))) {
	dir := p.directory.Current()
	if dir == nil {
		return
	}
	names(func(n string) {
		if c.person == nil {
			if person := dir.Find(n); person != nil {
				c.person, c.id, c.kind = person, person.ID, person.Kind
			}
		}
	})
}

// fromCertificate reads the client certificate of a connection that the tap ended itself.
func (p *identityProcessor) fromCertificate(_ context.Context, v *view, _ int64, out *found) {
	if !v.fromTap() || (v.certSubject == "" && len(v.certSANs) == 0) {
		return
	}
	out.presented = true
	p.certificate(v.certSubject, v.certSANs, true, out)
}

func (p *identityProcessor) certificate(subject string, sans []string, verified bool, out *found) {
	c := claim{strength: proxyHeader, method: methodMTLS, kind: ident.KindService, verified: verified, id: ident.Clean(subject), issuer: "certificate"}
	if verified {
		c.strength = mtls
	}
	if len(sans) > 0 { // RFC 9525: the subject is the fallback
		c.id = ident.Clean(sans[0])
	}
	if strings.Contains(c.id, "@") && !strings.Contains(c.id, "://") {
		c.kind = ident.KindUser
	}
	p.resolve(&c, func(look func(string)) {
		for _, s := range sans {
			look(s)
		}
		look(subject)
	})
	out.add(c)
}

// knownProxyHeaders are headers by which common proxies pass on a user. From elsewhere they are an attempt to be someone.
var knownProxyHeaders = map[string]bool{
	"x-forwarded-user": true, "x-forwarded-email": true, "x-forwarded-preferred-username": true, "x-auth-request-user": true,
	"x-auth-request-email": true, "x-auth-request-preferred-username": true, "x-remote-user": true, "remote-user": true,
	"x-authenticated-user": true, "x-webauth-user": true, "x-goog-authenticated-user-email": true, "x-amzn-oidc-identity": true,
	"cf-access-authenticated-user-email": true, "x-ms-client-principal-name": true, "x-forwarded-client-cert": true,
	"tailscale-user-login": true, "x-authentik-username": true, "x-authentik-email": true, "x-pomerium-claim-email": true,
	"x-ssl-client-s-dn": true, "x-client-cert-subject": true,
}

// fromProxy believes the identity headers of listed proxies, and of nobody else.
func (p *identityProcessor) fromProxy(_ context.Context, v *view, _ int64, out *found) {
	if !v.hasHeaders || v.headers.Len() == 0 {
		return
	}
	px := p.proxyAt(v.clientAddr)
	if px == nil {
		v.headers.Range(func(k string, _ pcommon.Value) bool {
			k = strings.ToLower(k)
			if knownProxyHeaders[k] || p.proxyHeader[k] {
				out.signal(SignalUntrustedProxy)
				return false
			}
			return true
		})
		return
	}
	for _, h := range px.cfg.CertHeaders {
		if val := v.header(h); val != "" {
			out.presented = true
			subject, sans := certHeader(val)
			p.certificate(subject, sans, px.cfg.Verified, out)
			break
		}
	}
	for _, h := range px.cfg.UserHeaders {
		val := v.header(h)
		if val == "" {
			continue
		}
		out.presented = true
		c := claim{strength: proxyHeader, method: methodProxyHeader, kind: ident.KindUser, verified: px.cfg.Verified, issuer: ident.Clean(hostOf(v.clientAddr))}
		_, name, prefixed := strings.Cut(val, "accounts.google.com:")
		if !prefixed {
			name = val
		}
		c.id = ident.Clean(strings.TrimSpace(name))
		p.resolve(&c, func(look func(string)) { look(c.id) })
		out.add(c)
		break
	}
}

// certHeader reads the subject and alternative names from Envoy's x-forwarded-client-cert; any other header holds the subject.
// With several certificates the last one counts: the one that the proxy itself added.
func certHeader(val string) (subject string, sans []string) {
	if !strings.Contains(val, "Hash=") && !strings.Contains(val, "URI=") && !strings.Contains(val, "Subject=") {
		return val, nil
	}
	certs := splitUnquoted(val, ',')
	for _, pair := range splitUnquoted(certs[len(certs)-1], ';') {
		k, x, _ := strings.Cut(pair, "=")
		x = strings.Trim(x, `"`)
		switch strings.TrimSpace(k) {
		case "Subject":
			subject = x
		case "URI", "DNS":
			if x != "" && len(sans) < 8 {
				sans = append(sans, x)
			}
		}
	}
	return subject, sans
}

// splitUnquoted splits s at sep outside double quotes. It returns at least one part.
func splitUnquoted(s string, sep byte) []string {
	var parts []string
	from, quoted := 0, false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case sep:
			if !quoted {
				parts = append(parts, s[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, s[from:])
}

// fromOS takes the OS user of a tapped process: the tap asked the operating system.
func (p *identityProcessor) fromOS(_ context.Context, v *view, _ int64, out *found) {
	if v.osUser == "" {
		return
	}
	local := v.transport == event.TransportStdio || v.transport == ""
	c := claim{strength: osUser, method: methodOSUser, kind: ident.KindUser, id: ident.Clean(v.osUser), issuer: ident.Clean(v.host)}
	c.verified = v.fromTap() && local
	if !c.verified { // who runs an HTTP server is not who calls it, and other senders merely say so
		if v.fromTap() {
			return
		}
		c.strength = named
	}
	if v.host != "" {
		c.id = ident.Clean(v.osUser + "@" + v.host)
	}
	if person := p.directory.Current().OSUser(v.host, v.osUser); person != nil {
		c.person, c.id, c.kind = person, person.ID, person.Kind
	}
	out.add(c)
}

// fromEnvironment says once for a conversation, as it opens, that the server got credentials from its environment or command
// line: from the client's configuration file, most often.
func (p *identityProcessor) fromEnvironment(_ context.Context, v *view, _ int64, out *found) {
	if v.environment == "" || !v.fromTap() || v.kind != event.KindRequest || v.method != "initialize" && v.method != "server/discover" {
		return
	}
	out.signal(SignalInEnvironment)
	for from := range strings.FieldsSeq(v.environment) {
		if strings.HasPrefix(from, "config:") {
			out.signal(SignalInConfiguration)
			return
		}
	}
}

// fromAttributes takes what other telemetry says of the user, and the service that a client span belongs to.
func (p *identityProcessor) fromAttributes(_ context.Context, v *view, _ int64, out *found) {
	if v.fromTap() {
		return
	}
	add := func(id, kind string) {
		if id == "" {
			return
		}
		c := claim{strength: named, method: methodResource, id: ident.Clean(id), kind: kind, issuer: ident.Clean(v.serviceName)}
		p.resolve(&c, func(look func(string)) { look(id) })
		out.add(c)
	}
	add(v.principal, ident.KindUser)
	for _, u := range v.users {
		add(u, ident.KindUser)
	}
	if v.serviceName != v.server { // a server's own telemetry names the server, not its caller
		add(v.serviceName, ident.KindService)
	}
}

// fromClientInfo keeps what the client calls itself, as a claim only.
func (p *identityProcessor) fromClientInfo(_ context.Context, v *view, _ int64, out *found) {
	if v.clientName == "" {
		return
	}
	id := v.clientName
	if v.clientVersion != "" {
		id += "/" + v.clientVersion
	}
	out.add(claim{strength: claimOnly, method: methodClientInfo, id: ident.Clean(id), kind: ident.KindUnknown})
}

// audiences are those expected of tokens for a server.
func (p *identityProcessor) audiences(server string) []string {
	for i := range p.cfg.Servers {
		s := &p.cfg.Servers[i]
		if ok, _ := path.Match(s.Name, server); ok {
			return s.Audiences
		}
	}
	return nil
}

type proxy struct {
	cfg  *ProxyConfig
	nets []netip.Prefix
}

func (p *identityProcessor) proxyAt(addr string) *proxy {
	if len(p.proxies) == 0 || addr == "" {
		return nil
	}
	a, err := netip.ParseAddr(hostOf(addr))
	if err != nil {
		return nil
	}
	a = a.Unmap().WithZone("")
	for i := range p.proxies {
		for _, n := range p.proxies[i].nets {
			if n.Contains(a) {
				return &p.proxies[i]
			}
		}
	}
	return nil
}

// hostOf is the host of an address with or without a port.
func hostOf(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().String()
	}
	return strings.Trim(addr, "[]")
}

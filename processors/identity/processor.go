package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/exposure"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// identityProcessor holds no lock of its own: the configuration is immutable after start, the directory and the keys are
// swapped atomically, the tables lock themselves. It may process batches concurrently.
type identityProcessor struct {
	cfg *Config
	tel *telemetry
	set component.TelemetrySettings

	key          *ident.Keys
	directory    *ident.DirectoryFile // nil if none is configured
	issuers      map[string]*ident.Issuer
	proxies      []proxy
	proxyHeader  map[string]bool
	apiKeyHeader map[string]bool
	read         reader
	bindings     bindings

	credentials   *lru.Cache[[sha256.Size]byte, *credential]
	exchanges     *lru.Cache[string, *identified]
	conversations conversations

	stop context.CancelFunc
	done sync.WaitGroup
}

// credential is what is known of a credential wherever it is used. Immutable.
type credential struct {
	keys        *ident.Epoch // that it was fingerprinted with
	fingerprint string
	former      []string     // under the keys before
	token       *ident.Token // nil unless it is a JWT that can be read
	err         error        // why it cannot
	signed      ident.Signed
}

// identified is the identity of one event as it is written, kept for the other events of its exchange. Immutable.
type identified struct {
	principal    claim
	known        bool     // some claim names the principal
	texts        []string // mcpsiem.principal.claims
	presented    bool
	fingerprint  string
	token        *ident.Token
	tenant       string
	conversation string
	inferred     bool
	sender       sender
}

// sender is where an event came from: only its own sender may go on with an exchange.
type sender struct{ credential, tap, tenant string }

func (v *view) sender() sender { return sender{v.credential, v.tapID, v.tenant} }

// from says whether an event is from that sender; its credential may have had another fingerprint then.
func (v *view) from(s sender) bool {
	now := v.sender()
	if slices.Contains(v.former, s.credential) && s.credential != "" {
		now.credential = s.credential
	}
	return now == s
}

func newProcessor(cfg *Config, set component.TelemetrySettings) (*identityProcessor, error) {
	p := &identityProcessor{cfg: cfg, set: set, proxyHeader: map[string]bool{}, apiKeyHeader: map[string]bool{}, issuers: map[string]*ident.Issuer{}}
	var err error
	if p.tel, err = newTelemetry(set); err != nil {
		return nil, err
	}
	for _, h := range cfg.APIKeyHeaders {
		p.apiKeyHeader[strings.ToLower(h)] = true
	}
	for i := range cfg.Proxies {
		px := proxy{cfg: &cfg.Proxies[i]}
		for _, s := range px.cfg.CIDRs {
			n, err := parseCIDR(s)
			if err != nil {
				return nil, fmt.Errorf("cannot use proxy network: %w", err)
			}
			px.nets = append(px.nets, n)
		}
		for _, h := range append(append([]string{}, px.cfg.UserHeaders...), px.cfg.CertHeaders...) {
			p.proxyHeader[strings.ToLower(h)] = true
		}
		p.proxies = append(p.proxies, px)
	}
	p.bindings = newBindings(cfg)
	p.read = reader{userAttrs: cfg.UserAttributes, boundAttrs: p.bindings.attrs}
	if p.credentials, err = lru.New[[sha256.Size]byte, *credential](cfg.Tables.Tokens); err != nil {
		return nil, err
	}
	if p.exchanges, err = lru.New[string, *identified](cfg.Tables.Exchanges); err != nil {
		return nil, err
	}
	if err := p.conversations.init(cfg.Tables.Conversations, cfg.Conversation.Idle); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *identityProcessor) start(_ context.Context, _ component.Host) error {
	var err error
	if p.key, err = ident.OpenKeys(p.cfg.KeyFile); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.done.Go(func() { p.key.Run(ctx, p.tel.fingerprintKeys) })
	if p.cfg.Directory.File != "" {
		if p.directory, err = ident.OpenDirectory(p.cfg.Directory.File); err != nil {
			return err
		}
		p.tel.directory(p.directory.Current().Len(), nil)
		p.done.Go(func() {
			p.directory.Run(ctx, p.cfg.Directory.ReloadInterval, func(err error) { p.tel.directory(p.directory.Current().Len(), err) })
		})
	}
	if p.cfg.JWKSCacheDir != "" {
		if err := os.MkdirAll(p.cfg.JWKSCacheDir, 0o700); err != nil {
			return fmt.Errorf("cannot make jwks_cache_dir: %w", err)
		}
	}
	for i := range p.cfg.Issuers {
		is, err := p.newIssuer(ctx, &p.cfg.Issuers[i])
		if err != nil {
			return fmt.Errorf("cannot set up issuer %s: %w", p.cfg.Issuers[i].Issuer, err)
		}
		p.issuers[is.Name] = is
		p.done.Go(func() { is.Keys.Run(ctx, func(err error) { p.tel.keys(is.Name, is.Keys.Len(), err) }) })
	}
	return nil
}

func (p *identityProcessor) newIssuer(ctx context.Context, c *IssuerConfig) (*ident.Issuer, error) {
	is := &ident.Issuer{Name: c.Issuer, Audiences: c.Audiences, IDClaim: c.IDClaim, Leeway: c.Leeway, Algorithms: ident.Algorithms}
	if c.IDClaim == "sub" {
		is.IDClaim = ""
	}
	if c.Leeway == 0 {
		is.Leeway = time.Minute
	}
	if len(c.Algorithms) > 0 {
		is.Algorithms = nil
		for _, a := range c.Algorithms {
			is.Algorithms = append(is.Algorithms, jose.SignatureAlgorithm(a))
		}
	}
	k := ident.KeySetConfig{URL: c.JWKSURL, File: c.JWKSFile, Refresh: c.RefreshInterval, MinInterval: c.MinInterval, KeepRetired: 24 * time.Hour}
	if k.Refresh == 0 {
		k.Refresh = 15 * time.Minute
		if k.File != "" {
			k.Refresh = 10 * time.Second
		}
	}
	if k.MinInterval == 0 {
		k.MinInterval = 30 * time.Second
		if k.File != "" {
			k.MinInterval = time.Second
		}
	}
	if c.KeepRetired != nil {
		k.KeepRetired = *c.KeepRetired
	}
	if p.cfg.JWKSCacheDir != "" && k.URL != "" {
		k.Cache = filepath.Join(p.cfg.JWKSCacheDir, event.SourceID("jwks", c.Issuer, c.JWKSURL)+".json")
	}
	if k.URL != "" {
		var err error
		if k.Client, err = keysClient(ctx, c); err != nil {
			return nil, err
		}
	}
	is.Keys = ident.NewKeySet(k)
	return is, nil
}

func (p *identityProcessor) shutdown(context.Context) error {
	if p.stop != nil {
		p.stop()
	}
	p.done.Wait()
	return nil
}

// process identifies every event of the batch. It never fails: an event that says nothing gets no principal.
func (p *identityProcessor) process(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	var out found // reused from event to event
	for i := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(i)
		var base view
		p.read.take(rl.Resource().Attributes(), &base)
		for j := range rl.ScopeLogs().Len() {
			lrs := rl.ScopeLogs().At(j).LogRecords()
			for k := range lrs.Len() {
				p.identify(ctx, base, lrs.At(k), &out)
			}
		}
	}
	p.tel.flush(ctx)
	return ld, nil
}

func (p *identityProcessor) identify(ctx context.Context, v view, lr plog.LogRecord, out *found) {
	m := lr.Attributes()
	p.read.take(m, &v)
	out.reset()

	received := int64(lr.ObservedTimestamp())
	at := int64(lr.Timestamp())
	if at == 0 {
		at = received
	}
	// A sender's clock far ahead must not make a token expired that is not.
	if limit := received + int64(5*time.Minute); received != 0 && at > limit {
		at = limit
	}

	for _, src := range sources {
		src(p, ctx, &v, at, out)
	}
	id := p.inherit(&v, out)
	if id == nil {
		id = p.conclude(&v, lr, at, out)
		p.remember(&v, id)
	}
	p.signalRequest(&v, id, out)
	if v.answer() && v.direction != event.ClientToServer {
		// Taps repeat a request's credential on its answer; it was used once.
		out.signals = slices.DeleteFunc(out.signals, func(s string) bool { return s != SignalNotRequired })
	}
	tenantMismatch := p.signalTenant(&v, id, out)

	p.write(m, &v, id)
	if d := decision(&v, id.presented); d != "" {
		m.PutStr(event.AttrAuthDecision, d)
	}
	if id.token != nil && id.token.IssuedAt > 0 {
		if age := at/int64(time.Second) - id.token.IssuedAt; age > 0 {
			m.PutInt(event.AttrTokenAge, age)
		}
	}
	putSignals(m, &v, out.signals)
	if tenantMismatch {
		addAnomaly(m, AnomalyTenantMismatch)
	}
	p.tel.count(id)
}

// inherit returns the identity of the exchange's request for an event that comes with no credential of its own, if this
// processor has seen the request. What a client sends never inherits: a session id is no credential.
func (p *identityProcessor) inherit(v *view, out *found) *identified {
	if out.presented || v.exchangeID == "" || v.exchangeID == v.eventID || !v.answer() {
		return nil
	}
	id, ok := p.exchanges.Get(v.exchangeID)
	if !ok || (!id.presented && !id.known) || !v.from(id.sender) {
		return nil
	}
	out.reset() // the request has the signals already
	return id
}

// conclude makes the identity out of what was found.
func (p *identityProcessor) conclude(v *view, lr plog.LogRecord, at int64, out *found) *identified {
	id := &identified{presented: out.presented, fingerprint: out.fingerprint, token: out.token, sender: v.sender()}
	top := out.rank()
	if top != nil {
		id.principal, id.known = *top, true
	}
	out.judge(top, p.directory.Current().Len() > 0, time.Unix(0, at))
	for i := range out.list {
		id.texts = append(id.texts, out.list[i].text())
	}
	id.tenant = p.bindings.tenant(v, id)
	id.conversation, id.inferred = p.conversations.of(v, id, lr, at)
	return id
}

// remember keeps the identity of a request for its response.
func (p *identityProcessor) remember(v *view, id *identified) {
	if v.kind != event.KindRequest {
		return
	}
	x := v.exchangeID
	if x == "" {
		x = v.eventID
	}
	if x != "" {
		p.exchanges.Add(x, id)
	}
}

// signalRequest signals missing credentials, and requests that reach a server in a way that they should not.
func (p *identityProcessor) signalRequest(v *view, id *identified, out *found) {
	if !v.fromTap() || !v.http() {
		return
	}
	if v.direction == event.ClientToServer && (v.kind == event.KindRequest || v.kind == event.KindRecord) {
		for _, n := range exposure.Judge(v.header, v.url, v.clientAddr) {
			out.signal(n)
		}
	}
	if id.presented {
		return
	}
	switch {
	case v.direction == event.ClientToServer && (v.kind == event.KindRequest || v.kind == event.KindNotification):
		out.signal(SignalNone)
	case v.direction == event.ServerToClient && v.answer() && v.kind != event.KindRecord && v.status >= 200 && v.status < 300:
		out.signal(SignalNotRequired)
	}
}

func (p *identityProcessor) write(m pcommon.Map, v *view, id *identified) {
	m.EnsureCapacity(m.Len() + 18) // all that this processor may put
	m.PutStr(event.AttrTenant, id.tenant)
	if id.known {
		c := &id.principal
		m.PutStr(event.AttrPrincipalID, c.id)
		m.PutStr(event.AttrPrincipalKind, c.kind)
		m.PutStr(event.AttrPrincipalMethod, c.method)
		if c.issuer != "" {
			m.PutStr(event.AttrPrincipalIssuer, c.issuer)
		}
		if c.verified {
			m.PutBool(event.AttrPrincipalVerified, true)
		}
		if c.person != nil {
			if c.person.Team != "" {
				m.PutStr(event.AttrPrincipalTeam, c.person.Team)
			}
			if c.person.CostCenter != "" {
				m.PutStr(event.AttrPrincipalCostCenter, c.person.CostCenter)
			}
		}
		if len(c.actors) > 0 {
			attr.PutStrings(m, event.AttrOnBehalfOf, c.actors)
		}
	} else {
		m.PutStr(event.AttrPrincipalKind, ident.KindUnknown)
		m.PutStr(event.AttrPrincipalMethod, methodNone)
	}
	if len(id.texts) > 0 {
		attr.PutStrings(m, event.AttrIdentityClaims, id.texts)
	}
	if id.fingerprint != "" {
		m.PutStr(event.AttrTokenFingerprint, id.fingerprint)
	}
	if t := id.token; t != nil {
		switch {
		case t.Expires == 0:
			m.PutInt(event.AttrTokenLifetime, -1)
		case t.IssuedAt != 0 && t.Expires > t.IssuedAt:
			m.PutInt(event.AttrTokenLifetime, t.Expires-t.IssuedAt)
		}
		if len(t.Scopes) > 0 {
			attr.PutStrings(m, event.AttrAuthScopes, t.Scopes)
		}
		if len(t.Audience) > 0 {
			attr.PutStrings(m, event.AttrAuthAudience, t.Audience)
		}
	}
	if id.conversation != "" {
		m.PutStr(event.AttrConversationID, id.conversation)
		if id.inferred {
			m.PutBool(event.AttrConversationInferred, true)
		}
	}
}

// credential returns what is known of a credential, reading and verifying it where that was not done before or the issuer's
// keys changed since. The table is keyed by hash, so that it holds no credential.
func (p *identityProcessor) credential(ctx context.Context, cred string) *credential {
	sum := sha256.Sum256([]byte(cred))
	keys := p.key.Current()
	c, ok := p.credentials.Get(sum)
	ok = ok && c.keys == keys
	if ok && !c.signed.Stale() {
		return c
	}
	if ok {
		c = &credential{keys: keys, fingerprint: c.fingerprint, former: c.former, token: c.token, err: c.err}
	} else {
		c = &credential{keys: keys, fingerprint: keys.Key.Fingerprint(cred), former: keys.Former(cred)}
		c.token, c.err = ident.ParseToken(cred)
	}
	if c.token != nil {
		c.signed = ident.Verify(ctx, p.issuers, cred, c.token)
	}
	p.credentials.Add(sum, c)
	return c
}

// putSignals adds signals to those that the event has.
func putSignals(m pcommon.Map, v *view, names []string) {
	if len(names) == 0 {
		return
	}
	var to pcommon.Map
	if old, ok := m.Get(event.AttrSignals); ok && old.Type() == pcommon.ValueTypeMap {
		to = old.Map()
	} else {
		to = m.PutEmptyMap(event.AttrSignals)
		if v.hasSignals && v.signals.Type() == pcommon.ValueTypeMap { // on the resource
			v.signals.Map().CopyTo(to)
		}
	}
	for _, n := range names {
		to.PutDouble(n, 1)
	}
}

func addAnomaly(m pcommon.Map, name string) {
	old, ok := m.Get(event.AttrAnomalies)
	if !ok || old.Type() != pcommon.ValueTypeSlice {
		m.PutEmptySlice(event.AttrAnomalies).AppendEmpty().SetStr(name)
		return
	}
	old.Slice().AppendEmpty().SetStr(name)
}

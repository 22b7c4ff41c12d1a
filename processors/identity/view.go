package identity

import (
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/attr"
	"github.com/mcpsiem/mcpsiem/internal/event"
	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// view is what identity needs of an event. Strings alias the record.
type view struct {
	sourceKind, tapID, tenant, credential string
	eventID, exchangeID, kind, direction  string
	transport, server, serviceName        string
	method, environment                   string // environment: event.LabelCredentials
	clientName, clientVersion, clientAddr string
	host, osUser, parentCommand           string
	sessionID, conversation, decision     string
	authorization, url                    string
	principal                             string // as the source claims it
	certSubject                           string
	certSANs                              []string
	conversationInferred                  bool
	pid, tapEpoch, status                 int64
	headers                               pcommon.Map
	hasHeaders                            bool
	users                                 []string // values of Config.UserAttributes, by preference
	former                                []string // of credential, under the keys before
	bound                                 []string // values of the bindings' attributes, by Processor.boundAttrs
	signals                               pcommon.Value
	hasSignals                            bool
}

// attributes of a client certificate, where a tap ended TLS itself.
const (
	attrCertSubject = "tls.client.subject"
	attrCertSANs    = "mcpsiem.tls.client.san"
)

// owned lists the attributes that this processor alone may set. Whatever a source put there is a claim at most.
func owned(k string) bool {
	switch k {
	case event.AttrTenant, event.AttrPrincipalID, event.AttrPrincipalKind, event.AttrPrincipalIssuer, event.AttrPrincipalMethod,
		event.AttrPrincipalVerified, event.AttrPrincipalTeam, event.AttrPrincipalCostCenter, event.AttrOnBehalfOf,
		event.AttrIdentityClaims, event.AttrTokenFingerprint, event.AttrTokenLifetime, event.AttrTokenAge,
		event.AttrAuthScopes, event.AttrAuthAudience, event.AttrAuthDecision, event.AttrRawAuthorization, ident.SourceFormer,
		event.AttrConversationID, event.AttrConversationInferred:
		return true
	}
	return false
}

// reader reads attributes into a view.
type reader struct {
	userAttrs  []string
	boundAttrs []string
}

// take reads the attributes of m into v, over what is there, and removes the owned ones from m.
func (r *reader) take(m pcommon.Map, v *view) {
	m.RemoveIf(func(k string, val pcommon.Value) bool {
		r.set(v, k, val)
		return owned(k)
	})
}

func (r *reader) set(v *view, k string, val pcommon.Value) {
	switch k {
	case event.AttrSourceKind:
		v.sourceKind = str(val)
	case event.AttrSourceCredential:
		v.credential = str(val)
	case ident.SourceFormer:
		v.former = strings.Split(str(val), ",")
	case event.AttrTapID:
		v.tapID = str(val)
	case event.AttrTapEpoch:
		v.tapEpoch = attr.Int(val)
	case event.AttrTenant:
		v.tenant = str(val)
	case event.AttrID:
		v.eventID = str(val)
	case event.AttrExchangeID:
		v.exchangeID = str(val)
	case event.AttrKind:
		v.kind = str(val)
	case event.AttrDirection:
		v.direction = str(val)
	case event.AttrMethod:
		v.method = str(val)
	case event.AttrLabels:
		if val.Type() == pcommon.ValueTypeMap {
			if l, ok := val.Map().Get(event.LabelCredentials); ok {
				v.environment = str(l)
			}
		}
	case event.AttrTransport:
		v.transport = str(val)
	case event.AttrServer:
		v.server = str(val)
	case event.AttrClientName:
		v.clientName = str(val)
	case event.AttrClientVersion:
		v.clientVersion = str(val)
	case event.AttrClientAddress:
		v.clientAddr = str(val)
	case event.AttrHostName:
		v.host = str(val)
	case event.AttrOSUser:
		v.osUser = str(val)
	case event.AttrParentCommand:
		v.parentCommand = str(val)
	case event.AttrPID:
		v.pid = attr.Int(val)
	case event.AttrHTTPStatus:
		v.status = attr.Int(val)
	case event.AttrSessionID:
		v.sessionID = str(val)
	case event.AttrConversationID:
		v.conversation = str(val)
	case event.AttrConversationInferred:
		v.conversationInferred = attr.Bool(val)
	case event.AttrAuthDecision:
		v.decision = str(val)
	case event.AttrPrincipalID:
		v.principal = str(val)
	case event.AttrRawAuthorization:
		v.authorization = str(val)
	case event.AttrRawURL:
		v.url = str(val)
	case event.AttrRawHeaders:
		if val.Type() == pcommon.ValueTypeMap {
			v.headers, v.hasHeaders = val.Map(), true
		}
	case event.AttrSignals:
		v.signals, v.hasSignals = val, true
	case attrCertSubject:
		v.certSubject = str(val)
	case attrCertSANs:
		v.certSANs = attr.Strings(val)
	case "service.name":
		v.serviceName = str(val)
	default:
		if i := slices.Index(r.userAttrs, k); i >= 0 {
			v.users = slot(v.users, i, len(r.userAttrs), str(val))
		}
	}
	if len(r.boundAttrs) > 0 {
		if i := slices.Index(r.boundAttrs, k); i >= 0 {
			v.bound = slot(v.bound, i, len(r.boundAttrs), str(val))
		}
	}
}

// slot sets element i of a list of n, in a copy: the list may be the resource's.
func slot(list []string, i, n int, s string) []string {
	out := make([]string, n)
	copy(out, list)
	out[i] = s
	return out
}

func str(v pcommon.Value) string {
	if v.Type() == pcommon.ValueTypeStr {
		return v.Str()
	}
	return v.AsString()
}

// header returns a request header by its lower-case name. Headers come with lower-case names from the tap; other sources may
// write them otherwise.
func (v *view) header(name string) string {
	if !v.hasHeaders {
		return ""
	}
	if h, ok := v.headers.Get(name); ok {
		return str(h)
	}
	found := ""
	v.headers.Range(func(k string, val pcommon.Value) bool {
		if len(k) == len(name) && strings.EqualFold(k, name) {
			found = str(val)
		}
		return found == ""
	})
	return found
}

func (v *view) http() bool {
	return v.transport == event.TransportHTTP || v.transport == event.TransportSSE
}

// fromTap tells whether a tap saw the message itself, and so knows the wire and the operating system.
func (v *view) fromTap() bool { return v.sourceKind == "tap" }

// answer tells whether the event ends an exchange.
func (v *view) answer() bool {
	return v.kind == event.KindResponse || v.kind == event.KindError || v.kind == event.KindRecord
}

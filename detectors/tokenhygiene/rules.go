package tokenhygiene

import (
	"strings"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/processors/identity"
)

// rule is what a signal of identity deserves.
type rule struct {
	signal   string
	severity string // empty: nothing, or another detector's matter
	title    string
	says     string // of the summary, after who
	standing bool   // so with every use of the credential
}

// rules holds every signal of identity; a test sees to that.
var rules = []rule{
	{identity.SignalBadSignature, engine.High, "Forged token", "used a token that its issuer did not sign", false},
	{identity.SignalAlgNone, engine.High, "Forged token", "used a token without a signature", false},
	{identity.SignalAlgRefused, engine.High, "Forged token", "used a token signed in a way that its issuer does not use", false},
	{identity.SignalAfterDeparture, engine.High, "Credential used after its owner left", "used a credential after having left", false},
	{identity.SignalSuspendedOwner, engine.High, "Credential of a suspended owner", "used a credential while suspended", false},
	{identity.SignalTenantMismatch, engine.High, "Sender named another tenant", "came from a sender that named a tenant it is not enrolled for", false},
	{identity.SignalAudienceMismatch, engine.Medium, "Token made for another server", "used a token that is meant for someone else", false},
	{identity.SignalConflict, engine.Medium, "Two identities in one request", "was verified as two different users at once", false},
	{identity.SignalUntrustedProxy, engine.Medium, "Identity header from an unknown proxy", "sent a proxy's identity header from an address that is no proxy", false},
	{identity.SignalForeignTenant, engine.Medium, "Principal of another tenant", "acted in a tenant that is not its own", false},
	{identity.SignalTooLarge, engine.Low, "Oversized credential", "sent a credential of more than 16 KiB", false},
	{identity.SignalMalformed, engine.Low, "Malformed token", "sent a token that cannot be read", false},
	{identity.SignalExpired, engine.Low, "Expired token used", "used a token after it had expired", false},
	{identity.SignalNotYetValid, engine.Low, "Token used before its time", "used a token that is not valid yet", false},
	{identity.SignalKeyUnknown, engine.Low, "Token of an unknown key", "used a token whose key its issuer does not have", false},
	{identity.SignalIssuerUnknown, engine.Low, "Token of an unknown issuer", "used a token of an issuer that is not configured", true},
	{identity.SignalUnregistered, engine.Low, "Credential that is not enrolled", "used a credential that is not in the directory", true},
	{identity.SignalUnknownOwner, engine.Low, "Owner who is not in the directory", "is not in the directory", true},
	{identity.SignalBasic, engine.Low, "User name and password instead of a token", "used a user name and password", true},
	{identity.SignalInConfiguration, engine.Medium, "Credential in a configuration file", "started a server with a credential that stands in the client's configuration file", true},
	{identity.SignalInEnvironment, engine.Low, "Credentials in environment or configuration", "started a server with credentials in its environment or on its command line", true},
	{identity.SignalNoExpiry, engine.Medium, "Token that never expires", "used a token that never expires", true},
	{identity.SignalLongLived, engine.Low, "Long-lived token", "used a token that lives longer than allowed", true},

	{signal: identity.SignalUnverified},  // says that no issuer is configured
	{signal: identity.SignalInURL},       // credential_leak
	{signal: identity.SignalNone},        // how an OAuth client begins; anonymous_access
	{signal: identity.SignalNotRequired}, // anonymous_access
}

// table lists the rules for the documentation.
func table() string {
	var b strings.Builder
	b.WriteString("| signal | severity | who … | window |\n|---|---|---|---|\n")
	for _, r := range rules {
		if r.severity == "" {
			continue
		}
		window := "day"
		if r.standing {
			window = "week"
		}
		b.WriteString("| " + r.signal + " | " + r.severity + " | " + r.says + " | " + window + " |\n")
	}
	return b.String()
}

package identity

// Signals that the processor puts on events (mcpsiem.signals), each with the value 1.
const (
	SignalNone             = "token.none"                      // a request over HTTP without any credential
	SignalNotRequired      = "token.not_required"              // a server answered 2xx to a request without any credential
	SignalInURL            = "token.in_url"                    // a credential in the query of the URL
	SignalInEnvironment    = "token.in_environment"            // a stdio server got credentials from its environment or command line
	SignalInConfiguration  = "token.in_configuration"          // so, from a credential that stands in the client's configuration file
	SignalBasic            = "token.basic"                     // a user name and password
	SignalMalformed        = "token.malformed"                 // looks like a JWT but cannot be read
	SignalTooLarge         = "token.too_large"                 // over 16 KiB
	SignalUnverified       = "token.unverified"                // a JWT that no issuer vouches for
	SignalIssuerUnknown    = "token.issuer_unknown"            // issuers are configured, but not the token's
	SignalKeyUnknown       = "token.key_unknown"               // the issuer has no such key
	SignalBadSignature     = "token.bad_signature"             // the issuer did not sign it: forged
	SignalAlgNone          = "token.alg_none"                  // alg none: forged
	SignalAlgRefused       = "token.alg_refused"               // an algorithm that the issuer does not use, e.g. HS256
	SignalExpired          = "token.expired"                   // exp had passed when it was used
	SignalNotYetValid      = "token.not_yet_valid"             // nbf or iat was in the future when it was used
	SignalNoExpiry         = "token.no_expiry"                 // no exp
	SignalLongLived        = "token.long_lived"                // lifetime above long_lived
	SignalAudienceMismatch = "token.audience_mismatch"         // for someone else: not among the server's or the issuer's audiences
	SignalUnregistered     = "token.unregistered"              // a directory is configured, but the opaque token or API key is not enrolled
	SignalUnknownOwner     = "token.unknown_owner"             // a directory is configured, but the principal is not in it
	SignalSuspendedOwner   = "token.suspended_owner"           // used while its owner was suspended
	SignalAfterDeparture   = "token.after_departure"           // used after its owner had left
	SignalConflict         = "identity.conflict"               // two verified identities of different users
	SignalUntrustedProxy   = "identity.untrusted_proxy_header" // a proxy's identity header from an address that is no listed proxy
	SignalTenantMismatch   = "tenant.mismatch"                 // a sender named a tenant that it is not enrolled for
	SignalForeignTenant    = "tenant.foreign_principal"        // the principal's home tenant is another one
)

// AnomalyTenantMismatch is the anomaly beside SignalTenantMismatch.
const AnomalyTenantMismatch = "tenant_mismatch"

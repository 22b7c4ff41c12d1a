package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtls"

	ident "github.com/mcpsiem/mcpsiem/internal/identity"
)

// Config is the configuration of the identity processor. Only key_file is required.
type Config struct {
	// KeyFile holds the key of credential fingerprints: 64 hex digits, or at least 32 bytes. A new one is taken while running; former ones beside it
	// (KeyFile.former.*) are known for who is enrolled or bound under them (docs/keys.md).
	KeyFile string `mapstructure:"key_file"`
	// Directory maps subjects, credentials and OS users to people.
	Directory DirectoryConfig `mapstructure:"directory"`
	// Issuers whose tokens are verified. Tokens of others stay claims.
	Issuers []IssuerConfig `mapstructure:"issuers"`
	// JWKSCacheDir keeps the last good keys of each issuer, so that a restart does not need the issuers.
	JWKSCacheDir string `mapstructure:"jwks_cache_dir"`
	// Servers say which audience a token for an MCP server must name.
	Servers []ServerConfig `mapstructure:"servers"`
	// Proxies whose headers may name people.
	Proxies []ProxyConfig `mapstructure:"proxies"`
	// APIKeyHeaders are request headers that carry an API key; names in any case.
	APIKeyHeaders []string `mapstructure:"api_key_headers"`
	// UserAttributes are attributes of other telemetry that name the user, in order of preference.
	UserAttributes []string `mapstructure:"user_attributes"`
	// Bindings enrol senders for a tenant.
	Bindings []BindingConfig `mapstructure:"bindings"`
	// DefaultTenant owns events that name none.
	DefaultTenant string `mapstructure:"default_tenant"`
	// LongLived is the token lifetime above which token.long_lived is signalled.
	LongLived time.Duration `mapstructure:"long_lived"`
	// Conversation bounds conversations that have neither a session nor a process.
	Conversation ConversationConfig `mapstructure:"conversation"`
	// Tables bounds the memory that the processor keeps.
	Tables TablesConfig `mapstructure:"tables"`
}

// DirectoryConfig says where the directory is.
type DirectoryConfig struct {
	File           string        `mapstructure:"file"`            // .csv, .json (also SCIM 2.0), .yaml
	ReloadInterval time.Duration `mapstructure:"reload_interval"` // how often the file is looked at
}

// IssuerConfig is an issuer of tokens.
type IssuerConfig struct {
	Issuer          string                  `mapstructure:"issuer"`           // the tokens' iss, exactly
	JWKSURL         string                  `mapstructure:"jwks_url"`         // one of jwks_url and jwks_file
	JWKSFile        string                  `mapstructure:"jwks_file"`        //
	Audiences       []string                `mapstructure:"audiences"`        // a token must name one; none allows all
	Algorithms      []string                `mapstructure:"algorithms"`       // default: all asymmetric ones
	Leeway          time.Duration           `mapstructure:"leeway"`           // for exp, nbf and iat; default 1m
	IDClaim         string                  `mapstructure:"id_claim"`         // claim that becomes the principal id; default sub
	RefreshInterval time.Duration           `mapstructure:"refresh_interval"` // default 15m (jwks_file: 10s)
	MinInterval     time.Duration           `mapstructure:"min_interval"`     // least time between fetches for unknown keys; default 30s
	KeepRetired     *time.Duration          `mapstructure:"keep_retired"`     // default 24h; 0 forgets a key that left the set at once
	TLS             *configtls.ClientConfig `mapstructure:"tls"`              // for jwks_url
}

// ServerConfig is what is expected of tokens for an MCP server.
type ServerConfig struct {
	Name      string   `mapstructure:"name"`      // mcpsiem.server.name; * and ? match as in file names
	Audiences []string `mapstructure:"audiences"` // a token must name one of them
}

// ProxyConfig is a reverse proxy that authenticates users and passes their names on in headers.
type ProxyConfig struct {
	CIDRs       []string `mapstructure:"cidrs"`        // addresses from which its requests come
	UserHeaders []string `mapstructure:"user_headers"` // the first present one names the user
	CertHeaders []string `mapstructure:"cert_headers"` // the first present one names the subject of a client certificate
	Verified    bool     `mapstructure:"verified"`     // the operator vouches that nothing else at these addresses can set the headers
}

// BindingConfig enrols one sender for a tenant: exactly one of Credential, Tap and Attribute.
type BindingConfig struct {
	Tenant     string `mapstructure:"tenant"`
	Credential string `mapstructure:"credential"` // fingerprint of the sender's credential (decode's key_file)
	Tap        string `mapstructure:"tap"`        // mcpsiem.tap.id
	Attribute  string `mapstructure:"attribute"`  // attribute of record or resource ...
	Value      string `mapstructure:"value"`      // ... and its value
}

// ConversationConfig bounds inferred conversations.
type ConversationConfig struct {
	Idle time.Duration `mapstructure:"idle"` // a longer gap, in time of the events, begins a new conversation
}

// TablesConfig are numbers of entries.
type TablesConfig struct {
	Tokens        int `mapstructure:"tokens"`        // credentials read and verified
	Exchanges     int `mapstructure:"exchanges"`     // identities of requests, for their responses
	Conversations int `mapstructure:"conversations"` // inferred conversations
}

func createDefaultConfig() component.Config {
	return &Config{
		Directory:      DirectoryConfig{ReloadInterval: 10 * time.Second},
		APIKeyHeaders:  []string{"x-api-key", "api-key", "apikey", "x-auth-token", "x-goog-api-key"},
		UserAttributes: []string{"user.id", "enduser.id", "user.email", "user.name"},
		DefaultTenant:  "default",
		LongLived:      24 * time.Hour,
		Conversation:   ConversationConfig{Idle: 30 * time.Minute},
		Tables:         TablesConfig{Tokens: 10_000, Exchanges: 50_000, Conversations: 50_000},
	}
}

// Validate reports what is wrong with the configuration and how to put it right.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.KeyFile == "" {
		bad("key_file is missing: it holds the key of credential fingerprints; make one with: openssl rand -hex 32 > identity.key")
	}
	if c.DefaultTenant == "" {
		bad("default_tenant is empty")
	}
	if c.Directory.File != "" && c.Directory.ReloadInterval < time.Second {
		bad("directory::reload_interval is %s: it must be at least 1s", c.Directory.ReloadInterval)
	}
	if c.LongLived <= 0 {
		bad("long_lived is %s: it must be more than 0", c.LongLived)
	}
	if c.Conversation.Idle < time.Second {
		bad("conversation::idle is %s: it must be at least 1s", c.Conversation.Idle)
	}
	for name, n := range map[string]int{"tokens": c.Tables.Tokens, "exchanges": c.Tables.Exchanges, "conversations": c.Tables.Conversations} {
		if n < 1 || n > 10_000_000 {
			bad("tables::%s is %d: it must be from 1 to 10000000", name, n)
		}
	}
	seen := map[string]bool{}
	for i := range c.Issuers {
		is := &c.Issuers[i]
		if seen[is.Issuer] {
			bad("issuers[%d]: issuer %s is listed twice", i, is.Issuer)
		}
		seen[is.Issuer] = true
		if err := is.validate(); err != nil {
			bad("issuers[%d]: %w", i, err)
		}
	}
	for i, s := range c.Servers {
		if s.Name == "" || len(s.Audiences) == 0 {
			bad("servers[%d]: needs name and audiences", i)
		}
		if _, err := path.Match(s.Name, ""); err != nil {
			bad("servers[%d]: name is not a pattern: %w", i, err)
		}
	}
	for i, p := range c.Proxies {
		if len(p.CIDRs) == 0 {
			bad("proxies[%d]: cidrs is missing: without it any client could name anyone", i)
		}
		for _, s := range p.CIDRs {
			if _, err := parseCIDR(s); err != nil {
				bad("proxies[%d]: %q is neither a network such as 10.0.0.0/8 nor an address", i, s)
			}
		}
		if len(p.UserHeaders)+len(p.CertHeaders) == 0 {
			bad("proxies[%d]: needs user_headers or cert_headers, e.g. user_headers: [x-forwarded-user]", i)
		}
	}
	for i, b := range c.Bindings {
		n := 0
		for _, s := range []string{b.Credential, b.Tap, b.Attribute} {
			if s != "" {
				n++
			}
		}
		if b.Tenant == "" || n != 1 || (b.Attribute != "") != (b.Value != "") {
			bad("bindings[%d]: needs a tenant and exactly one of credential, tap, or attribute with value", i)
		}
	}
	return errors.Join(errs...)
}

func (is *IssuerConfig) validate() error {
	if is.Issuer == "" {
		return errors.New("issuer is missing: the exact value of the tokens' iss claim")
	}
	if (is.JWKSURL == "") == (is.JWKSFile == "") {
		return errors.New("needs exactly one of jwks_url and jwks_file")
	}
	if is.JWKSURL != "" {
		u, err := url.Parse(is.JWKSURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return errors.New("jwks_url is not an http(s) URL")
		}
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return errors.New("jwks_url must use https: whoever can change the answer can be anyone (http is allowed to loopback only)")
		}
	}
	for _, a := range is.Algorithms {
		if !slices.Contains(ident.Algorithms, jose.SignatureAlgorithm(a)) {
			return fmt.Errorf("algorithm %q is not allowed; allowed are %v", a, ident.Algorithms)
		}
	}
	if is.Leeway < 0 || is.Leeway > time.Hour {
		return errors.New("leeway must be from 0 to 1h")
	}
	if (is.RefreshInterval != 0 && is.RefreshInterval < time.Second) || (is.MinInterval != 0 && is.MinInterval < time.Second) {
		return errors.New("refresh_interval and min_interval must be at least 1s")
	}
	if is.KeepRetired != nil && *is.KeepRetired < 0 {
		return errors.New("keep_retired must not be negative")
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func parseCIDR(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

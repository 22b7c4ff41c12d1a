package syslog

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configtls"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// Config is the exporter's configuration.
type Config struct {
	// Network is tcp, tls, udp, unix (a stream socket) or unixgram (as /dev/log).
	Network string `mapstructure:"network"`
	// Address is host:port, or the path of a socket.
	Address string `mapstructure:"address"`
	// Format of the message: structured (RFC 5424 structured data and a sentence), cef, or json.
	Format string `mapstructure:"format"`
	// Framing of streams: octets (RFC 6587 octet counting, RFC 5425) or lines.
	Framing  string `mapstructure:"framing"`
	Facility string `mapstructure:"facility"`
	AppName  string `mapstructure:"app_name"`
	Hostname string `mapstructure:"hostname"` // for records that name no host; empty: this machine's
	// SDID is the id of the structured data: name@private enterprise number.
	SDID string `mapstructure:"sd_id"`
	// BOM puts the mark of UTF-8 before the message, as RFC 5424 demands and many receivers show.
	BOM bool `mapstructure:"bom"`
	// MaxMessageBytes bounds one message; a longer one is shortened and stays well formed.
	MaxMessageBytes int `mapstructure:"max_message_bytes"`
	// Confirm waits until the other side's kernel has what was written (tcp and tls, Linux).
	Confirm     bool                    `mapstructure:"confirm"`
	Connections int                     `mapstructure:"connections"`
	Timeout     time.Duration           `mapstructure:"timeout"` // of connecting, and of writing and confirming a batch
	TLS         *configtls.ClientConfig `mapstructure:"tls"`
	Retry       sink.RetryConfig        `mapstructure:"retry"`
	Route       sink.Route              `mapstructure:"route"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	formatStructured, formatCEF, formatJSON = "structured", "cef", "json"
	framingOctets, framingLines             = "octets", "lines"
)

var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

func newDefaultConfig() *Config {
	return &Config{
		Network: "tls", Format: formatStructured, Framing: framingOctets, Facility: "local0", AppName: "mcpsiem", SDID: "mcpsiem@32473",
		MaxMessageBytes: 8192, Confirm: true, Connections: 1, Timeout: 30 * time.Second, Retry: sink.NewRetryConfig(),
	}
}

// RFC 5424: a name of at most 32 characters.
var sdID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,20}@[0-9]{1,10}$`)

// Validate checks what can be checked without the receiver.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad("%s must be one of %s", name, strings.Join(of, ", "))
		}
	}
	oneOf("network", c.Network, "tcp", "tls", "udp", "unix", "unixgram")
	oneOf("format", c.Format, formatStructured, formatCEF, formatJSON)
	oneOf("framing", c.Framing, framingOctets, framingLines)
	oneOf("facility", c.Facility, facilities...)
	if c.Address == "" {
		bad("address must be host:port, or the path of a socket")
	} else if !strings.HasPrefix(c.Network, "unix") {
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			bad("address must be host:port, e.g. syslog.example.com:6514")
		}
	}
	if c.AppName == "" || header(c.AppName, 48) != c.AppName || c.Hostname != "" && header(c.Hostname, 128) != c.Hostname {
		bad("app_name and hostname must be printable ASCII without spaces, at most 48 and 128 characters")
	}
	if !sdID.MatchString(c.SDID) {
		bad("sd_id must be a name and a private enterprise number, e.g. mcpsiem@32473")
	}
	if c.MaxMessageBytes < 1024 || c.MaxMessageBytes > 1<<20 || c.Network == "udp" && c.MaxMessageBytes > 65_000 {
		bad("max_message_bytes must be from 1024 to 1 MiB, with udp at most 65000")
	}
	if c.Network != "tls" && c.TLS != nil {
		bad("tls is for network tls")
	}
	if c.Connections < 1 || c.Connections > 16 || c.Timeout <= 0 {
		bad("connections must be 1 to 16, timeout positive")
	}
	errs = append(errs, c.Retry.Validate())
	if err := c.Route.Validate(); err != nil {
		bad("route: %w", err)
	}
	return errors.Join(errs...)
}

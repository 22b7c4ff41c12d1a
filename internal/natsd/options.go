// Options of the embedded server and who may do what on it.

package natsd

import (
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// Role is what a user of the server may do.
type Role int

const (
	RolePipeline Role = iota // all that the pipeline needs
	RoleViewer               // read redacted streams
)

// User may connect to the server.
type User struct {
	Name     string
	Password string
	Role     Role
}

// ViewerInbox is the inbox prefix that a RoleViewer connection has to use (nats.CustomInboxPrefix).
const ViewerInbox = "_INBOX_viewer"

// Options of Start. Dir, Key and Users are required.
type Options struct {
	Dir        string // where streams are kept; made with mode 0700
	Host       string // default 127.0.0.1
	Port       int    // 0: the system picks one
	Users      []User
	Key        string // encrypts the streams; at least MinKey bytes of randomness, as text
	NextKey    string // the key that a change to was perhaps begun; used if it was
	MaxPayload int32  // largest message in bytes; default 8 MiB
	MaxStore   int64  // cap on the sum of the streams' max_bytes; 0: no cap beyond the disk
	MinFree    uint64 // bytes that must be free in Dir at start; default 256 MiB
	NoSync     bool   // acknowledge before the disk has the message; for tests and benchmarks
	Logger     *zap.Logger
}

const (
	// MinKey is the least length of Options.Key in bytes.
	MinKey = 32
	// DefaultMaxPayload is the largest message the server takes, in bytes.
	DefaultMaxPayload = 8 << 20

	defaultMinFree = 256 << 20
)

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("cannot start the embedded NATS server: no directory given")
	}
	if len(o.Key) < MinKey {
		return fmt.Errorf("cannot start the embedded NATS server: the encryption key has %d bytes, at least %d are needed", len(o.Key), MinKey)
	}
	if len(o.Users) == 0 {
		return errors.New("cannot start the embedded NATS server: no users given, it does not run without authentication")
	}
	for _, u := range o.Users {
		if u.Name == "" || u.Password == "" {
			return errors.New("cannot start the embedded NATS server: each user needs a name and a password")
		}
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("cannot start the embedded NATS server: %d is not a port", o.Port)
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = DefaultMaxPayload
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.MaxStore == 0 {
		o.MaxStore = 1 << 60
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return nil
}

func (o *Options) server() *server.Options {
	port := o.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	so := &server.Options{
		ServerName:             "mcpsiem",
		Host:                   o.Host,
		Port:                   port,
		MaxPayload:             o.MaxPayload,
		NoLog:                  true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               o.Dir,
		SyncAlways:             !o.NoSync,
		JetStreamKey:           o.Key,
		JetStreamCipher:        server.AES,
		JetStreamMaxStore:      o.MaxStore,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
		LameDuckGracePeriod:    lameDuckGrace,
		LameDuckDuration:       lameDuck,
	}
	for _, u := range o.Users {
		so.Users = append(so.Users, &server.User{Username: u.Name, Password: u.Password, Permissions: u.Role.permissions()})
	}
	return so
}

func (r Role) permissions() *server.Permissions {
	if r == RolePipeline {
		all := []string{"mcpsiem.>", "$JS.API.>", "$JS.ACK.>", "$KV.>", "$O.>"}
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: all},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "mcpsiem.>", "$KV.>", "$O.>"}},
		}
	}
	pub := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.NAMES.*",
		"$JS.API.CONSUMER.LIST.*", "$JS.API.CONSUMER.INFO.*.*"}
	for _, s := range []string{streams.Events, streams.Findings, streams.Dead} {
		pub = append(pub, "$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".>")
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: pub},
		Subscribe: &server.SubjectPermission{Allow: []string{ViewerInbox + ".>"}},
	}
}

func (o *Options) address() string { return net.JoinHostPort(o.Host, fmt.Sprint(o.Port)) }

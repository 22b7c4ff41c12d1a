package engine

import (
	"encoding/binary"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Key says whose observations a detector judges together. The tenant is part of every key but KeyGlobal.
type Key uint8

// Keys.
const (
	KeyMessage      Key = iota // each event alone: no state
	KeyExchange                // a request and its response
	KeyConversation            // a conversation; where none is known, the principal with its client and server
	KeyPrincipal               // who acts; where nobody is known, the credential, OS user or address
	KeyServer                  // a server by its configured name; where it has none, by address or command
	KeyTool                    // a tool of a server
	KeyTeam                    // a team from the directory; events without one are not observed
	KeyTenant                  // everything of a tenant
	KeyTap                     // a run of a tap; events of other sources are not observed
	KeyGlobal                  // everything
	KeyCredential              // a token or API key by its fingerprint; events without one are not observed
	KeyFields                  // fields that the detector chooses: it is Keyed
	keyCount
)

var keyNames = [keyCount]string{"message", "exchange", "conversation", "principal", "server", "tool", "team", "tenant", "tap", "global", "credential", "fields"}

func (k Key) String() string { return keyNames[k] }

// keyring builds the keys of one event, each at most once.
type keyring struct {
	bufs [keyCount][]byte
	have [keyCount]bool
}

func (k *keyring) reset() { k.have = [keyCount]bool{} }

// of returns the event's key of the kind, empty if the event has none. It is valid until the next reset.
func (k *keyring) of(kind Key, e *event.Event) []byte {
	if !k.have[kind] {
		k.bufs[kind] = appendKey(k.bufs[kind][:0], kind, e)
		k.have[kind] = true
	}
	return k.bufs[kind]
}

// part appends s with its length in front, so that no two lists of parts make the same key.
func part(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// AppendPart appends s to a key with its length in front, so that no two lists of parts make the same key.
func AppendPart(key []byte, s string) []byte { return part(key, s) }

// CutPart takes the first part off a key made with AppendPart.
func CutPart(key []byte) (first string, rest []byte) {
	p, rest := cutPart(key)
	return string(p), rest
}

func cutPart(key []byte) (first, rest []byte) {
	n, k := binary.Uvarint(key)
	if k <= 0 || n > uint64(len(key)-k) {
		return nil, nil
	}
	return key[k : k+int(n)], key[k+int(n):]
}

func appendKey(b []byte, kind Key, e *event.Event) []byte {
	switch kind {
	case KeyGlobal:
		return append(b, '*')
	case KeyTeam:
		if e.PrincipalTeam == "" {
			return b
		}
	case KeyTap:
		if e.TapID == "" {
			return b
		}
	case KeyCredential:
		if e.TokenFingerprint == "" {
			return b
		}
	case KeyMessage:
		return b
	}
	b = part(b, e.Tenant)
	switch kind {
	case KeyExchange:
		if e.ExchangeID != "" {
			b = part(b, e.ExchangeID)
		} else {
			b = part(b, e.ID)
		}
	case KeyConversation:
		if e.ConversationID != "" {
			b = append(b, 'c')
			b = part(b, e.ConversationID)
		} else {
			b = append(b, 'p')
			b = principalPart(b, e)
			b = part(b, e.ClientName)
			b = part(b, serverName(e))
		}
	case KeyPrincipal:
		b = principalPart(b, e)
	case KeyServer:
		b = part(b, serverName(e))
	case KeyTool:
		b = part(b, serverName(e))
		b = part(b, e.Tool)
	case KeyTeam:
		b = part(b, e.PrincipalTeam)
	case KeyCredential:
		b = part(b, e.TokenFingerprint)
	case KeyTap:
		b = part(b, e.TapID)
		b = binary.BigEndian.AppendUint64(b, uint64(e.TapEpoch))
	}
	return b
}

func principalPart(b []byte, e *event.Event) []byte {
	switch {
	case e.PrincipalID != "":
		b = append(b, 'i')
		b = part(b, e.PrincipalIssuer)
		return part(b, e.PrincipalID)
	case e.TokenFingerprint != "":
		b = append(b, 't')
		return part(b, e.TokenFingerprint)
	case e.OSUser != "":
		b = append(b, 'o')
		b = part(b, e.HostName)
		return part(b, e.OSUser)
	}
	b = append(b, 'a')
	return part(b, e.ClientAddress)
}

// serverName is the configured name of the server, or the best stand-in that does not rest on the server's own claims.
func serverName(e *event.Event) string {
	switch {
	case e.Server != "":
		return e.Server
	case e.ServerAddress != "":
		return e.ServerAddress + ":" + strconv.FormatInt(e.ServerPort, 10)
	}
	return e.Command
}

// keyText is the key for people, as findings carry it.
func keyText(kind Key, e *event.Event) string {
	var s string
	switch kind {
	case KeyMessage:
		s = e.ID
	case KeyExchange:
		s = e.ExchangeID
	case KeyConversation:
		s = e.ConversationID
		if s == "" {
			s = e.PrincipalID + "/" + e.ClientName + "/" + serverName(e)
		}
	case KeyPrincipal:
		s = e.PrincipalID
	case KeyServer:
		s = serverName(e)
	case KeyTool:
		s = serverName(e) + "/" + e.Tool
	case KeyTeam:
		s = e.PrincipalTeam
	case KeyTenant:
		s = e.Tenant
	case KeyTap:
		s = e.TapID + "/" + strconv.FormatInt(e.TapEpoch, 10)
	case KeyCredential:
		s = e.TokenFingerprint
	case KeyGlobal:
		return "global"
	}
	return kind.String() + ":" + Name(s)
}

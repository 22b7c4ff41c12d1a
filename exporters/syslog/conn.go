// A connection: framing, writing, and noticing that nobody listens any more.

package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/streams"
)

type conn struct {
	net.Conn
	raw    net.Conn // below TLS
	dead   atomic.Bool
	closed chan struct{} // the reader ended
}

// dial connects. A stream's other side says nothing: a goroutine reads to notice when it goes.
func dial(ctx context.Context, c *Config, t *tls.Config) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	network := c.Network
	if network == "tls" {
		network = "tcp"
	}
	raw, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, network, c.Address)
	if err != nil {
		return nil, passing("connect", err)
	}
	out := &conn{Conn: raw, raw: raw, closed: make(chan struct{})}
	if c.Network == "tls" {
		tc := tls.Client(raw, t)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			var cert *tls.CertificateVerificationError
			if errors.As(err, &cert) {
				return nil, sink.Again(streams.WithReason(errors.New("the syslog server's certificate is not trusted: set tls.ca_file, or tls.server_name_override"), "tls"), "tls", 0, true)
			}
			return nil, sink.Again(streams.WithReason(errors.New("no TLS session with the syslog server"), "tls"), "tls", 0, true)
		}
		out.Conn = tc
	}
	if !c.datagrams() {
		go func() {
			defer close(out.closed)
			_, _ = io.Copy(io.Discard, out.Conn)
			out.dead.Store(true)
		}()
	} else {
		close(out.closed)
	}
	return out, nil
}

func (c *Config) datagrams() bool { return c.Network == "udp" || c.Network == "unixgram" }

func (c *conn) close() {
	_ = c.raw.Close()
	<-c.closed
}

// passing is an error of the network, which names no address.
func passing(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var no syscall.Errno
	var nerr net.Error
	reason := "network"
	switch {
	case errors.As(err, &no):
		err = fmt.Errorf("cannot %s: %w", what, no)
	case errors.As(err, &nerr) && nerr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		err, reason = fmt.Errorf("cannot %s: no answer in time", what), "timeout"
	default:
		err = fmt.Errorf("cannot %s: the connection failed", what)
	}
	return sink.Again(streams.WithReason(err, reason), reason, 0, true)
}

// frame appends a message with its framing.
func frame(b []byte, framing string, message []byte) []byte {
	if framing == framingOctets {
		b = append(strconv.AppendInt(b, int64(len(message)), 10), ' ')
		return append(b, message...)
	}
	// Messages hold no line breaks: the encoder replaces or escapes them.
	return append(append(b, message...), '\n')
}

// write writes all that is framed, and with confirm waits until the other side's kernel acknowledged it.
func (c *conn) write(ctx context.Context, b []byte, timeout time.Duration, confirm bool) error {
	if c.dead.Load() {
		return passing("write", io.ErrClosedPipe)
	}
	deadline := time.Now().Add(timeout)
	_ = c.SetWriteDeadline(deadline)
	if _, err := c.Conn.Write(b); err != nil {
		return passing("write", err)
	}
	if !confirm {
		return nil
	}
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		n, ok := unacknowledged(c.raw)
		switch {
		case !ok, n == 0 && !c.dead.Load():
			return nil
		case c.dead.Load():
			return passing("write", io.ErrClosedPipe)
		case time.Now().After(deadline):
			return passing("confirm", context.DeadlineExceeded)
		}
		if err := sink.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

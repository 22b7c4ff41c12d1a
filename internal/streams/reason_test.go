package streams_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/multierr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

func TestPermanent(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := streams.Permanent(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
	plain := errors.New("x")
	perm := consumererror.NewPermanent(plain)
	f(nil, false)
	f(plain, false)
	f(perm, true)
	f(fmt.Errorf("around: %w", perm), true)
	f(consumererror.NewLogs(perm, plog.NewLogs()), true)
	f(consumererror.NewLogs(plain, plog.NewLogs()), false)
	f(streams.WithReason(perm, "r"), true)
	f(errors.Join(perm, perm), true)
	f(errors.Join(perm, plain), false)
	f(errors.Join(plain, perm), false)
	f(multierr.Append(perm, plain), false)
	f(multierr.Append(perm, perm), true)
	f(consumererror.NewPermanent(errors.Join(plain, plain)), true)
}

func TestReason(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := streams.Reason(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	const secret = "planted-secret"
	f(streams.WithReason(errors.New(secret), "clickhouse_53"), "clickhouse_53")
	f(consumererror.NewPermanent(fmt.Errorf("a: %w", streams.WithReason(errors.New(secret), "code 53: Type\nMismatch"))), "code_53:_type_mismatch")
	f(consumererror.NewPermanent(errors.New(secret)), "permanent:*errors.errorstring")
	f(consumererror.NewPermanent(fmt.Errorf("%w", &net.OpError{Op: secret, Err: errors.New(secret)})), "permanent:*errors.errorstring")
	f(consumererror.NewPermanent(status.Error(codes.InvalidArgument, secret)), "permanent:grpc_invalidargument")
	f(streams.WithReason(errors.New(secret), strings.Repeat("a", 100)), strings.Repeat("a", 64))
	f(streams.WithReason(errors.New(secret), ""), "permanent")
	if streams.WithReason(nil, "x") != nil {
		t.Error("nil became an error")
	}
}

// Which errors a retry can mend. One table, since the receiver decides by it between a second try and a dead letter.

package clickhouse

import (
	"errors"
	"fmt"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/mcpsiem/mcpsiem/internal/streams"
)

// refused are the exceptions that say of the block that it cannot be stored as it is. All others are taken as passing: memory, parts, timeouts, a
// full or read-only disk, a server that shuts down. A passing error that does not pass shows as lag; a permanent one that was none would be a dead
// letter.
var refused = map[proto.Error]bool{
	proto.ErrNumberOfColumnsDoesntMatch: true, proto.ErrTypeMismatch: true, proto.ErrIllegalColumn: true,
	proto.ErrCannotConvertType: true, proto.ErrIncorrectData: true, proto.ErrSyntaxError: true, proto.ErrNotImplemented: true,
	proto.ErrSizesOfColumnsDoesntMatch: true, proto.ErrDuplicateColumn: true, proto.ErrTooLargeStringSize: true, proto.ErrTooLargeArraySize: true,
	proto.ErrCannotParseText: true, proto.ErrCannotInsertNullInOrdinaryColumn: true, proto.ErrViolatedConstraint: true,
	proto.ErrUnexpectedPacketFromClient: true, proto.ErrUnknownPacketFromClient: true,
}

// misconfigured are those that say nothing of the block: the operator mends them, and records wait. A password that was rotated, a right that was
// taken or a table that is away must not turn good records into dead letters.
var misconfigured = map[proto.Error]string{
	proto.ErrAuthenticationFailed:  "is username right, and has password_file the present password? It is read at each connect",
	proto.ErrUnknownUser:           "is username right?",
	proto.ErrWrongPassword:         "has password_file the present password? It is read at each connect",
	proto.ErrRequiredPassword:      "set password_file",
	proto.ErrIPAddressNotAllowed:   "the account may not connect from this address",
	proto.ErrAccessDenied:          "the account needs INSERT and SELECT on the database",
	proto.ErrReadonly:              "the account's profile is read-only",
	proto.ErrUnknownSetting:        "the server is too old, or its profile forbids a setting",
	proto.ErrUnknownDatabase:       "run `mcpsiem migrate`",
	proto.ErrUnknownTable:          "run `mcpsiem migrate`",
	proto.ErrNoSuchColumnInTable:   "run `mcpsiem migrate`",
	proto.ErrUnknownIdentifier:     "run `mcpsiem migrate`",
	proto.ErrNotFoundColumnInBlock: "run `mcpsiem migrate`",
	proto.ErrThereIsNoColumn:       "run `mcpsiem migrate`",
	proto.ErrUnknownType:           "the server is too old",
}

// errMisconfigured marks an error that the operator has to mend.
var errMisconfigured = errors.New("records wait")

// classify turns an error of the client into one that is safe to log and that says whether to try again. Of an exception only the name
// and code stay: its text can quote values.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	var ex *ch.Exception
	if !errors.As(err, &ex) {
		return streams.WithReason(fmt.Errorf("cannot %s: %w", doing, err), "unreachable")
	}
	out := streams.WithReason(fmt.Errorf("cannot %s: ClickHouse says %s (%d)", doing, ex.Code, int(ex.Code)), fmt.Sprintf("clickhouse_%d", int(ex.Code)))
	if help, ok := misconfigured[ex.Code]; ok {
		return fmt.Errorf("%w: %s; %w", out, help, errMisconfigured)
	}
	if refused[ex.Code] {
		return consumererror.NewPermanent(out)
	}
	return out
}

// Which errors a retry can mend. One table, since the receiver decides by it between a second try and a dead letter.

package clickhouse

import (
	"errors"
	"fmt"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/consumer/consumererror"
)

// permanent are the exceptions that the same insert would meet again: the table or its columns are other than this program's, the account may
// not, or the block cannot be stored as it is. All others are taken as passing: memory, parts, timeouts, a full or read-only disk, a server
// that shuts down. A passing error that does not pass shows as lag; a permanent one that was none would be a dead letter.
var permanent = map[proto.Error]bool{
	proto.ErrUnknownTable: true, proto.ErrUnknownDatabase: true, proto.ErrNoSuchColumnInTable: true, proto.ErrUnknownIdentifier: true,
	proto.ErrNotFoundColumnInBlock: true, proto.ErrNumberOfColumnsDoesntMatch: true, proto.ErrTypeMismatch: true, proto.ErrIllegalColumn: true,
	proto.ErrCannotConvertType: true, proto.ErrUnknownType: true, proto.ErrIncorrectData: true, proto.ErrUnknownSetting: true,
	proto.ErrSyntaxError: true, proto.ErrNotImplemented: true, proto.ErrSizesOfColumnsDoesntMatch: true, proto.ErrDuplicateColumn: true,
	proto.ErrThereIsNoColumn: true, proto.ErrTooLargeStringSize: true, proto.ErrTooLargeArraySize: true,
	proto.ErrCannotParseText: true, proto.ErrCannotInsertNullInOrdinaryColumn: true, proto.ErrViolatedConstraint: true,
	proto.ErrAuthenticationFailed: true, proto.ErrUnknownUser: true, proto.ErrWrongPassword: true, proto.ErrRequiredPassword: true,
	proto.ErrAccessDenied: true, proto.ErrIPAddressNotAllowed: true, proto.ErrReadonly: true,
	proto.ErrUnexpectedPacketFromClient: true, proto.ErrUnknownPacketFromClient: true,
}

// classify turns an error of the client into one that is safe to log and that says whether to try again. Of an exception only the name
// and code stay: its text can quote values.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	var ex *ch.Exception
	if !errors.As(err, &ex) {
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	out := fmt.Errorf("cannot %s: ClickHouse says %s (%d)", doing, ex.Code, int(ex.Code))
	if permanent[ex.Code] {
		return consumererror.NewPermanent(out)
	}
	return out
}

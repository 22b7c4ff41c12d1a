// A look over OTLP bytes before they are unmarshalled: two bytes can stand for a struct of hundreds, and values nest without
// limit, so that a small message could cost gigabytes or the stack.

package streams

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	maxElements = 2 << 20 // resources, scopes, records, attributes and list items in one batch
	maxDepth    = 64      // of nested attribute values
)

// protoMsg names the fields of a message that repeat or nest: index is the field number.
type protoMsg [8]*protoMsg

// Of opentelemetry-proto logs v1 and common v1.
var logsMsg = func() *protoMsg {
	anyValue, keyValue, list, kvlist := &protoMsg{}, &protoMsg{}, &protoMsg{}, &protoMsg{}
	*anyValue = protoMsg{5: list, 6: kvlist}
	*list = protoMsg{1: anyValue}
	*kvlist = protoMsg{1: keyValue}
	*keyValue = protoMsg{2: anyValue}
	entityRef := &protoMsg{}
	resource := &protoMsg{1: keyValue, 3: entityRef}
	scope := &protoMsg{3: keyValue}
	record := &protoMsg{5: anyValue, 6: keyValue}
	scopeLogs := &protoMsg{1: scope, 2: record}
	resourceLogs := &protoMsg{1: resource, 2: scopeLogs}
	return &protoMsg{1: resourceLogs}
}()

func checkLogs(b []byte) error {
	left := maxElements
	return checkMsg(b, logsMsg, 0, &left)
}

func checkMsg(b []byte, m *protoMsg, depth int, left *int) error {
	if depth > maxDepth*2+8 { // a level of values is two or three messages
		return fmt.Errorf("%w: values nest deeper than %d", ErrCorrupt, maxDepth)
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: bad protobuf tag", ErrCorrupt)
		}
		b = b[n:]
		if typ != protowire.BytesType {
			// Groups are not used by OTLP; pdata reads them by recursion.
			if typ == protowire.StartGroupType || typ == protowire.EndGroupType {
				return fmt.Errorf("%w: protobuf group", ErrCorrupt)
			}
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return fmt.Errorf("%w: bad protobuf field", ErrCorrupt)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("%w: truncated protobuf field", ErrCorrupt)
		}
		b = b[n:]
		if int(num) >= len(m) || m[num] == nil {
			continue
		}
		if *left--; *left < 0 {
			return fmt.Errorf("%w: more than %d elements", ErrCorrupt, maxElements)
		}
		if err := checkMsg(v, m[num], depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

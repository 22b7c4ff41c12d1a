// Records of deletion: the audit events that say which leaves' rows were removed on purpose.

package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
)

// Keys of a deletion's audit_details.
const (
	DetailLeaves       = "leaves"
	DetailLeavesSHA256 = "leaves_sha256"
)

// DeletionDetails are what the audit event of a deletion must have among its details, for the leaves whose rows and salts go. The same
// leaves go to seal_deletions, with the event's id.
func DeletionDetails(leaves []uint64) map[string]string {
	leaves = slices.Clone(leaves)
	slices.Sort(leaves)
	leaves = slices.Compact(leaves)
	h := sha256.New()
	for _, i := range leaves {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], i)
		h.Write(b[:])
	}
	return map[string]string{DetailLeaves: strconv.Itoa(len(leaves)), DetailLeavesSHA256: hex.EncodeToString(h.Sum(nil))}
}

type deletion struct{ leaves, sum string }

// readDeletion reads a record of deletion from its canonical form.
func readDeletion(canonical []byte) (deletion, bool) {
	var r struct {
		Action  string            `json:"audit_action"`
		Details map[string]string `json:"audit_details"`
	}
	if json.Unmarshal(canonical, &r) != nil || r.Action != "retention.apply" && r.Action != "subject.erase" {
		return deletion{}, false
	}
	return deletion{r.Details[DetailLeaves], r.Details[DetailLeavesSHA256]}, true
}

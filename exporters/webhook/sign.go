// Signatures as Standard Webhooks has them (standardwebhooks.com, v1): libraries that verify them exist in many languages.

package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Headers of a signed request.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp" // seconds since 1970
	headerSignature = "Webhook-Signature" // v1,<base64> for each secret, separated by spaces
	headerKey       = "Idempotency-Key"   // the same as the id
)

// signingKey is the secret's bytes: what follows whsec_ is base64, anything else is taken as it is.
func signingKey(secret string) ([]byte, error) {
	key := []byte(secret)
	if b64, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(b64); err != nil {
			return nil, errors.New("a signing secret that begins with whsec_ must go on in base64")
		}
	}
	if len(key) < 24 {
		return nil, errors.New("a signing secret must have at least 24 bytes: `openssl rand -base64 32`")
	}
	return key, nil
}

// sign makes the signatures of a request: HMAC-SHA256 over `id.timestamp.body`.
func sign(keys [][]byte, id string, timestamp int64, body []byte) string {
	var out []string
	for _, k := range keys {
		h := hmac.New(sha256.New, k)
		h.Write([]byte(id + "." + strconv.FormatInt(timestamp, 10) + "."))
		h.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(out, " ")
}

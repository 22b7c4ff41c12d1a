// Finding a value again that was replaced.

package inspect

import (
	"encoding/hex"
	"slices"

	"github.com/mcpsiem/mcpsiem/internal/inspect/class"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

// placeholderHex is how many hex digits of the HMAC every placeholder begins with, whatever follows.
const placeholderHex = 12

// Placeholders lists how the placeholders of a value begin, for each class it could have been found as and each key of the tenant that is not
// destroyed: "<email:0123456789ab". It reads the tenant's keys and makes none. Dropped and masked values have no placeholder of their own.
func (e *Engine) Placeholders(tenant string, value []byte) ([]string, error) {
	var keys [][pseudonym.KeySize]byte
	if e.cfg.Tenants == nil {
		keys = append(keys, e.cfg.Master.Tenant(tenant, e.cfg.Epoch))
	} else {
		salts, err := e.cfg.Tenants.Kept(tenant)
		if err != nil {
			return nil, err
		}
		for _, s := range salts {
			keys = append(keys, e.cfg.Master.Salted(tenant, e.cfg.Epoch, s))
		}
	}
	w := &worker{e: e}
	var out []string
	for _, key := range keys {
		pw := pseudonym.NewWriter(key, e.scanner.Known)
		for c := range e.scanner.Classes {
			w.values = w.values[:0]
			from, to := w.value(class.ID(c), value)
			sum := pw.Sum(e.scanner.Classes[c].Name, w.values[from:to])
			out = append(out, "<"+e.scanner.Classes[c].Name+":"+hex.EncodeToString(sum[:placeholderHex/2]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// SubjectTag names a person in records without saying who it is: it can be made again only with the tenant's key. Empty where the tenant has none.
func (e *Engine) SubjectTag(tenant string, value []byte) (string, error) {
	if e.cfg.Tenants == nil {
		return "", nil
	}
	salts, err := e.cfg.Tenants.Kept(tenant)
	if err != nil || len(salts) == 0 {
		return "", err
	}
	w := pseudonym.NewWriter(e.cfg.Master.Salted(tenant, e.cfg.Epoch, salts[len(salts)-1]), e.scanner.Known)
	return hex.EncodeToString(w.Sum("subject of a request", value)[:16]), nil
}

package pseudonym

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Kept reads every salt of a tenant that is not destroyed, the oldest first, to look for what was pseudonymised under any of them. It makes none.
func (t *Tenants) Kept(tenant string) ([]Salt, error) {
	folder := filepath.Join(t.dir, folderOf(tenant))
	f, err := look(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys of a tenant: %w", err)
	}
	var out []Salt
	for _, epoch := range f.keys {
		if epoch <= f.dead {
			continue
		}
		r, err := read(folder, epoch)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the keys of a tenant: %w", err)
		}
		out = append(out, r.salt())
	}
	return out, nil
}

// A record of which key a directory was written with.

package natsd

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const keyCheckFile = "key-check"

// checkKey refuses a key other than the one that the directory was first used with. The file holds an HMAC under the
// key, which says no more about it than the encrypted streams beside it do.
func checkKey(dir, key string) error {
	want := keyCheck(key)
	path := filepath.Join(dir, keyCheckFile)
	got, err := os.ReadFile(path)
	switch {
	case err == nil:
		if !hmac.Equal([]byte(strings.TrimSpace(string(got))), []byte(want)) {
			return fmt.Errorf("%w: the streams in %s were written with another key; start with that key, or move the directory away to begin anew",
				ErrWrongKey, dir)
		}
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	return writeSynced(path, want+"\n")
}

func keyCheck(key string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("mcpsiem NATS store key check v1"))
	return hex.EncodeToString(m.Sum(nil))
}

// matches says whether a directory was written with a key.
func matches(dir, key string) bool {
	got, err := os.ReadFile(filepath.Join(dir, keyCheckFile))
	return err == nil && hmac.Equal(bytes.TrimSpace(got), []byte(keyCheck(key)))
}

// writeSynced makes a file that is either whole or absent, also after a power failure.
func writeSynced(path, content string) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write to the NATS directory: %w", err)
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot write to the NATS directory: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(ignoreUnsupported(d.Sync()), d.Close())
}

// The lock on the folder: two sealers would sign two logs.

package seal

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func (s *Sealer) takeLock() error {
	if s.lock != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the seal's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("cannot seal: another process seals in %s", s.Dir)
	}
	s.lock = f
	return nil
}

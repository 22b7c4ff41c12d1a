//go:build unix

package mcpconfig

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives h the owner that info names, if we may.
func keepOwner(h *os.File, info fs.FileInfo) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = h.Chown(int(st.Uid), int(st.Gid))
	}
}

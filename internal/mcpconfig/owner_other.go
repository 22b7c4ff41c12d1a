//go:build !unix

package mcpconfig

import (
	"io/fs"
	"os"
)

func keepOwner(*os.File, fs.FileInfo) {}

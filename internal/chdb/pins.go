// Which engine: package, version and content hash, fixed here so that what is unpacked and run is what was tested.

package chdb

import (
	"fmt"
	"runtime"
)

// Version is the version of the engine's npm package; the engine in it is ClickHouse 26.7.
const Version = "26.7.3-stable.1"

// pin is one platform's package. integrity is npm's: sha512, base64. size is the unpacked library's, bytes.
type pin struct {
	name, integrity string
	size            int64
}

// pins holds the platforms whose package could be examined. A platform without one is refused rather than trusted.
var pins = map[string]pin{
	"linux/amd64": {
		name:      "@chdb/lib-linux-x64-gnu",
		integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		size:      566330096,
	},
}

func platformPin() (pin, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	p, ok := pins[platform]
	if !ok {
		return pin{}, fmt.Errorf("cannot get the embedded ClickHouse for %s: this version has a verified package for linux/amd64 only; "+
			"set %s to a libchdb %s of your own, or use an external ClickHouse server", platform, EnvLib, Version)
	}
	return p, nil
}

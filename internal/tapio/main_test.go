//go:build unix

package tapio

// The test binary is also the tap, the server and, for process-level tests, the client: TAPIO_ROLE says which.

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("TAPIO_ROLE"); role != "" {
		os.Exit(playRole(role))
	}
	goleak.VerifyTestMain(m)
}

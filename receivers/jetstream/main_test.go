package jetstream

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("RELAY_TEST_CHILD") != "" {
		relayChild()
	}
	goleak.VerifyTestMain(m)
}

package connector

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		fmt.Fprintln(os.Stderr, worker(url))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

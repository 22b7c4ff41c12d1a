package volume

import (
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
)

func TestFixtures(t *testing.T) { detecttest.RunDir(t, "testdata", Definition) }

package eval

import (
	"os"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inspect"
	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

func engine(t testing.TB) *inspect.Engine {
	t.Helper()
	m, err := pseudonym.NewMaster(make([]byte, pseudonym.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	e, err := inspect.New(inspect.Config{Master: m})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestData prints the measurements on the labelled data in $DETECTION_DATA, with the ids of what went wrong if -v is given.
func TestData(t *testing.T) {
	dir := os.Getenv("DETECTION_DATA")
	if dir == "" {
		dir = t.TempDir() // nothing there: every slice is reported as skipped
	}
	r, err := Run(dir, engine(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Scores) == 0 && len(r.Skipped) == 0 {
		t.Fatal("nothing measured and nothing skipped")
	}
	r.Write(os.Stdout)
	if testing.Verbose() {
		for _, s := range r.Scores {
			if s.Benign || s.Slice[:3] == "sec" {
				t.Log(s.Slice, s.Name, s.Examples)
			}
		}
	}
}

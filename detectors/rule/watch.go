package rule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Watch reads folders again every interval and calls changed with all their documents whenever a byte or a name differs from the
// time before, from the state that known describes on; failed with what keeps it from reading, once for each new reason. It ends with the context. Reading beats asking the
// system for notices: it sees what editors, checkouts, mounted configuration maps and network folders do, and rules are small.
func Watch(ctx context.Context, dirs []string, interval time.Duration, known string, changed func([]Document), failed func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	lastError := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		docs, err := ReadDirs(dirs)
		if err != nil {
			if text := err.Error(); text != lastError {
				lastError = text
				failed(err)
			}
			continue
		}
		lastError = ""
		if h := HashOf(docs); h != known {
			known = h
			changed(docs)
		}
	}
}

// ReadDirs is ReadDir of several folders, in order.
func ReadDirs(dirs []string) ([]Document, error) {
	var out []Document
	for _, d := range dirs {
		docs, err := ReadDir(d)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// HashOf is a hash of the names and contents of documents.
func HashOf(docs []Document) string {
	h := sha256.New()
	for _, d := range docs {
		fmt.Fprintf(h, "%d %d ", len(d.Name), len(d.Text))
		h.Write([]byte(d.Name))
		h.Write(d.Text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

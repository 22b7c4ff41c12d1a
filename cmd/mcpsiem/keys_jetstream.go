package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/natsd"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// The key of the embedded JetStream is changed by putting the next one beside it, as jetstream.key.next. Whoever holds the state folder - `up`, or the command where nobody does -
// puts the streams under it and then gives the file its name. Which of the two files counts is in the streams' folder, so that a crash between does not matter.

// nextJetStreamKey reads the key that is to come; empty if there is none.
func nextJetStreamKey(d state.Dir) (string, error) {
	file := d.Next(state.SecretJetStreamKey)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err := keysource.Private(file); err != nil {
		return "", fmt.Errorf("cannot use %s: %w", file, err)
	}
	b, err := keysource.Read(context.Background(), "the next key", file)
	if err == nil && len(b) < natsd.MinKey {
		err = fmt.Errorf("cannot use %s: the key has %d bytes, at least %d are needed", file, len(b), natsd.MinKey)
	}
	return string(b), err
}

// keyWatch changes the key of a running installation.
type keyWatch struct {
	dir    state.Dir
	nats   *natsd.Server
	log    *zap.Logger
	failed time.Time // of the file that could not be changed to: not tried again until somebody touches it
}

func (w *keyWatch) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *keyWatch) look() {
	st, err := os.Stat(w.dir.Next(state.SecretJetStreamKey))
	if errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(rotationFile(w.dir)) // nobody wants it changed any more
	}
	if err != nil || st.ModTime().Equal(w.failed) {
		return
	}
	began := time.Now()
	next, err := nextJetStreamKey(w.dir)
	if err == nil && next != "" {
		err = w.nats.Rekey(next)
		if w.nats.Uses(next) { // decided, even if the server is not back yet
			if err != nil {
				w.log.Warn("NATS is down until the change of keys is finished, which it tries again and again", zap.Error(err))
			}
			err = w.dir.Promote(state.SecretJetStreamKey)
		}
	}
	if err != nil {
		w.failed = st.ModTime()
		w.log.Error("The key of the streams was not changed", zap.Error(err))
		writeRotation(w.dir, rotationProblem{Key: state.SecretJetStreamKey, Problem: err.Error(), At: time.Now().UTC()})
		return
	}
	_ = os.Remove(rotationFile(w.dir))
	w.log.Info("The streams are under another key", zap.Duration("took", time.Since(began)))
}

// rotationProblem says why a key that was to be replaced is still there.
type rotationProblem struct {
	Key     string    `json:"key"`
	Problem string    `json:"problem"`
	At      time.Time `json:"at"`
}

func rotationFile(d state.Dir) string { return d.Path("rotation.json") }

func writeRotation(d state.Dir, p rotationProblem) {
	b, err := json.Marshal(p)
	if err == nil {
		tmp := rotationFile(d) + ".new"
		if err = os.WriteFile(tmp, append(b, '\n'), 0o600); err == nil {
			_ = os.Rename(tmp, rotationFile(d))
		}
	}
}

func readRotation(d state.Dir) (p rotationProblem) {
	if b, err := os.ReadFile(rotationFile(d)); err == nil {
		_ = json.Unmarshal(b, &p)
	}
	return p
}

// rotateJetStream puts the next key in place, and waits until the installation has gone over to it, or does it where none runs.
func (k *keysTarget) rotateJetStream(c *cobra.Command) error {
	d := state.Dir(k.stateDir)
	file, next := d.Secret(state.SecretJetStreamKey), d.Next(state.SecretJetStreamKey)
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot rotate the key of the streams: %w", err)
	}
	if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
		if _, elsewhere, _ := keysource.Parse(b); elsewhere {
			return withCode(exitUsage, fmt.Errorf("%s says that the key is elsewhere: make the next one there, put where it is into %s (mode 0600), and give this command again", file, next))
		}
		if err := d.GenerateNext(state.SecretJetStreamKey); err != nil {
			return err
		}
	}
	material, err := nextJetStreamKey(d)
	if err != nil {
		return err
	}
	if pid, running := d.Holder(); !running {
		if err := rotateJetStreamStopped(d, material); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "the streams in %s are under the key in %s now\n", d.Path("nats"), file)
		fmt.Fprintln(c.ErrOrStderr(), "mcpsiem: warning: this is not on record: nothing runs here")
		return nil
	} else {
		fmt.Fprintf(c.ErrOrStderr(), "the installation (pid %d) changes the key; NATS comes back in a moment, what is sent meanwhile waits at its sender\n", pid)
	}
	began := time.Now()
	_ = os.Chtimes(next, began, began) // also after a failure it is tried once more
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
			break
		}
		if p := readRotation(d); p.At.After(began) {
			return fmt.Errorf("the key of the streams was not changed, the one in %s stays: %s", file, p.Problem)
		}
		if _, running := d.Holder(); !running {
			return errors.New("the installation ended meanwhile: give the command again, or start it; it goes on from where it was")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the installation has not gone over to %s yet: it is too busy or too old; see `mcpsiem status` and its log", next)
		case <-time.After(100 * time.Millisecond):
		}
	}
	if now, err := d.ReadSecret(state.SecretJetStreamKey); err != nil || now != material {
		return errors.Join(fmt.Errorf("the key of the streams was not changed: %s was removed or replaced meanwhile", next), err)
	}
	fmt.Fprintf(c.OutOrStdout(), "the streams are under the key in %s now (%s)\n", file, time.Since(began).Round(100*time.Millisecond))
	k.record(c, audit.KeyRotate, state.SecretJetStreamKey, nil)
	return nil
}

// rotateJetStreamStopped changes the key where nothing runs.
func rotateJetStreamStopped(d state.Dir, next string) error {
	lock, err := d.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	now, err := d.ReadSecret(state.SecretJetStreamKey)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.Path("nats"), "jetstream")); err == nil {
		if err := natsd.Rekey(d.Path("nats"), now, next); err != nil {
			return err
		}
	}
	return d.Promote(state.SecretJetStreamKey)
}

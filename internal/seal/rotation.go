// Rotation of the signing key. A statement, signed with the old key and with the new one, says how long each log was then: from there on the new key signs, and whatever the old one would sign
// beyond is not believed. Statements travel with the public key (key.pub has both), so that who trusts one key of the chain trusts the others for the part of the log that was theirs.

package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const rotationHead = "mcpsiem key rotation 1"

// ErrRetired means that a checkpoint is signed with a key that another one had replaced, or was to replace only later.
var ErrRetired = errors.New("its key was not in use for a log of this size")

// rotation is what a statement says.
type rotation struct {
	log      string
	from, to ed25519.PublicKey
	at       time.Time
	logs     map[string]Checkpoint // by folder: the last that the old key signed
}

func (r rotation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nfrom %s\nto %s\nat %s\n", rotationHead, r.log, base64.StdEncoding.EncodeToString(r.from), base64.StdEncoding.EncodeToString(r.to), r.at.UTC().Format(time.RFC3339))
	for _, folder := range sortedNames(r.logs) {
		c := r.logs[folder]
		fmt.Fprintf(&b, "%s %d %s\n", folder, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	}
	return b.String()
}

func sortedNames(m map[string]Checkpoint) []string {
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

var errRotation = errors.New("a statement of rotation of the signing key is damaged or forged")

// openRotation reads a statement. Both keys have signed it.
func openRotation(signed string) (*rotation, error) {
	text, _, ok := strings.Cut(signed, "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) < 5 || lines[0] != rotationHead {
		return nil, errRotation
	}
	key := func(line, word string) (ed25519.PublicKey, bool) {
		t, ok := strings.CutPrefix(line, word+" ")
		b, err := base64.StdEncoding.DecodeString(t)
		return b, ok && err == nil && len(b) == ed25519.PublicKeySize
	}
	r := &rotation{log: lines[1], logs: map[string]Checkpoint{}}
	var ok1, ok2 bool
	r.from, ok1 = key(lines[2], "from")
	r.to, ok2 = key(lines[3], "to")
	at, err := time.Parse(time.RFC3339, strings.TrimPrefix(lines[4], "at "))
	if !ok1 || !ok2 || err != nil || r.log == "" || strings.ContainsAny(r.log, " +") {
		return nil, errRotation
	}
	r.at = at
	for _, l := range lines[5:] {
		f := strings.Split(l, " ")
		if len(f) != 3 {
			return nil, errRotation
		}
		size, err := strconv.ParseUint(f[1], 10, 63)
		root, err2 := base64.StdEncoding.DecodeString(f[2])
		if _, twice := r.logs[f[0]]; twice || err != nil || err2 != nil || len(root) != HashSize {
			return nil, errRotation
		}
		r.logs[f[0]] = Checkpoint{Origin: r.log + "/" + f[0], Size: size, Root: Hash(root)}
	}
	for _, k := range []ed25519.PublicKey{r.from, r.to} {
		v, err := note.NewVerifier(verifierKeyOf(r.log, k))
		if err != nil {
			return nil, errRotation
		}
		n, err := note.Open([]byte(signed), note.VerifierList(v))
		if err != nil || n.Text != r.text() {
			return nil, errRotation
		}
	}
	return r, nil
}

// trust is a verifier key, with the statements that lead from it to the keys before and after.
type trust struct {
	name  string // of the log
	given note.Verifier
	keys  []periodKey // one, if there was no rotation
}

// periodKey is a key with the sizes of the log that it may sign.
type periodKey struct {
	note.Verifier
	from, to uint64
	ends     []Checkpoint // what the log was where it was replaced, and where it replaced another
}

// splitTrust separates the key from the statements.
func splitTrust(text string) (vkey string, statements []byte) {
	vkey, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(vkey), []byte(strings.TrimSpace(rest))
}

// JoinTrust is a verifier key with the statements of another text of a key, where these hold for it.
func JoinTrust(vkey, other string) string {
	own, have := splitTrust(vkey)
	if _, statements := splitTrust(other); len(have) == 0 && len(statements) > 0 {
		joined := own + "\n" + string(statements)
		if t, err := parseTrust(joined); err == nil && len(t.keys) > 1 {
			return joined
		}
	}
	return vkey
}

// Trusts says whether the key of one text is one that the other leads to.
func Trusts(text, other string) bool {
	t, err := parseTrust(text)
	vkey, _ := splitTrust(other)
	v, err2 := note.NewVerifier(vkey)
	return err == nil && err2 == nil && slices.ContainsFunc(t.keys, func(k periodKey) bool { return k.Name() == v.Name() && k.KeyHash() == v.KeyHash() })
}

// lastTrust is the text that was read last: a verification asks for thousands of checkpoints with one.
var lastTrust atomic.Pointer[struct {
	text string
	t    *trust
}]

func parseTrust(text string) (*trust, error) {
	if l := lastTrust.Load(); l != nil && l.text == text {
		return l.t, nil
	}
	t, err := readTrust(text)
	if err == nil {
		lastTrust.Store(&struct {
			text string
			t    *trust
		}{text, t})
	}
	return t, err
}

func readTrust(text string) (*trust, error) {
	vkey, statements := splitTrust(text)
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, errors.New("cannot use the public key: it is not a verifier key (NAME+ID+KEY)")
	}
	t := &trust{name: v.Name(), given: v, keys: []periodKey{{Verifier: v, to: math.MaxUint64}}}
	if len(statements) == 0 {
		return t, nil
	}
	var notes []string
	if json.Unmarshal(statements, &notes) != nil || len(notes) > 1000 {
		return nil, fmt.Errorf("cannot use the public key: %w", errRotation)
	}
	slash := strings.LastIndexByte(t.name, '/')
	log, folder := t.name[:max(slash, 0)], t.name[slash+1:]
	var keys []periodKey
	begins := uint64(0)
	var before *rotation
	add := func(k ed25519.PublicKey, to uint64, ends ...Checkpoint) error {
		v, err := note.NewVerifier(verifierKeyOf(t.name, k))
		keys = append(keys, periodKey{v, begins, to, ends})
		return err
	}
	for _, n := range notes {
		r, err := openRotation(n)
		if err == nil && (r.log != log || before != nil && !bytes.Equal(before.to, r.from)) {
			err = errRotation
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the public key: %w", err)
		}
		c, there := r.logs[folder]
		if !there {
			c = Checkpoint{Root: EmptyRoot}
		}
		if c.Size < begins {
			return nil, fmt.Errorf("cannot use the public key: %w", errRotation)
		}
		var ends []Checkpoint
		if before != nil {
			ends = append(ends, before.logs[folder])
		}
		if err := add(r.from, c.Size, append(ends, c)...); err != nil {
			return nil, err
		}
		begins, before = c.Size, r
	}
	if before != nil {
		if err := add(before.to, math.MaxUint64, before.logs[folder]); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(keys, func(k periodKey) bool { return k.KeyHash() == v.KeyHash() }) {
		t.keys = keys
	}
	return t, nil
}

func (t *trust) list() note.Verifiers {
	all := make([]note.Verifier, len(t.keys))
	for i, k := range t.keys {
		all[i] = k.Verifier
	}
	return note.VerifierList(all...)
}

// may says whether one of the signatures is of a key that was in use for a log of the size.
func (t *trust) may(sigs []note.Signature, c Checkpoint) bool {
	return slices.ContainsFunc(t.keys, func(k periodKey) bool {
		return c.Size >= k.from && c.Size <= k.to && slices.ContainsFunc(sigs, func(s note.Signature) bool { return s.Hash == k.KeyHash() }) &&
			!slices.ContainsFunc(k.ends, func(e Checkpoint) bool { return e.Size == c.Size && e.Size > 0 && e.Root != c.Root })
	})
}

// Trust is the public key of a tenant's log with the statements that lead to the keys before it: what key.pub has.
func (k *Key) Trust(tenant string) string { return k.trust(k.Origin(tenant)) }

func (k *Key) trust(origin string) string {
	s := verifierKeyOf(origin, k.public)
	if len(k.Rotations) > 0 {
		b, _ := json.Marshal(k.Rotations)
		s += "\n" + string(b)
	}
	return s
}

// NextKeyFile is where the key lies that shall replace that of a file.
func NextKeyFile(path string) string { return path + ".next" }

// PrepareRotation puts a new key beside a key's file, or takes the one that is there, for whoever holds the logs to rotate to.
func PrepareRotation(path string) (*Key, error) {
	now, err := LoadKey(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(NextKeyFile(path)); errors.Is(err, fs.ErrNotExist) {
		if now.Seed == "" { // a key that was kept in a module must not become a file unasked
			return nil, fmt.Errorf("cannot rotate the signing key, which is elsewhere: make the next one there, and put where it is into %s (mode 0600)", NextKeyFile(path))
		}
		if err := replaceFile(NextKeyFile(path), newKeyFile(now.Log)); err != nil {
			return nil, fmt.Errorf("cannot write the next signing key: %w", err)
		}
	}
	next, err := LoadKey(NextKeyFile(path))
	if err == nil && next.Log != now.Log {
		err = fmt.Errorf("cannot rotate to %s: it is for logs of another name", NextKeyFile(path))
	}
	return next, err
}

// Rotate replaces the signing key by the one that lies beside it, if there is one, and says whether it did. The sealer is open. The key's file changes at once, with the statement in it;
// then checkpoints are signed anew, each when its log is next opened.
func (s *Sealer) Rotate(path string) (bool, error) {
	if _, err := os.Stat(NextKeyFile(path)); errors.Is(err, fs.ErrNotExist) || s.positions == nil {
		return false, nil
	}
	next, err := PrepareRotation(path)
	if err != nil {
		return false, err
	}
	if bytes.Equal(next.public, s.Key.public) { // done, and cut off before the file went
		return false, os.Remove(NextKeyFile(path))
	}
	r := rotation{log: s.Key.Log, from: s.Key.public, to: next.public, at: s.Now(), logs: map[string]Checkpoint{}}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return false, fmt.Errorf("cannot list the logs: %w", err)
	}
	for _, e := range entries {
		signed, err := os.ReadFile(filepath.Join(s.Dir, e.Name(), "checkpoint"))
		if !e.IsDir() || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("cannot read the last checkpoint: %w", err)
		}
		c, err := OpenCheckpoint(signed, s.Key.trust(s.Key.Log+"/"+e.Name()))
		if err != nil {
			return false, fmt.Errorf("%w: the last checkpoint in %s is not one of this installation's key: %w", ErrRollback, e.Name(), err)
		}
		r.logs[e.Name()] = c
	}
	signed, err := note.Sign(&note.Note{Text: r.text()}, signer{s.Key, r.log}, signer{next, r.log})
	if err != nil {
		return false, fmt.Errorf("cannot sign the rotation: %w", err)
	}
	next.Rotations = append(slices.Clone(s.Key.Rotations), string(signed))
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return false, err
	}
	if err := replaceFile(path, append(b, '\n')); err != nil {
		return false, fmt.Errorf("cannot write the signing key: %w", err)
	}
	s.Key = next
	s.crash("after key")
	for folder, c := range r.logs {
		if err := s.signAgain(filepath.Join(s.Dir, folder), c); err != nil {
			return true, err
		}
	}
	return true, os.Remove(NextKeyFile(path))
}

// RotateStopped is Rotate where nobody holds the logs; where somebody does, it does nothing.
func RotateStopped(dir, path string) (bool, error) {
	key, err := LoadKey(path)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("cannot make the folder of the seal: %w", err)
	}
	s := &Sealer{Dir: dir, Key: key, Now: time.Now, positions: map[string]Position{}}
	if s.takeLock() != nil {
		return false, nil
	}
	defer s.Close()
	return s.Rotate(path)
}

// signAgain signs a log's checkpoint with the key of now, and puts that beside it.
func (s *Sealer) signAgain(dir string, c Checkpoint) error {
	b, err := note.Sign(&note.Note{Text: c.Text()}, signer{s.Key, c.Origin})
	if err != nil {
		return fmt.Errorf("cannot sign a checkpoint: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, "checkpoint"), b); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "key.pub"), []byte(s.Key.trust(c.Origin)+"\n"))
}

// Public is the public key in hex.
func (k *Key) Public() string { return hex.EncodeToString(k.public) }

// Keys and checkpoints: C2SP tlog-checkpoint, a signed note over origin, size and root.

package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// AlgorithmEd25519 is the one algorithm of keys that this program makes.
const AlgorithmEd25519 = "Ed25519"

// Key signs the checkpoints of all logs of an installation.
type Key struct {
	Algorithm string `json:"algorithm"`
	Log       string `json:"log"`  // what the origins of the installation's logs begin with
	Seed      string `json:"seed"` // 32 bytes, hex
	private   ed25519.PrivateKey
}

// LoadKey reads a key file, and makes one, 0600, where there is none. A file that others can read is refused.
func LoadKey(path string) (*Key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var seed, id [32]byte
		rand.Read(seed[:])
		rand.Read(id[:])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the folder of the signing key: %w", err)
		}
		b, _ = json.MarshalIndent(Key{Algorithm: AlgorithmEd25519, Log: "mcpsiem.local/" + hex.EncodeToString(id[:8]), Seed: hex.EncodeToString(seed[:])}, "", "  ")
		if err := replaceFile(path, append(b, '\n')); err != nil {
			return nil, fmt.Errorf("cannot write the signing key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("cannot read the signing key: %w", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use the signing key %s: others can read it; `chmod 600` it, and replace it if they may have", path)
	}
	var k Key
	if json.Unmarshal(b, &k) != nil {
		return nil, fmt.Errorf("cannot use the signing key %s: it is not JSON", path)
	}
	if k.Algorithm != AlgorithmEd25519 {
		return nil, fmt.Errorf("cannot use the signing key %s: its algorithm is not %s", path, AlgorithmEd25519)
	}
	seed, err := hex.DecodeString(k.Seed)
	if err != nil || len(seed) != ed25519.SeedSize || k.Log == "" || strings.ContainsAny(k.Log, " +\n") {
		return nil, fmt.Errorf("cannot use the signing key %s: it is damaged", path)
	}
	k.private = ed25519.NewKeyFromSeed(seed)
	return &k, nil
}

// Origin names the log of a tenant.
func (k *Key) Origin(tenant string) string { return k.Log + "/" + FolderOf(tenant) }

// VerifierKey is the public key of a tenant's log as a note verifier key, `name+id+key`.
func (k *Key) VerifierKey(tenant string) string {
	v, err := note.NewEd25519VerifierKey(k.Origin(tenant), k.private.Public().(ed25519.PublicKey))
	if err != nil {
		panic("BUG: not an Ed25519 key: " + err.Error())
	}
	return v
}

const algEd25519 = 1 // https://c2sp.org/signed-note

func (k *Key) signer(tenant string) (note.Signer, error) {
	name := k.Origin(tenant)
	pub := append([]byte{algEd25519}, k.private.Public().(ed25519.PublicKey)...)
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write(pub)
	id := binary.BigEndian.Uint32(h.Sum(nil))
	return note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, id, base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, k.private.Seed()...))))
}

// Checkpoint says what a log of a size is.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Text is the note's text.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Sign makes the signed note. The same checkpoint makes the same note.
func (k *Key) Sign(tenant string, c Checkpoint) ([]byte, error) {
	s, err := k.signer(tenant)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a checkpoint: %w", err)
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, s)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a checkpoint: %w", err)
	}
	return b, nil
}

// Reasons why a checkpoint is not taken.
var (
	ErrNote      = errors.New("it is not a signed checkpoint")
	ErrSignature = errors.New("no signature of the given key is on it, or a forged one")
)

// OpenCheckpoint checks a signed note with a verifier key and reads it.
func OpenCheckpoint(signed []byte, vkey string) (Checkpoint, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return Checkpoint{}, errors.New("cannot use the public key: it is not a verifier key (NAME+ID+KEY)")
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		var un *note.UnverifiedNoteError
		var inv *note.InvalidSignatureError
		if errors.As(err, &un) || errors.As(err, &inv) {
			return Checkpoint{}, fmt.Errorf("cannot trust a checkpoint: %w", ErrSignature)
		}
		return Checkpoint{}, fmt.Errorf("cannot read a checkpoint: %w", ErrNote)
	}
	c, err := parseCheckpoint([]byte(n.Text))
	if err != nil {
		return c, err
	}
	if c.Origin != v.Name() {
		return c, fmt.Errorf("cannot trust a checkpoint: it is of another log than the key")
	}
	return c, nil
}

// parseCheckpoint reads a note's text, or a signed note without checking it.
func parseCheckpoint(text []byte) (Checkpoint, error) {
	lines := bytes.SplitN(text, []byte("\n"), 4)
	bad := fmt.Errorf("cannot read a checkpoint: %w", ErrNote)
	if len(lines) < 4 || len(lines[0]) == 0 {
		return Checkpoint{}, bad
	}
	size, err := strconv.ParseUint(string(lines[1]), 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != string(lines[1]) {
		return Checkpoint{}, bad
	}
	root, err := base64.StdEncoding.Strict().DecodeString(string(lines[2]))
	if err != nil || len(root) != HashSize {
		return Checkpoint{}, bad
	}
	return Checkpoint{string(lines[0]), size, Hash(root)}, nil
}

// FolderOf is the name of a tenant's folder and the last part of its log's origin: letters, digits, _ and - as they are, else %XX.
func FolderOf(tenant string) string {
	var b strings.Builder
	for i := range len(tenant) {
		c := tenant[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > 200 || b.Len() == 0 {
		sum := sha256.Sum256([]byte(tenant))
		return "%" + hex.EncodeToString(sum[:])
	}
	return b.String()
}

// SignText signs a text that is no checkpoint with a log's key: its second line is no number, so that nobody can take it for one.
func (k *Key) SignText(tenant, text string) ([]byte, error) {
	if _, err := parseCheckpoint([]byte(text)); err == nil {
		return nil, errors.New("BUG: a checkpoint is signed by Sign")
	}
	s, err := k.signer(tenant)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	b, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return b, nil
}

// OpenText checks a signed text with a verifier key and returns it. Exactly one signature is on it.
func OpenText(signed []byte, vkey string) (string, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return "", errors.New("cannot use the public key: it is not a verifier key (NAME+ID+KEY)")
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		return "", ErrSignature
	}
	return n.Text, nil
}

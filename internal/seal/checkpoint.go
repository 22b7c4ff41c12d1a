// Keys and checkpoints: C2SP tlog-checkpoint, a signed note over origin, size and root.

package seal

import (
	"bytes"
	"context"
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

	"github.com/mcpsiem/mcpsiem/internal/keysource"
)

// AlgorithmEd25519 is the one algorithm of keys that this program makes.
const AlgorithmEd25519 = "Ed25519"

// Key signs the checkpoints of all logs of an installation. The private key is in its file, or where the file says (SeedFrom), or stays in a program or module that signs (Sign).
type Key struct {
	Algorithm string            `json:"algorithm"`
	Log       string            `json:"log"`                 // what the origins of the installation's logs begin with
	Seed      string            `json:"seed,omitempty"`      // 32 bytes, hex
	SeedFrom  *keysource.Source `json:"seed_from,omitempty"` // where the seed is
	Signer    *keysource.Source `json:"sign,omitempty"`      // what signs
	PublicKey string            `json:"public,omitempty"`    // 32 bytes, hex; of the key that signs
	Rotations []string          `json:"rotations,omitempty"` // statements that lead from the first key to this one
	public    ed25519.PublicKey
	private   ed25519.PrivateKey // nil where a program signs
}

// LoadKey reads a key file, and makes one, 0600, where there is none. A file that others can read is refused.
func LoadKey(path string) (*Key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the folder of the signing key: %w", err)
		}
		b = newKeyFile("mcpsiem.local/" + randomHex(8))
		if err := replaceFile(path, b); err != nil {
			return nil, fmt.Errorf("cannot write the signing key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("cannot read the signing key: %w", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use the signing key %s: others can read it; `chmod 600` it, and replace it if they may have", path)
	}
	k, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("cannot use the signing key %s: %w", path, err)
	}
	return k, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// newKeyFile is the file of a new key for the logs of a name.
func newKeyFile(log string) []byte {
	b, _ := json.MarshalIndent(Key{Algorithm: AlgorithmEd25519, Log: log, Seed: randomHex(ed25519.SeedSize)}, "", "  ")
	return append(b, '\n')
}

func parseKey(b []byte) (*Key, error) {
	var k Key
	if json.Unmarshal(b, &k) != nil {
		return nil, errors.New("it is not JSON")
	}
	if k.Algorithm != AlgorithmEd25519 {
		return nil, fmt.Errorf("its algorithm is not %s", AlgorithmEd25519)
	}
	if k.Log == "" || strings.ContainsAny(k.Log, " +\n") {
		return nil, errors.New("it is damaged")
	}
	ways := 0
	for _, set := range []bool{k.Seed != "", k.SeedFrom != nil, k.Signer != nil} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("exactly one of seed, seed_from and sign says how to sign")
	}
	if k.Signer != nil {
		if err := k.Signer.Validate(); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		pub, err := hex.DecodeString(k.PublicKey)
		if err != nil || len(pub) != ed25519.PublicKeySize || len(k.Signer.Command) == 0 {
			return nil, errors.New("sign needs a command, and public, the public key: 32 bytes in hex")
		}
		k.public = pub
		return &k, nil
	}
	text := k.Seed
	if k.SeedFrom != nil {
		err := k.SeedFrom.Validate()
		var got []byte
		if err == nil {
			got, err = k.SeedFrom.Get(context.Background())
		}
		if err != nil {
			return nil, fmt.Errorf("seed_from: %w", err)
		}
		text = string(got)
	}
	seed, err := hex.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("its seed is not 32 bytes in hex")
	}
	k.private = ed25519.NewKeyFromSeed(seed)
	k.public = k.private.Public().(ed25519.PublicKey)
	if k.PublicKey != "" && k.PublicKey != hex.EncodeToString(k.public) {
		return nil, errors.New("its seed is not that of its public key")
	}
	return &k, nil
}

// How says where the private key is, for people.
func (k *Key) How() string {
	switch {
	case k.Signer != nil:
		return "signs: " + k.Signer.Kind()
	case k.SeedFrom != nil:
		return k.SeedFrom.Kind()
	}
	return "file"
}

// Origin names the log of a tenant.
func (k *Key) Origin(tenant string) string { return k.Log + "/" + FolderOf(tenant) }

// VerifierKey is the public key of a tenant's log as a note verifier key, `name+id+key`.
func (k *Key) VerifierKey(tenant string) string { return verifierKeyOf(k.Origin(tenant), k.public) }

func verifierKeyOf(name string, public ed25519.PublicKey) string {
	v, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		panic("BUG: not an Ed25519 key: " + err.Error())
	}
	return v
}

const algEd25519 = 1 // https://c2sp.org/signed-note

// signer is a note.Signer of a key under a name.
type signer struct {
	k    *Key
	name string
}

func (s signer) Name() string { return s.name }

func (s signer) KeyHash() uint32 { return keyHash(s.name, s.k.public) }

func keyHash(name string, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{algEd25519})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// Sign signs, and looks at what a program made of it before it is let out.
func (s signer) Sign(msg []byte) ([]byte, error) {
	if s.k.private != nil {
		return ed25519.Sign(s.k.private, msg), nil
	}
	sig, err := s.k.Signer.Sign(context.Background(), msg, ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(s.k.public, msg, sig) {
		return nil, errors.New("what the command signed is not good for the public key in the key file")
	}
	return sig, nil
}

func (k *Key) signer(tenant string) (note.Signer, error) { return signer{k, k.Origin(tenant)}, nil }

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

// OpenCheckpoint checks a signed note with a verifier key, which statements of rotation may follow, and reads it.
func OpenCheckpoint(signed []byte, vkey string) (Checkpoint, error) {
	t, err := parseTrust(vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	n, err := note.Open(signed, t.list())
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
	if c.Origin != t.name {
		return c, fmt.Errorf("cannot trust a checkpoint: it is of another log than the key")
	}
	if !t.may(n.Sigs, c) {
		return c, fmt.Errorf("cannot trust a checkpoint: %w", ErrRetired)
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

// OpenText checks a signed text with a verifier key, which statements of rotation may follow, and returns it. Exactly one signature is on it.
func OpenText(signed []byte, vkey string) (string, error) {
	t, err := parseTrust(vkey)
	if err != nil {
		return "", err
	}
	n, err := note.Open(signed, t.list())
	if err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		return "", ErrSignature
	}
	return n.Text, nil
}

// The streams under another encryption key.
//
// nats-server encrypts each thing that it stores - a stream's settings, a block of messages, a consumer's position - with a random key of its own, and keeps that key in a small file
// beside it, sealed with the server's key. So only these small files have to be written anew. Its own way, an old key beside the new one, loses consumers: it opens streams and blocks
// with either key, but consumers with the new one alone (consumerFileStore.convertCipher, v2.15.2).
//
// The block that a stream was writing to is encrypted anew as well: what comes later is never under a key that the old server key has sealed.

package natsd

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// A change of keys is first written down as a whole in a folder beside the store, and nothing of the store is touched. When that folder is whole and on disk it gets its final name,
// and from then on the change is carried out, if need be by the next start: each step can be done twice. Then the record of the key is replaced, and the folder goes.
const (
	rekeyDraft = "rekey.new" // being written: a start throws it away
	rekeyDir   = "rekey"     // to be carried out: a start does that before anything else
	rekeyList  = "list.json"
)

// rekeyed is what a change of keys consists of. All of it is ciphertext.
type rekeyed struct {
	Check string      `json:"check"` // content of key-check under the new key
	Files []rekeyFile `json:"files"`
}

// rekeyFile is a file of the store and what will be in it: Data, or what the file of that number in the folder holds.
type rekeyFile struct {
	Path  string `json:"path"` // below the server's directory
	Data  []byte `json:"data,omitempty"`
	Block int    `json:"block,omitempty"`
}

// crash is called between the steps of a change of keys; tests end the process there.
var crash = func(point string) {}

// ErrLayout means that the store does not look as this version of nats-server writes it.
var ErrLayout = errors.New("unknown layout of the store")

// Rekey gives a directory that no server works on another key. It takes up what an interrupted one left.
func Rekey(dir, key, next string) error {
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := finishRekey(dir); err != nil {
		return err
	}
	if matches(dir, next) {
		return nil
	}
	if err := checkKey(dir, key); err != nil {
		return err
	}
	return rekey(dir, key, next)
}

// rekey changes the key of a directory. The lock is held, no server runs, and the key is right. After an error the old key is in effect unless the change is decided.
func rekey(dir, key, next string) error {
	if len(next) < MinKey {
		return fmt.Errorf("cannot use the new encryption key: it has %d bytes, at least %d are needed", len(next), MinKey)
	}
	draft := filepath.Join(dir, rekeyDraft)
	if err := os.RemoveAll(draft); err != nil {
		return fmt.Errorf("cannot prepare the change of keys: %w", err)
	}
	if err := os.Mkdir(draft, 0o700); err != nil {
		return fmt.Errorf("cannot prepare the change of keys: %w", err)
	}
	err := plan(dir, draft, key, next)
	if err == nil {
		crash("drafted")
		if err = syncDir(draft); err == nil {
			err = os.Rename(draft, filepath.Join(dir, rekeyDir))
		}
	}
	if err != nil {
		_ = os.RemoveAll(draft)
		return err
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("cannot write to the NATS directory: %w", err)
	}
	crash("decided")
	return finishRekey(dir)
}

// plan writes down what changes.
func plan(dir, draft, key, next string) error {
	change := rekeyed{Check: keyCheck(next)}
	root := filepath.Join(dir, server.JetStreamStoreDir)
	blocks := 0
	err := eachKeyFile(root, func(f keyFile) error {
		sealed, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			return fmt.Errorf("cannot read a key file of the store: %w", err)
		}
		seed, nonce, err := f.open(key, sealed)
		if err != nil {
			return fmt.Errorf("%w: %s does not open with the present key", ErrLayout, f.path)
		}
		path := filepath.Join(server.JetStreamStoreDir, f.path)
		if f.block == "" {
			// The nonce is kept: it is also that of the block, and the key that it is used with is another.
			change.Files = append(change.Files, rekeyFile{Path: path, Data: f.seal(next, seed, nonce)})
			return nil
		}
		plain, err := os.ReadFile(filepath.Join(root, f.block))
		if err != nil {
			return fmt.Errorf("cannot read a block of the store: %w", err)
		}
		newSeed, newNonce := make([]byte, len(seed)), make([]byte, len(nonce))
		for _, b := range [][]byte{newSeed, newNonce} {
			if _, err := rand.Read(b); err != nil {
				return fmt.Errorf("cannot make a key: %w", err)
			}
		}
		xor(plain, seed, nonce)
		xor(plain, newSeed, newNonce) // ciphertext again
		blocks++
		if err := writeSynced(filepath.Join(draft, strconv.Itoa(blocks)), string(plain)); err != nil {
			return err
		}
		change.Files = append(change.Files, rekeyFile{Path: path, Data: f.seal(next, newSeed, newNonce)},
			rekeyFile{Path: filepath.Join(server.JetStreamStoreDir, f.block), Block: blocks})
		crash("drafting")
		return nil
	})
	if err != nil {
		return err
	}
	b, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("cannot write down the change of keys: %w", err)
	}
	return writeSynced(filepath.Join(draft, rekeyList), string(b))
}

// finishRekey carries out a change of keys that was decided, and throws away one that was not. No server runs.
func finishRekey(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, rekeyDraft)); err != nil {
		return fmt.Errorf("cannot write to the NATS directory: %w", err)
	}
	folder := filepath.Join(dir, rekeyDir)
	b, err := os.ReadFile(filepath.Join(folder, rekeyList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the change of keys that was begun: %w", err)
	}
	var change rekeyed
	if json.Unmarshal(b, &change) != nil || change.Check == "" {
		return fmt.Errorf("cannot go on with the change of keys that was begun: %s is damaged; restore %s from a backup", filepath.Join(folder, rekeyList), dir)
	}
	if err := change.carryOut(dir, folder); err != nil {
		return fmt.Errorf("cannot finish the change of keys, which goes on with the next start: %w", err)
	}
	crash("carried out")
	if err := writeSynced(filepath.Join(dir, keyCheckFile), change.Check+"\n"); err != nil {
		return err
	}
	crash("recorded")
	// Once a server has written to the store this must never be carried out again: it loses its name before it is removed.
	if err := errors.Join(os.Rename(folder, filepath.Join(dir, rekeyDraft)), syncDir(dir)); err != nil {
		return fmt.Errorf("cannot finish the change of keys, which goes on with the next start: %w", err)
	}
	crash("closed")
	return os.RemoveAll(filepath.Join(dir, rekeyDraft))
}

// decided says whether a change of keys has to be carried out.
func decided(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, rekeyDir))
	return err == nil
}

func (c *rekeyed) carryOut(dir, folder string) error {
	// A store of a week has tens of thousands of files, and each waits for the disk.
	var wg sync.WaitGroup
	turn := make(chan struct{}, 16)
	problems := make([]error, len(c.Files))
	for i, f := range c.Files {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			problems[i] = f.carryOut(dir, folder, i)
			if i == len(c.Files)/2 {
				crash("carrying out")
			}
		})
	}
	wg.Wait()
	for _, err := range problems {
		if err != nil { // a full disk says the same of each
			return err
		}
	}
	var folders []string
	for _, f := range c.Files {
		folders = append(folders, filepath.Join(dir, filepath.Dir(f.Path)))
	}
	slices.Sort(folders)
	for _, f := range slices.Compact(folders) {
		if err := syncDir(f); err != nil {
			return err
		}
	}
	return nil
}

// carryOut puts the n-th file of a change in place.
func (f rekeyFile) carryOut(dir, folder string, n int) error {
	if !filepath.IsLocal(f.Path) {
		return ErrLayout
	}
	data := f.Data
	if f.Block > 0 {
		var err error
		if data, err = os.ReadFile(filepath.Join(folder, strconv.Itoa(f.Block))); err != nil {
			return err
		}
	}
	// Made in the folder, so that the store never holds a file that nats-server does not know.
	tmp := filepath.Join(folder, "out-"+strconv.Itoa(n))
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, f.Path)) // the caller syncs the folders
}

// keyFile is a file with a sealed key.
type keyFile struct {
	path    string // below the store
	account string
	context string // what the key is for, as nats-server says it
	block   string // path of the block that goes with it, where that is the last of its stream
}

// eachKeyFile calls f for each file with a sealed key, in the order of their names.
func eachKeyFile(root string, f func(keyFile) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == root && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fmt.Errorf("cannot list the store: %w", err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		part := strings.Split(rel, string(filepath.Separator))
		if d.IsDir() {
			// What is half deleted the server removes when it starts.
			if name := d.Name(); path != root && (len(part) == 3 && strings.HasPrefix(name, ".") || len(part) == 4 && name == "__msgs__") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".key" {
			return nil
		}
		k := keyFile{path: rel, account: part[0]}
		switch {
		case len(part) == 4 && part[1] == "streams" && part[3] == "meta.key":
			k.context = part[2]
		case len(part) == 5 && part[1] == "streams" && (part[3] == "msgs" || part[3] == "__new_msgs__"):
			n, err := strconv.ParseUint(strings.TrimSuffix(part[4], ".key"), 10, 32)
			if err != nil {
				return fmt.Errorf("%w: %s", ErrLayout, rel)
			}
			k.context = part[2] + ":" + strconv.FormatUint(n, 10)
			if last, err := lastBlock(filepath.Dir(path)); err != nil {
				return err
			} else if last == n {
				k.block = strings.TrimSuffix(rel, ".key") + ".blk"
			}
		case len(part) == 6 && part[1] == "streams" && part[3] == "obs" && part[5] == "meta.key":
			k.context = part[2] + "." + part[4]
		default:
			return fmt.Errorf("%w: %s", ErrLayout, rel)
		}
		return f(k)
	})
}

// lastBlock is the number of the last block of messages in a folder; 0 where there is none.
func lastBlock(dir string) (last uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("cannot list the blocks of a stream: %w", err)
	}
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), ".blk"); is {
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				last = max(last, n)
			}
		}
	}
	return last, nil
}

// sealer is the cipher that a key file is sealed with: AES-256-GCM with a nonce of 16 bytes, under HMAC-SHA-256 of what the key is for.
func (f keyFile) sealer(key string) (cipher.AEAD, error) {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(f.account))
	m.Write([]byte(f.context))
	b, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithNonceSize(b, aes.BlockSize)
}

func (f keyFile) open(key string, sealed []byte) (seed, nonce []byte, err error) {
	a, err := f.sealer(key)
	if err != nil {
		return nil, nil, err
	}
	if len(sealed) < a.NonceSize() {
		return nil, nil, errors.New("too short")
	}
	nonce = sealed[:a.NonceSize()]
	seed, err = a.Open(nil, nonce, sealed[a.NonceSize():], nil)
	return seed, nonce, err
}

func (f keyFile) seal(key string, seed, nonce []byte) []byte {
	a, err := f.sealer(key)
	if err != nil {
		panic("BUG: AES-256-GCM: " + err.Error())
	}
	return a.Seal(slices.Clone(nonce), nonce, seed, nil)
}

// xor encrypts or decrypts a block: AES-256 in counter mode from its first byte.
func xor(b, seed, nonce []byte) {
	c, err := aes.NewCipher(seed)
	if err != nil {
		panic("BUG: AES-256: " + err.Error())
	}
	cipher.NewCTR(c, nonce).XORKeyStream(b, b)
}

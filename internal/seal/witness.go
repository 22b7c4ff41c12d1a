// Witnesses: others that remember the log and cosign a checkpoint only if it extends what they have seen. https://c2sp.org/tlog-witness and
// https://c2sp.org/tlog-cosignature; Ed25519 cosignatures.

package seal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Reasons for which there is no cosignature.
var (
	ErrWitnessAway    = errors.New("the witness does not answer")
	ErrWitnessRefused = errors.New("the witness refuses")
	ErrWitnessAhead   = errors.New("the witness has seen a longer log than this one: the log was rolled back, or another one is signed with its key")
	ErrWitnessDiffers = errors.New("the witness has seen another history of this log")
	ErrCosignature    = errors.New("no cosignature of the witness is on it, or a forged one")
)

const (
	algCosignature = 4 // https://c2sp.org/tlog-cosignature
	maxWitness     = 64 << 10
)

type witnessKey struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

// parseWitnessKey reads a verifier key NAME+ID+KEY of a cosigner.
func parseWitnessKey(s string) (witnessKey, error) {
	bad := errors.New("cannot use the witness's key: it is not a verifier key (NAME+ID+KEY) of an Ed25519 cosigner")
	name, rest, ok := strings.Cut(strings.TrimSpace(s), "+")
	idText, keyText, ok2 := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(keyText)
	id, err2 := hex.DecodeString(idText)
	if !ok || !ok2 || err != nil || err2 != nil || len(id) != 4 || name == "" || strings.ContainsAny(name, " \n") || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return witnessKey{}, bad
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if !bytes.Equal(sum[:4], id) {
		return witnessKey{}, bad
	}
	return witnessKey{name, binary.BigEndian.Uint32(id), ed25519.PublicKey(key[1:])}, nil
}

// WitnessName is the name of a witness's verifier key, which this also checks.
func WitnessName(vkey string) (string, error) {
	k, err := parseWitnessKey(vkey)
	return k.name, err
}

// CheckCosignature looks among signature lines for a good one of the witness over the text of a signed note, and returns its time.
func CheckCosignature(signed, lines []byte, vkey string) (time.Time, error) {
	_, at, err := findCosignature(signed, lines, vkey)
	return at, err
}

func findCosignature(signed, lines []byte, vkey string) ([]byte, time.Time, error) {
	k, err := parseWitnessKey(vkey)
	if err != nil {
		return nil, time.Time{}, err
	}
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		return nil, time.Time{}, ErrNote
	}
	for line := range bytes.Lines(lines) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "— "+k.name+" ")
		if !ok {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(rest)
		if err != nil || len(b) != 4+8+ed25519.SignatureSize || binary.BigEndian.Uint32(b) != k.id {
			continue
		}
		at := binary.BigEndian.Uint64(b[4:])
		if at < 1<<40 && ed25519.Verify(k.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, text), b[12:]) {
			return line, time.Unix(int64(at), 0).UTC(), nil
		}
	}
	return nil, time.Time{}, ErrCosignature
}

// Cosign gives a witness a checkpoint and returns its cosignature line, checked, and the line's time. old is the size that the witness is thought to have seen last; it
// says if it was another one.
func Cosign(ctx context.Context, client *http.Client, address, vkey string, old uint64, signed []byte, c Checkpoint, tiles *Tiles) ([]byte, time.Time, error) {
	fail := func(err error) ([]byte, time.Time, error) {
		return nil, time.Time{}, fmt.Errorf("cannot get a cosignature: %w", err)
	}
	for range 3 {
		if old > c.Size {
			return fail(ErrWitnessAhead)
		}
		proof, err := tlog.TreeProof{}, error(nil)
		if old > 0 && old < c.Size {
			if proof, err = tlog.ProveTree(int64(c.Size), int64(old), tiles); err != nil {
				return fail(fmt.Errorf("the log does not prove that it extends size %d", old))
			}
		}
		var body bytes.Buffer
		fmt.Fprintf(&body, "old %d\n", old)
		for _, h := range proof {
			fmt.Fprintln(&body, base64.StdEncoding.EncodeToString(h[:]))
		}
		fmt.Fprintf(&body, "\n%s", signed)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(address, "/")+"/add-checkpoint", &body)
		if err != nil {
			return fail(errors.New("the witness's URL is not one"))
		}
		resp, err := client.Do(req)
		if err != nil {
			var u *url.Error
			if errors.As(err, &u) {
				err = u.Err // the URL may hold a secret
			}
			return fail(fmt.Errorf("%w: %w", ErrWitnessAway, err))
		}
		b, err := io.ReadAll(io.LimitReader(bufio.NewReader(resp.Body), maxWitness))
		resp.Body.Close()
		if err != nil {
			return fail(fmt.Errorf("%w: the answer was cut off", ErrWitnessAway))
		}
		switch resp.StatusCode {
		case http.StatusOK:
			line, at, err := findCosignature(signed, b, vkey)
			if err != nil {
				return fail(err)
			}
			return line, at, nil
		case http.StatusConflict:
			size, err := strconv.ParseUint(strings.TrimSuffix(string(b), "\n"), 10, 63)
			if err != nil || size == old {
				return fail(fmt.Errorf("%w: a conflict without a size", ErrWitnessRefused))
			}
			old = size
		case http.StatusUnprocessableEntity:
			return fail(ErrWitnessDiffers)
		case http.StatusNotFound:
			return fail(fmt.Errorf("%w: it does not know this log's origin", ErrWitnessRefused))
		case http.StatusForbidden:
			return fail(fmt.Errorf("%w: it does not know this log's key", ErrWitnessRefused))
		default:
			return fail(fmt.Errorf("%w: HTTP status %d", ErrWitnessRefused, resp.StatusCode))
		}
	}
	return fail(fmt.Errorf("%w: it has another size each time", ErrWitnessRefused))
}

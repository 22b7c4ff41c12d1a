package class

import (
	"bytes"
	"crypto/sha256"
)

// CryptoWallet: base58check addresses of Bitcoin and its like. CryptoKey: private keys in wallet import format.
var (
	CryptoWallet = Class{Name: "crypto_wallet", Tags: PII, Tokens: []TokenRule{}}
	CryptoKey    = Class{Name: "crypto_private_key", Tags: Secret}
)

const digits58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58check decodes b and verifies its four bytes of double SHA-256.
func base58check(b []byte) bool {
	var n [40]byte // big endian
	size := 0
	for _, c := range b {
		d := bytes.IndexByte([]byte(digits58), c)
		if d < 0 {
			return false
		}
		carry := d
		for i := len(n) - 1; i >= len(n)-size || carry > 0; i-- {
			if i < 0 {
				return false
			}
			carry += 58 * int(n[i])
			n[i] = byte(carry)
			carry >>= 8
			if len(n)-i > size {
				size = len(n) - i
			}
		}
	}
	zeros := 0
	for zeros < len(b) && b[zeros] == '1' {
		zeros++
	}
	raw := n[max(0, len(n)-size-zeros):]
	if len(raw) < 21 {
		return false
	}
	h := sha256.Sum256(raw[:len(raw)-4])
	h = sha256.Sum256(h[:])
	return bytes.Equal(h[:4], raw[len(raw)-4:])
}

// wallet asks the tokens that could be base58check.
func (t *Text) wallet(start, end int) (ID, bool) {
	b := t.B[start:end]
	switch {
	case (b[0] == '1' || b[0] == '3') && len(b) >= 26 && len(b) <= 35:
		return idWallet, random(b) && base58check(b)
	case (b[0] == '5' || b[0] == 'K' || b[0] == 'L') && (len(b) == 51 || len(b) == 52):
		return idCryptoKey, base58check(b)
	}
	return None, false
}

func ethereum(t *Text, start, end int) (int, int, bool) {
	to := t.run(start, Base62)
	return start, to, to-end == 40 && all(t.B[end:to], AnyHex) && !dull(t.B[end:to])
}

// bech32 is BIP 173 and BIP 350.
func bech32(t *Text, start, end int) (int, int, bool) {
	to := t.run(start, Base62)
	b := t.B[start:to]
	if len(b) < 14 || len(b) > 74 {
		return 0, 0, false
	}
	const set = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	chk := uint32(1)
	step := func(v byte) {
		top := chk >> 25
		chk = (chk&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	hrp := end - start - 1
	for _, c := range b[:hrp] {
		step(c >> 5)
	}
	step(0)
	for _, c := range b[:hrp] {
		step(c & 31)
	}
	for _, c := range b[hrp+1:] {
		v := bytes.IndexByte([]byte(set), c)
		if v < 0 {
			return 0, 0, false
		}
		step(byte(v))
	}
	return start, to, chk == 1 || chk == 0x2bc830a3
}

package class

import "hash/crc32"

// crcOf writes the CRC-32 of s in six base-62 digits.
func crcOf(s string) string {
	c := crc32.ChecksumIEEE([]byte(s))
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i] = digits62[c%62]
		c /= 62
	}
	return string(b[:])
}

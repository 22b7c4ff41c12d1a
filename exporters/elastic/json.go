// Times in JSON.

package elastic

import (
	"strconv"
	"time"
)

// clock writes times. It remembers the last day, since the times of a batch are near each other.
type clock struct {
	day  int64
	text [11]byte // "2027-01-15T"
}

// append appends ns since 1970 as an RFC 3339 string with nanoseconds. Times before 1970, which date_nanos cannot hold, become 1970.
func (c *clock) append(b []byte, ns int64) []byte {
	ns = max(ns, 0)
	const day = 24 * int64(time.Hour)
	d := ns / day
	if d != c.day || c.text[0] == 0 {
		c.day = d
		copy(c.text[:], time.Unix(0, d*day).UTC().AppendFormat(nil, "2006-01-02T"))
	}
	rest := ns % day
	sec, frac := rest/1e9, rest%1e9
	b = append(append(b, '"'), c.text[:]...)
	b = two(b, sec/3600)
	b = two(append(b, ':'), sec/60%60)
	b = two(append(b, ':'), sec%60)
	dot := len(b)
	b = strconv.AppendInt(b, 1e9+frac, 10) // the leading 1 keeps the zeros and makes room for the dot
	b[dot] = '.'
	return append(b, 'Z', '"')
}

func two(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

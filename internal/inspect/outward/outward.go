// Package outward notes where a call's arguments lead and how something may be carried there, for detectors that see only the redacted
// message later.
package outward

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/mcpsiem/mcpsiem/internal/inspect/siphash"
)

// Signals that Export sets.
const (
	PayloadInURL       = "payload_in_url"
	PayloadInName      = "payload_in_name"
	ArchiveInArguments = "archive_in_arguments"
	EncodedInArguments = "encoded_in_arguments"
	ArgumentEntropy    = "argument_entropy"
)

// Signals lists the names of all of them.
var Signals = []string{PayloadInURL, PayloadInName, ArchiveInArguments, EncodedInArguments, ArgumentEntropy}

// Bounds.
const (
	MaxDestinations = 8
	MaxNames        = 16
	maxURLs         = 32  // looked at in one message
	maxName         = 64  // bytes of a destination's part
	longest         = 256 // bytes looked at as a host
	entropyFrom     = 512
)

// Collector collects one message. Reset before use.
type Collector struct {
	k0, k1       uint64
	mask         func(kind string, value []byte) string
	destinations []string
	mentioned    []string // hosts of mail addresses in running text: destinations where no argument is an address
	addressed    bool     // an argument is one
	names        []uint64
	owner, repo  string
	urls         int
	url, name    float64
	archive      bool
	encoded      bool
	entropy      float64
	arguments    uint64
	buf          []byte
}

// Reset empties the collector. k0 and k1 key the hashes; mask gives what stands for a name that may carry data.
func (c *Collector) Reset(k0, k1 uint64, mask func(kind string, value []byte) string) {
	*c = Collector{k0: k0, k1: k1, mask: mask, destinations: c.destinations[:0], mentioned: c.mentioned[:0], names: c.names[:0], buf: c.buf[:0]}
}

// Argument looks at a string among the arguments of a call; name is that of its member.
func (c *Collector) Argument(name, s []byte) {
	if len(s) == 0 {
		return
	}
	before := len(c.destinations)
	for rest := s; c.urls < maxURLs; {
		i := bytes.Index(rest, []byte("://"))
		if i < 0 {
			break
		}
		c.urls++
		c.link(scheme(rest[:i]), rest[i+3:])
		rest = rest[i+3:]
	}
	spoken := prose(name, s)
	written := len(c.destinations)
	for rest := s; c.urls < maxURLs; {
		i := bytes.IndexByte(rest, '@')
		if i < 0 {
			break
		}
		c.urls++
		if i > 0 && word(rest[i-1]) {
			if d := hostPart(rest[i+1:]); bytes.IndexByte(d, '.') > 0 {
				c.host(d)
			}
		}
		rest = rest[i+1:]
	}
	if spoken {
		for _, d := range c.destinations[written:] {
			if len(c.mentioned) < MaxDestinations && !slices.Contains(c.mentioned, d) {
				c.mentioned = append(c.mentioned, d)
			}
		}
		c.destinations = c.destinations[:written]
	} else {
		defer func(before int) { c.addressed = c.addressed || len(c.destinations) > before }(before)
	}
	if !c.archive && len(s) <= 4096 {
		c.archive = archives(s)
	}
	if len(name) < 3 || len(name) > 24 || len(s) > longest {
		return
	}
	switch low := string(lower(c.buf[:0], name)); low {
	case "url", "uri", "website", "host", "hostname", "domain", "endpoint", "webhook", "webhook_url", "webhookurl", "link", "site":
		if !bytes.Contains(s, []byte("://")) {
			if d := hostPart(s); bytes.IndexByte(d, '.') > 0 || low == "host" || low == "hostname" {
				c.host(d)
			}
		}
	case "owner", "repo_owner", "organization", "org":
		c.owner = string(s)
	case "repo", "repo_name", "repository", "project", "full_name", "repository_name":
		c.repo = string(s)
	case "bucket", "bucket_name", "bucketname":
		c.place("bucket:", "", string(s))
	}
}

// Result looks at a string of a result: the words in it that may name a tool.
func (c *Collector) Result(s []byte) {
	for i := 0; i < len(s); {
		k := bytes.IndexByte(s[i:], '_')
		if k < 0 {
			return
		}
		from, to := i+k, i+k+1
		for from > i && from > i+k-maxName && word(s[from-1]) {
			from--
		}
		for to < len(s) && to-from <= maxName && word(s[to]) {
			to++
		}
		if to-from >= 4 && to-from <= maxName {
			c.Name(s[from:to])
		}
		i = to
	}
}

// Name adds the name of a tool.
func (c *Collector) Name(name []byte) {
	if bytes.IndexByte(name, '_') < 0 || len(name) > maxName {
		return
	}
	c.buf = lower(c.buf[:0], name)
	h := siphash.Hash(c.k1^0x6e616d65, c.k0, c.buf)
	i, found := slices.BinarySearch(c.names, h)
	switch {
	case found || i == MaxNames:
		return
	case len(c.names) == MaxNames:
		c.names = c.names[:MaxNames-1]
	}
	c.names = slices.Insert(c.names, i, h)
}

// Arguments takes all of a call's arguments as they were sent.
func (c *Collector) Arguments(raw []byte) {
	c.arguments = siphash.Hash(c.k0^0x61726773, c.k1, raw)
	if len(raw) < entropyFrom {
		return
	}
	var n [256]int
	for _, b := range raw {
		n[b]++
	}
	c.entropy = entropy(&n, len(raw)) / 8
}

// Encoded notes that the arguments hold text in an encoding.
func (c *Collector) Encoded() { c.encoded = true }

// Fingerprint is the keyed hash of the arguments; 0 if there were none.
func (c *Collector) Fingerprint() uint64 { return c.arguments }

// Names are the hashes of the names seen, in ascending order, valid until the next Reset.
func (c *Collector) Names() []uint64 { return c.names }

// Destinations are where the arguments lead, sorted; nil if nowhere.
func (c *Collector) Destinations() []string {
	if c.repo != "" {
		owner, name, ok := strings.Cut(c.repo, "/")
		if !ok {
			owner, name = c.owner, c.repo
		}
		if owner != "" {
			c.place("repo:", owner, name)
		}
	}
	if !c.addressed {
		for _, d := range c.mentioned {
			c.add(d)
		}
	}
	if len(c.destinations) == 0 {
		return nil
	}
	slices.Sort(c.destinations)
	return slices.Clone(c.destinations)
}

// prose says that an argument is running text, in which a mail address is spoken of rather than written to, by its name and its blanks.
func prose(name, s []byte) bool {
	switch strings.ToLower(string(name[:min(len(name), 24)])) {
	case "to", "cc", "bcc", "recipient", "recipients", "email", "emails", "mail", "address", "addresses", "attendees", "invitees", "guests", "participants", "members", "share_with", "raw", "headers":
		return false
	}
	return bytes.ContainsAny(bytes.TrimSpace(s), " \t\r\n")
}

// Export adds the signals to m, which it makes if there are any and m is nil.
func (c *Collector) Export(m map[string]float64) map[string]float64 {
	set := func(name string, score float64) {
		if score <= 0 {
			return
		}
		if m == nil {
			m = map[string]float64{}
		}
		m[name] = math.Round(score*1000) / 1000
	}
	set(PayloadInURL, c.url)
	set(PayloadInName, c.name)
	set(ArgumentEntropy, c.entropy)
	if c.archive {
		set(ArchiveInArguments, 1)
	}
	if c.encoded {
		set(EncodedInArguments, 1)
	}
	return m
}

// link looks at a URL, of which the scheme was read.
func (c *Collector) link(scheme string, rest []byte) {
	end := bytes.IndexAny(rest, " \t\r\n\"'<>`|\\^{}")
	if end < 0 {
		end = len(rest)
	}
	rest = rest[:end]
	at := bytes.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	authority, tail := rest[:at], rest[at:]
	if i := bytes.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	switch scheme {
	case "s3", "gs", "gcs", "s3a", "abfs", "abfss":
		c.place("bucket:", "", string(hostPart(authority)))
		return
	case "file", "data", "mailto":
		return
	}
	if len(authority) > 0 && authority[0] == '[' {
		if i := bytes.IndexByte(authority, ']'); i > 0 {
			c.host(authority[1:i])
		}
	} else {
		c.host(hostPart(authority))
	}
	switch string(lower(c.buf[:0], authority)) {
	case "github.com", "www.github.com", "gitlab.com", "bitbucket.org", "codeberg.org":
		if p := bytes.SplitN(bytes.TrimPrefix(tail, []byte("/")), []byte("/"), 3); len(p) >= 2 {
			name, _, _ := bytes.Cut(p[1], []byte("?"))
			c.place("repo:", string(p[0]), strings.TrimSuffix(string(name), ".git"))
		}
	}
	c.url = max(c.url, payload(tail))
}

// host adds the registered part of a host name.
func (c *Collector) host(h []byte) {
	h = bytes.TrimRight(h, ".")
	if len(h) < 2 || len(h) > longest {
		return
	}
	if a, err := netip.ParseAddr(string(h)); err == nil {
		if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			c.add("ip:internal")
		} else {
			c.add("ip:" + c.mask("ip", h))
		}
		return
	}
	name := string(lower(c.buf[:0], h))
	letters := false
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'a' && b <= 'z':
			letters = true
		case b >= '0' && b <= '9' || b == '-' || b == '.' || b == '_':
		default:
			return
		}
	}
	if !letters || name[0] == '.' || strings.Contains(name, "..") {
		return
	}
	reg, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		reg = name
	}
	if sub := name[:len(name)-len(reg)]; len(sub) > 0 {
		c.name = max(c.name, random(sub))
	}
	if suspicious(reg) {
		reg = "host:" + c.mask("host", []byte(reg))
	}
	c.add(reg)
}

// place adds a repository or bucket.
func (c *Collector) place(kind, owner, name string) {
	if name == "" {
		return
	}
	out := kind
	for i, p := range []string{owner, name} {
		if p == "" {
			continue
		}
		if i == 1 && owner != "" {
			out += "/"
		}
		for k := range len(p) {
			if b := p[k]; !word(b) && b != '.' && b != '-' {
				return
			}
		}
		if suspicious(p) {
			p = c.mask("name", []byte(p))
		}
		out += strings.ToLower(p)
	}
	c.add(out)
}

func (c *Collector) add(d string) {
	if len(c.destinations) < MaxDestinations && !slices.Contains(c.destinations, d) {
		c.destinations = append(c.destinations, d)
	}
}

// suspicious says that a name may carry data rather than name a place.
func suspicious(name string) bool {
	digits, run, longestRun := 0, 0, 0
	for i := range len(name) {
		switch b := name[i]; {
		case b >= '0' && b <= '9':
			digits++
			run++
		case word(b) && b != '_':
			run++
		default:
			run = 0
		}
		longestRun = max(longestRun, run)
	}
	return digits >= 6 || longestRun >= 16 && digits > 0 || longestRun > 32 || len(name) > maxName
}

// payload says how much a URL's path and query look like something carried.
func payload(tail []byte) (score float64) {
	name := []byte(nil)
	for len(tail) > 0 {
		i := bytes.IndexAny(tail, "/?&=#;")
		piece := tail
		if i >= 0 {
			piece = tail[:i]
		}
		if len(piece) >= 40 && !signed(name) {
			var n [256]int
			odd := 0
			for _, b := range piece {
				n[b]++
				if !word(b) && b != '%' && b != '+' && b != '-' && b != '.' && b != '~' {
					odd++
				}
			}
			h := entropy(&n, len(piece))
			words := bytes.Count(piece, []byte("-")) + bytes.Count(piece, []byte("_")) + bytes.Count(piece, []byte("."))
			hexes := hexOnly(piece)
			switch {
			case words*8 > len(piece): // a title as a path
			case hexes && len(piece) >= 96, !hexes && h >= 4.3 && len(piece) >= 160:
				score = max(score, 0.8)
			case hexes && len(piece) > 64, !hexes && h >= 4.2 && len(piece) >= 64:
				score = max(score, 0.6)
			case !hexes && h >= 4.2:
				score = max(score, 0.4)
			}
		}
		if i < 0 {
			return score
		}
		name = nil
		if tail[i] == '=' {
			name = piece
		}
		tail = tail[i+1:]
	}
	return score
}

// signed says that the parameter holds a signature, a cursor or a token of the protocol, which look random and carry nothing.
func signed(name []byte) bool {
	if len(name) == 0 || len(name) > 40 {
		return false
	}
	var buf [40]byte
	low := string(lower(buf[:0], name))
	for _, p := range []string{"sig", "x-amz-", "x-goog-", "token", "code", "state", "hash", "cursor", "nonce", "challenge", "verifier", "jwt", "key", "policy", "digest", "etag", "checksum", "page"} {
		if strings.Contains(low, p) {
			return true
		}
	}
	return false
}

// random says how much labels before a registered domain look like something carried.
func random(sub string) float64 {
	run, best, total := 0, 0, 0
	var n [256]int
	for i := range len(sub) {
		b := sub[i]
		if b == '.' || b == '-' {
			run = 0
			continue
		}
		run++
		total++
		n[b]++
		best = max(best, run)
	}
	h := entropy(&n, total)
	switch {
	case best >= 40 && h >= 3.3 || total >= 80 && h >= 3.5:
		return 0.9
	case best >= 26 && h >= 3.3 || total >= 56 && h >= 3.7:
		return 0.7
	}
	return 0
}

var (
	archiveEnds     = []string{"zip", "tar", "tgz", "tar.gz", "7z", "rar", "gz", "bz2", "xz", "zst", "tbz2", "dump", "sql.gz", "bak"}
	archiveCommands = [][]byte{[]byte("tar c"), []byte("tar -c"), []byte("tar -zc"), []byte("tar zc"), []byte("tar -jc"), []byte("zip -"), []byte("7z a"), []byte("gzip "), []byte("pg_dump"), []byte("mysqldump"), []byte("mongodump"), []byte("Compress-Archive")}
)

// archives says whether a text names an archive or makes one.
func archives(s []byte) bool {
	for i := 0; i < len(s); {
		k := bytes.IndexByte(s[i:], '.')
		if k < 0 {
			break
		}
		if i += k + 1; i == len(s) {
			break
		}
		switch s[i] | 0x20 { // what the endings begin with
		case 'z', 't', '7', 'r', 'g', 'b', 'x', 'd', 's':
		default:
			continue
		}
		for _, e := range archiveEnds {
			if n := i + len(e); n <= len(s) && strings.EqualFold(string(s[i:n]), e) && (n == len(s) || !word(s[n]) && s[n] != '.') {
				return true
			}
		}
	}
	// One of these is in each of the commands.
	if bytes.IndexByte(s, 'z') < 0 && !bytes.Contains(s, []byte("tar ")) && !bytes.Contains(s, []byte("dump")) && !bytes.Contains(s, []byte("Compress-")) {
		return false
	}
	for _, c := range archiveCommands {
		if i := bytes.Index(s, c); i == 0 || i > 0 && !word(s[i-1]) {
			return true
		}
	}
	return false
}

// hostPart is what s begins with that may be a host name.
func hostPart(s []byte) []byte {
	for i, b := range s {
		if !word(b) && b != '.' && b != '-' {
			return s[:i]
		}
		if i == longest {
			return nil
		}
	}
	return s
}

func scheme(before []byte) string {
	from := len(before)
	for from > 0 && len(before)-from < 12 && (word(before[from-1]) || before[from-1] == '+') {
		from--
	}
	return strings.ToLower(string(before[from:]))
}

func word(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
}

func hexOnly(s []byte) bool {
	for _, b := range s {
		if b-'0' > 9 && (b|0x20)-'a' > 5 {
			return false
		}
	}
	return true
}

func lower(dst, s []byte) []byte {
	for _, b := range s {
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		dst = append(dst, b)
	}
	return dst
}

// entropy is that of n bytes in bits a byte.
func entropy(count *[256]int, n int) (h float64) {
	if n == 0 {
		return 0
	}
	for _, k := range count {
		if k > 0 {
			p := float64(k) / float64(n)
			h -= p * math.Log2(p)
		}
	}
	return h
}

// Short is a keyed sum as it stands for a masked name.
func Short(sum []byte) string { return hex.EncodeToString(sum[:min(len(sum), 6)]) }

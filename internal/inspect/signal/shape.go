// Values that do not fit what their argument's name promises.
package signal

import "bytes"

// promise is what the name of an argument says about its value.
type promise uint8

const (
	nothing promise = iota
	host
	address // a URL
	path
	label // a city, a currency, a name of a branch: short, without operators
	ident // an id or a number
)

// promises by the words of names; the last word that says something decides, as in file_url.
var promises = map[string]promise{
	"host": host, "hostname": host, "domain": host, "ip": host, "fqdn": host, "subdomain": host, "nameserver": host,
	"url": address, "uri": address, "link": address, "href": address, "website": address, "webpage": address, "endpoint": address,
	"path": path, "file": path, "filename": path, "filepath": path, "dir": path, "directory": path, "folder": path, "filenames": path, "paths": path, "files": path, "destination": path,
	"city": label, "country": label, "region": label, "state": label, "location": label, "place": label, "zip": label, "postcode": label, "language": label, "lang": label, "locale": label, "currency": label, "symbol": label, "ticker": label,
	"date": label, "timezone": label, "unit": label, "units": label, "format": label, "branch": label, "ref": label, "tag": label, "version": label, "package": label, "phone": label, "airport": label, "airline": label, "cuisine": label,
	"gender": label, "color": label, "username": label, "repo": label, "repository": label, "owner": label, "env": nothing, "email": label, "platform": label, "encoding": label, "mode": label, "priority": label, "namespace": label, "pod": label, "container": label,
	"image": nothing, "device": label, "interface": label, "service": label, "workspace": label, "bucket": label, "database": label, "table": label, "schema": nothing,
	"id": ident, "uuid": ident, "guid": ident, "count": ident, "limit": ident, "page": ident, "offset": ident, "port": ident, "year": ident, "month": ident, "day": ident, "number": ident, "width": ident, "height": ident, "latitude": ident, "longitude": ident, "lat": ident, "lon": ident, "pid": ident,
}

func promised(name []byte) (p promise) {
	name = name[:min(len(name), 64)]
	start := 0
	word := func(end int) {
		if w := bytes.ToLower(name[start:end]); len(w) > 0 {
			if q, ok := promises[string(w)]; ok {
				p = q
			} else {
				p = nothing
			}
		}
	}
	for i, c := range name {
		switch {
		case c >= 'A' && c <= 'Z' && i > start && name[i-1] >= 'a' && name[i-1] <= 'z':
			word(i)
			start = i
		case c == '_' || c == '-' || c == '.' || c == ' ':
			word(i)
			start = i + 1
		}
	}
	word(len(name))
	return p
}

// maxShaped is the length up to which a value is judged by its argument's name.
const maxShaped = 512

// Misfit scores how little a value fits what the name of its argument promises: a host with blanks, a city with a semicolon, a branch that begins
// like an option. 0 where the name promises nothing. It reads the value once.
func Misfit(name, b []byte) float64 {
	if len(b) == 0 || len(b) > maxShaped {
		return 0
	}
	p := promised(name)
	if p == nothing {
		return 0
	}
	if option(b) {
		return 0.9
	}
	switch p {
	case host:
		return misfitHost(b)
	case address:
		return misfitURL(b)
	case path:
		return misfitPath(b)
	case label:
		return misfitLabel(b)
	}
	if bytes.IndexByte(b, ' ') > 0 && bytes.IndexByte(b, '=') > 0 {
		return 0.7
	}
	if bytes.ContainsAny(b, "`;<>{}$\n\"") || bytes.Contains(b, []byte("' ")) || bytes.HasSuffix(b, []byte("'")) {
		return 0.7
	}
	return 0
}

// option says that b is an option for a program where a value belongs: --upload-pack=..., -oProxyCommand=...
func option(b []byte) bool {
	if len(b) < 3 || b[0] != '-' {
		return false
	}
	if b[1] == '-' {
		return letter(b[2])
	}
	if !letter(b[1]) {
		return false
	}
	return bytes.IndexByte(b, '=') > 2 || bytes.IndexByte(b, ' ') == 2 || bytes.IndexByte(b, '/') == 2
}

// Endpoint says whether the name is that of an address in the metadata of an authorization server or a protected resource (RFC 8414, RFC 9728):
// clients open it in a browser, and some of them through a shell (CVE-2025-6514).
func Endpoint(name []byte) bool {
	switch string(name) {
	case "authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "device_authorization_endpoint", "authorization_servers", "resource_metadata", "jwks_uri", "end_session_endpoint":
		return true
	}
	return false
}

// EndpointMisfit scores how little such an address is one.
func EndpointMisfit(b []byte) float64 {
	t := bytes.ToLower(bytes.TrimSpace(b))
	switch {
	case len(t) == 0 || t[0] == '/':
		return 0
	case !bytes.HasPrefix(t, []byte("https://")) && !bytes.HasPrefix(t, []byte("http://")):
		if bytes.IndexByte(t, ':') < 0 {
			return 0 // a name, not an address
		}
		return 0.95
	case bytes.Contains(t, []byte("$(")), bytes.ContainsAny(t, "`|\\\"'<> \n"):
		return 0.95
	}
	return 0
}

func misfitHost(b []byte) float64 {
	if bytes.HasPrefix(b, []byte("http")) {
		return misfitURL(b)
	}
	t := bytes.Trim(b, " \t\n")
	for i, c := range t {
		switch {
		case c >= 0x80, letter(c), c >= '0' && c <= '9', bytes.IndexByte([]byte(".-_:/[]*%,@"), c) >= 0:
		case c == ' ' && i > 0 && t[i-1] == ',':
		default:
			return 0.75
		}
	}
	return 0
}

func misfitURL(b []byte) float64 {
	t := bytes.TrimSpace(b)
	scheme := bytes.Index(t, []byte("://"))
	if scheme < 0 || scheme > 12 {
		return misfitPath(b) // relative, or only a host
	}
	end := len(t)
	if q := bytes.IndexAny(t, "?#"); q >= 0 {
		end = q
	}
	for i, c := range t[:end] {
		switch c {
		case ' ', '\t', '\n', '\r', '`', '"', '<', '>', '|', '\\', '^':
			return 0.75
		case ';':
			if i+1 == end || t[i+1] == ' ' {
				return 0.75
			}
		case '{', '$':
			if i+1 < end && (t[i+1] == '{' || t[i+1] == '(' || t[i+1] == '$') {
				return 0.75
			}
		case '(':
			if calls(t[:end], i) {
				return 0.75
			}
		}
	}
	if end < len(t) && bytes.ContainsAny(t[end:], "`\n") {
		return 0.7
	}
	tail := bytes.ToLower(t[max(0, len(t)-6):])
	if end == len(t) && (bytes.HasSuffix(tail, []byte("%0a")) || bytes.HasSuffix(tail, []byte("%0d")) || bytes.HasSuffix(tail, []byte("'"))) {
		return 0.7
	}
	return 0
}

func misfitPath(b []byte) float64 {
	quotes := 0
	for i, c := range b {
		switch c {
		case '`', '\n', '\r', '<', '>', '|':
			return 0.75
		case '"':
			return 0.75
		case '\'':
			quotes++
		case '{', '$':
			if i+1 < len(b) && (b[i+1] == '{' || b[i+1] == '(' || c == '{' && (b[i+1] == '$' || b[i+1] == '%')) {
				return 0.75
			}
		case ';':
			if i > 0 && b[i-1] == ')' || i+1 == len(b) || b[i+1] == ' ' {
				return 0.75
			}
		case '(':
			if calls(b, i) {
				return 0.8
			}
		}
	}
	if quotes%2 == 1 && b[len(b)-1] == '\'' {
		return 0.7
	}
	if n := len(b); n > 4 && b[n-2] == '\\' && (b[n-1] == 'n' || b[n-1] == 'r') && bytes.IndexByte(b, '.') > 0 && bytes.IndexByte(b[:n-4], '\\') < 0 {
		return 0.7
	}
	if glued(b) {
		return 0.8
	}
	return 0
}

func misfitLabel(b []byte) float64 {
	for i, c := range b {
		switch c {
		case '\n', '\r':
			if len(bytes.TrimSpace(b[i:])) > 0 {
				return 0.7
			}
		case '`', '|', '<', '>', '\\', '{', '}', '$':
			if c == '|' && len(b) > 40 || c == '<' || c == '>' || c == '\\' || c == '{' || c == '}' {
				continue // a list of choices, an address, a pattern
			}
			return 0.75
		case ';':
			if command(b[i+1:]) || i+1 == len(b) && i > 0 {
				return 0.75
			}
		case '(':
			if calls(b, i) {
				return 0.8
			}
		}
	}
	if n := len(b); n > 1 && (b[n-1] == '&' || b[n-1] == ';') {
		return 0.7
	}
	return 0
}

// calls says that the parenthesis at i is one of a call in a program: eval(' or phpinfo();
func calls(b []byte, i int) bool {
	if i == 0 || !letter(b[i-1]) && b[i-1] != '_' || i+1 >= len(b) {
		return false
	}
	switch b[i+1] {
	case '\'', '"', '$':
		return true
	case ')':
		return i+2 < len(b) && b[i+2] == ';'
	}
	e := bytes.IndexByte(b[i:], ')')
	return e > 0 && i+e+1 < len(b) && b[i+e+1] == ';'
}

// endings are what names of files and hosts end with.
var endings = [][]byte{[]byte("txt"), []byte("png"), []byte("jpg"), []byte("jpeg"), []byte("gif"), []byte("pdf"), []byte("csv"), []byte("json"), []byte("xml"), []byte("html"), []byte("log"), []byte("zip"), []byte("doc"), []byte("xls"), []byte("yaml"), []byte("yml"), []byte("mp3"), []byte("mp4"), []byte("com"), []byte("org"), []byte("net")}

// glued says that b goes on with a command right after its ending: photo.pngwhoami, report.txtcat /etc/hosts.
func glued(b []byte) bool {
	for k := bytes.IndexByte(b, '.'); k >= 0 && k < len(b); {
		rest := b[k+1:]
		for _, e := range endings {
			if len(rest) > len(e)+1 && bytes.EqualFold(rest[:len(e)], e) && letter(rest[len(e)]) && command(rest[len(e):]) {
				return true
			}
		}
		n := bytes.IndexByte(rest, '.')
		if n < 0 {
			return false
		}
		k += 1 + n
	}
	return false
}

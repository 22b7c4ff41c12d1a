package class

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// Generic: the value of a setting whose name says that it is secret, in source code, configuration, headers, queries and prose.
var Generic = Class{Name: "secret", Tags: Secret}

type strength uint8

const (
	password strength = iota // people choose them: any value that is not a word of the grammar
	key                      // machines make them: the value must look it
	longKey                  // names of this kind are used for much else: the value must be long as well
)

// settingWord is a part of a name that makes a setting secret.
type settingWord struct {
	text string
	kind strength
}

var settingWords = []settingWord{
	{"password", password}, {"passwd", password}, {"passphrase", password}, {"passwort", password}, {"contraseña", password}, {"mot de passe", password}, {"pwd", password},
	{"_pass", password}, {"pass=", password}, {"pass:", password}, {"-pass", password}, {"secret", key}, {"token", key}, {"apikey", key}, {"api_key", key}, {"api-key", key}, {"api key", key}, {"api.key", key},
	{"access_key", key}, {"accesskey", key}, {"access-key", key}, {"private_key", key}, {"privatekey", key}, {"private-key", key}, {"auth_key", key}, {"authkey", key},
	{"encryption_key", key}, {"encryptionkey", key}, {"signing_key", key}, {"signingkey", key}, {"license_key", key}, {"licensekey", key}, {"account_key", key}, {"accountkey", key},
	{"sharedaccesskey", key}, {"presharedkey", key}, {"credential", key}, {"client_key", key}, {"session_key", key}, {"unseal key", key}, {"master_key", key}, {"masterkey", key},
	{"bearer_", key}, {"webhook_url", key}, {"sonar.login", key}, {"sonarlogin", key}, {"_key", longKey}, {".key", longKey}, {"apisecret", key}, {"passcode", password}, {"crumb", longKey}, {"authorization", key},
}

// setting takes the value of the setting in whose name the word start..end is.
func (t *Text) setting(w *settingWord, start, end int) (int, int, bool) {
	b := t.B
	i := end
	named := w.text[len(w.text)-1] == '=' || w.text[len(w.text)-1] == ':'
	if named {
		i--
	}
	// the rest of the name
	for i < len(b) && i-end < 24 && chars[b[i]]&(Word|cDash) != 0 {
		i++
	}
	if i == len(b) || chars[b[i]]&(Word|cDash) != 0 || !named && harmlessSuffix(b[end:i]) {
		return 0, 0, false
	}
	// what closes the name
	quotedName := false
	for n := 0; i < len(b) && n < 4; n++ {
		switch b[i] {
		case '"', '\'', '`', '\\':
			quotedName = true
		case ']', ')', '*':
		default:
			n = 4
			continue
		}
		i++
	}
	gap := i
	for i < len(b) && i-gap < 12 && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i >= len(b) {
		return 0, 0, false
	}
	const (
		byEquals = iota
		byColon
		byQuote // name "value", name, "value"
		byWord  // name is "value"
		bySpace // --name value
	)
	sep := -1
	rest := b[i:]
	switch {
	case hasPrefix(rest, "=>"), hasPrefix(rest, ":="), hasPrefix(rest, "=="), hasPrefix(rest, "!="):
		sep = byEquals
		i += 2
		if i < len(b) && b[i] == '=' {
			i++
		}
	case rest[0] == '=':
		sep = byEquals
		i++
	case rest[0] == ':':
		sep = byColon
		i++
	case rest[0] == ',' && quotedName:
		sep = byQuote
		i++
	case rest[0] == '>' && start > 0:
		sep = byEquals
		i++
	case hasPrefix(rest, "value=") || hasPrefix(rest, "value ="):
		sep = byQuote
		i += 6
		for i < len(b) && (b[i] == ' ' || b[i] == '=') {
			i++
		}
	case hasPrefix(rest, "is ") || hasPrefix(rest, "is: "):
		sep = byWord
		i += 3
	case hasPrefix(rest, "for "):
		if sep = byWord; !t.skipFor(&i) {
			return 0, 0, false
		}
	case (rest[0] == '"' || rest[0] == '\'') && i > gap:
		sep = byQuote
	case i > gap && isFlag(b, start):
		sep = bySpace
	case i > gap && hasPrefix(b[max(0, start-40):start], "") && w.kind == password && bytes.Contains(b[max(0, start-48):start], []byte("login ")):
		sep = bySpace // netrc
	default:
		if digitsThenColon(rest) { // Unseal Key 2: ...
			i += bytes.IndexByte(rest, ':') + 1
			sep = byColon
		} else {
			return 0, 0, false
		}
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	// an opening quote, perhaps escaped or the second of two
	quote := byte(0)
	escaped := false
	for n := 0; n < 3 && i < len(b); n++ {
		switch b[i] {
		case '"', '\'', '`':
			quote = b[i]
		case '\\':
			escaped = true
		case '(', '[', 'b':
			if b[i] == 'b' && (i+1 >= len(b) || b[i+1] != '"' && b[i+1] != '\'') {
				n = 3
				continue
			}
		default:
			n = 3
			continue
		}
		i++
	}
	from := i
	to := from
	if quote != 0 {
		set := ^(cDouble | cLine)
		switch quote {
		case '\'':
			set = ^(cSingle | cLine)
		case '`':
			set = ^(cTick | cLine)
		}
		if to < len(b) {
			to = t.run(from, set)
		}
		if escaped {
			if k := bytes.IndexByte(b[from:min(to, from+1024)], '\\'); k >= 0 {
				to = from + k
			}
		}
		if to == len(b) || b[to] == '\n' {
			for to > from && isSpace(b[to-1]) {
				to--
			}
		}
	} else {
		if sep == byQuote || sep == byWord {
			return 0, 0, false
		}
		if to < len(b) {
			to = t.run(from, value)
		}
		for to > from && (b[to-1] == '.' || b[to-1] == ',' || b[to-1] == ':') {
			to--
		}
	}
	if to-from > 1000 || !t.tries.another(to) {
		return 0, 0, false
	}
	v := b[from:to]
	if !plausible(v, w.kind, quote != 0, sep == byColon || sep == bySpace, sep == byWord) {
		return 0, 0, false
	}
	return from, to, true
}

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// skipFor passes over "for user 'x' is", leaving i at the value.
func (t *Text) skipFor(i *int) bool {
	b := t.B[*i:min(len(t.B), *i+80)]
	k := bytes.Index(b, []byte(" is "))
	if k < 0 || bytes.IndexByte(b[:k], '\n') >= 0 {
		return false
	}
	*i += k + 4
	return true
}

func isFlag(b []byte, start int) bool {
	i := start
	for i > 0 && start-i < 32 && chars[b[i-1]]&(Word|cDash) != 0 {
		i--
	}
	return i < len(b) && b[i] == '-' && (i == 0 || isSpace(b[i-1]))
}

func digitsThenColon(b []byte) bool {
	i := 0
	for i < len(b) && i < 3 && isDigit(b[i]) {
		i++
	}
	return i > 0 && i < len(b) && b[i] == ':'
}

// suffixes that make a name one of something about the secret, not of the secret.
var suffixes = [][]byte{[]byte("s"), []byte("count"), []byte("limit"), []byte("length"), []byte("len"), []byte("size"), []byte("type"), []byte("name"), []byte("url"), []byte("uri"), []byte("path"), []byte("file"),
	[]byte("expires"), []byte("expiry"), []byte("expiration"), []byte("ttl"), []byte("field"), []byte("label"), []byte("hint"), []byte("policy"), []byte("reset"), []byte("required"), []byte("usage"),
	[]byte("budget"), []byte("price"), []byte("used"), []byte("endpoint"), []byte("address"), []byte("symbol"), []byte("ized"), []byte("izer"), []byte("ize"), []byte("ary"), []byte("arn"), []byte("contract"), []byte("at"), []byte("in"),
	[]byte("protected"), []byte("version"), []byte("format"), []byte("header"), []byte("prefix"), []byte("provider"), []byte("env"), []byte("var"), []byte("less"), []byte("board"), []byte("word"), []byte("stone"), []byte("frame"), []byte("points")}

func harmlessSuffix(s []byte) bool {
	for len(s) > 0 && (s[0] == '_' || s[0] == '-') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == '_' || s[len(s)-1] == '-') {
		s = s[:len(s)-1]
	}
	if len(s) == 0 {
		return false
	}
	if k := bytes.LastIndexAny(s, "_-"); k >= 0 {
		s = s[k+1:]
	}
	for _, x := range suffixes {
		if bytes.EqualFold(s, x) {
			return true
		}
	}
	return false
}

// notValues are what stands in place of a value.
var notValues = [][]byte{[]byte("null"), []byte("none"), []byte("nil"), []byte("true"), []byte("false"), []byte("undefined"), []byte("string"), []byte("required"), []byte("optional"), []byte("str"), []byte("password"),
	[]byte("secret"), []byte("token"), []byte("value"), []byte("text"), []byte("number"), []byte("object"), []byte("array"), []byte("boolean"), []byte("redacted"), []byte("hidden"), []byte("masked"), []byte("default"), []byte("empty"), []byte("not-set"), []byte("unset"), []byte("int"), []byte("bool")}

// placeholders are found inside what stands for a value.
var placeholders = [][]byte{[]byte("xxxx"), []byte("****"), []byte("..."), []byte("<"), []byte("${"), []byte("{{"), []byte("$("), []byte("getenv"), []byte("process.env"), []byte("environ"), []byte("secrets.")}

// examples are words of values in documentation. They stand in real values too, by chance or because somebody put them there: where the rest is
// random by itself, it is a value (AWS's wJalr…EXAMPLEKEY is one).
var examples = [][]byte{[]byte("your"), []byte("example"), []byte("placeholder"), []byte("insert"), []byte("replace"), []byte("my_"), []byte("my-"), []byte("sample"), []byte("dummy"), []byte("changeme"), []byte("change_me"), []byte("change-me"), []byte("changethis")}

// minRest is how long the rest beside such a word must be, bytes.
const minRest = 16

func variable(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	if v[0] == '$' && len(v) > 1 && (v[1] == '{' || v[1] == '(' || isLetter(v[1]) && all(v[1:], Word)) || v[0] == '%' && v[len(v)-1] == '%' || v[0] == '{' || v[0] == '<' {
		return true
	}
	for _, n := range notValues {
		if bytes.EqualFold(v, n) {
			return true
		}
	}
	if len(v) > 256 {
		v = v[:256]
	}
	var low [256]byte
	n := copy(low[:], v)
	for i, c := range low[:n] {
		if isUpper(c) {
			low[i] = c + 32
		}
	}
	for _, p := range placeholders {
		if bytes.Contains(low[:n], p) {
			return true
		}
	}
	for _, p := range examples {
		if i := bytes.Index(low[:n], p); i >= 0 {
			rest := v[:i]
			if after := v[i+len(p):]; len(after) > len(rest) {
				rest = after
			}
			return !coincident(rest)
		}
	}
	return false
}

// coincident says that what stands beside a word of documentation is random by itself: of all kinds of characters, or rich in digits.
func coincident(rest []byte) bool {
	if len(rest) < minRest || !random(rest) {
		return false
	}
	digits := 0
	for _, c := range rest {
		if isDigit(c) {
			digits++
		}
	}
	h := has(rest)
	return digits > 0 && h&cLower != 0 && h&cUpper != 0 || 5*digits >= len(rest)
}

func plausible(v []byte, kind strength, quoted, loose, prose bool) bool {
	if len(v) < 4 || kind == password && len(v) > 200 || v[0] == '?' || variable(v) {
		return false
	}
	h := has(v)
	if kind == password {
		if bytes.Contains(v, []byte("://")) {
			return false
		}
		switch {
		case len(v) < 4 || len(v) > 200 || same(v):
			return false
		case prose:
			return quoted && len(v) <= 40 && bytes.IndexByte(v, ' ') < 0
		case quoted:
			return bytes.Count(v, []byte(" ")) <= 3 && (len(v) > 4 || h&(cDigit|cUpper) != 0)
		case loose:
			return len(v) >= 6 && (h&cDigit != 0 && h&cLetter != 0 || h&(cBang|cAt|cDollar) != 0) && !call(v)
		default:
			return len(v) >= 5 && !call(v)
		}
	}
	if len(v) < 8 || kind == longKey && len(v) < 16 || bytes.IndexByte(v, ' ') >= 0 || call(v) {
		return false
	}
	if prose && !quoted {
		return false
	}
	if path(v) {
		return false
	}
	if random(v) {
		return true
	}
	// chosen by people: words with a sign or digit among them
	return quoted && len(v) >= 10 && h&^(Word|cDot|cSlash|cColon|cDash) != 0 || len(v) >= 32 && all(v, Hex) && !dull(v)
}

// call says that v is an expression, not a value.
func call(v []byte) bool {
	if bytes.IndexByte(v, '(') >= 0 && bytes.IndexByte(v, ')') > 0 || v[len(v)-1] == '(' {
		return true
	}
	if bytes.Contains(v, []byte("->")) || bytes.Contains(v, []byte("::")) || bytes.Contains(v, []byte("[")) {
		return true
	}
	// a.b.c of letters only
	return bytes.IndexByte(v, '.') > 0 && has(v)&^(cLetter|cDot|cUnder) == 0
}

// path says that v is a file, a URL or a name in dotted or dashed words without digits.
func path(v []byte) bool {
	if bytes.Contains(v, []byte("://")) || v[0] == '/' || v[0] == '.' || v[0] == '~' {
		return true
	}
	return has(v)&^(cLower|cDash|cUnder|cDot|cSlash) == 0
}

func decode64(dst, src []byte) (int, bool) {
	src = bytes.TrimRight(src, "=")
	n, err := base64.RawStdEncoding.Decode(dst, src)
	return n, err != nil
}

func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' && !isSpace(c) || c == 0x7f {
			return false
		}
	}
	return true
}

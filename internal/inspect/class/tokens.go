package class

import "bytes"

// Credentials with a structure of their own.
var (
	// JWT: RFC 7519 in compact form: a base64url header that is JSON, then payload and signature (or five parts, RFC 7516).
	JWT = Class{Name: "jwt", Tags: Secret, Literals: []Literal{{Text: "eyJ", WordOnly: true, Match: jwt}}}

	// PrivateKey: PEM (RFC 7468) of any kind of private key, to its end line or as far as it goes.
	PrivateKey = Class{Name: "private_key", Tags: Secret, Literals: []Literal{{Text: "-----BEGIN", Match: pem}, {Text: "PuTTY-User-Key-File-", Match: putty}}}

	// URLCredentials: the user information of a URL (RFC 3986 section 3.2.1) that holds a password or a token.
	URLCredentials = Class{Name: "url_credentials", Tags: Secret, Literals: []Literal{{Text: "://", Match: userinfo}}}

	// Authorization: the credentials of an HTTP authorization header (RFC 9110 section 11) or cookie (RFC 6265).
	Authorization = Class{Name: "authorization", Tags: Secret, Literals: []Literal{
		{Text: "bearer ", AnyCase: true, WordOnly: true, Match: bearer}, {Text: "basic ", AnyCase: true, WordOnly: true, Match: basic},
		{Text: "bearer:", AnyCase: true, WordOnly: true, Match: bearer}},
		Keys: []string{"authorization", "proxy_authorization", "www_authorization", "auth_header"}}
	Cookie = Class{Name: "cookie", Tags: Secret, Literals: []Literal{{Text: "cookie:", AnyCase: true, Match: cookie}, {Text: "sessionid=", AnyCase: true, WordOnly: true, Match: pair},
		{Text: "session_id=", AnyCase: true, WordOnly: true, Match: pair}, {Text: "phpsessid=", AnyCase: true, WordOnly: true, Match: pair}, {Text: "jsessionid=", AnyCase: true, Match: pair},
		{Text: "connect.sid=", AnyCase: true, Match: pair}},
		Keys: []string{"cookie", "cookies", "set_cookie", "session_cookie"}}

	// Telegram's bot tokens, Azure's keys and others whose literal is not at their beginning.
	Telegram  = Class{Name: "telegram_token", Tags: Secret, Literals: []Literal{{Text: ":AA", Match: telegram}}}
	OpenAIOld = Class{Name: "openai_legacy_key", Tags: Secret, Literals: []Literal{{Text: "T3BlbkFJ", Match: around(URLSafe, 40, 200)}}}
	Azure     = Class{Name: "azure_key", Tags: Secret, Literals: []Literal{{Text: "JQQJ99", Match: around(Base62, 84, 84)}, {Text: "+ASt", Match: around(Base64, 88, 88)}, {Text: "Q~", Match: azureSecret},
		{Text: "AzCa", Match: around(Base64, 43, 88)}, {Text: "AzSe", Match: around(Base64, 43, 88)}}}
	Terraform = Class{Name: "terraform_token", Tags: Secret, Literals: []Literal{{Text: ".atlasv1.", Match: around(Dotted, 80, 95)}}}
	Mailchimp = Class{Name: "mailchimp_key", Tags: Secret, Literals: []Literal{{Text: "-us", Match: mailchimp}}}
	NewRelicL = Class{Name: "newrelic_license", Tags: Secret, Literals: []Literal{{Text: "NRAL", Match: around(Base62, 40, 40)}}}
	Command   = Class{Name: "command_password", Tags: Secret, Literals: []Literal{{Text: "psexec", AnyCase: true, Match: flagP}, {Text: "sshpass", AnyCase: true, Match: flagP}, {Text: "mysql ", AnyCase: true, Match: mysqlP}}}
	CloudSAS  = Class{Name: "signed_url", Tags: Secret, Literals: []Literal{{Text: "X-Amz-Signature=", AnyCase: true, Match: pair}, {Text: "X-Amz-Security-Token=", AnyCase: true, Match: pair},
		{Text: "X-Goog-Signature=", AnyCase: true, Match: pair}, {Text: "&sig=", AnyCase: true, Match: pair}, {Text: "?sig=", AnyCase: true, Match: pair}}}
)

func jwt(t *Text, start, end int) (int, int, bool) {
	to := t.run(end, DotEq)
	b := t.B[start:to]
	dot := bytes.IndexByte(b[:min(len(b), 2048)], '.')
	if dot < 10 || !decodesTo(b, "{\"") || to-start < 24 {
		return 0, 0, false
	}
	rest := b[dot+1:]
	if !bytes.HasPrefix(rest, []byte("eyJ")) && len(rest) < 40 { // a payload is JSON too, unless it is encrypted
		return 0, 0, false
	}
	for to > start && t.B[to-1] == '.' {
		to--
	}
	return start, to, true
}

func pem(t *Text, start, end int) (int, int, bool) {
	head := t.B[end:min(len(t.B), end+60)]
	i := bytes.Index(head, []byte("-----"))
	if i < 0 || !bytes.Contains(head[:i], []byte("PRIVATE KEY")) {
		return 0, 0, false
	}
	from := end + i + 5
	if e := t.until(from, "-----END", 0); e >= 0 {
		k := bytes.Index(t.B[e+8:min(len(t.B), e+68)], []byte("-----"))
		if k >= 0 {
			return start, e + 8 + k + 5, true
		}
		return start, e + 8, true
	}
	// cut off: as far as it looks like a key
	return start, t.run(max(from-1, 0), Base64|cSpace|cLine|cDash|cColon), true
}

func putty(t *Text, start, end int) (int, int, bool) {
	if e := t.until(end, "Private-MAC:", 1); e >= 0 {
		return start, t.run(e, AnyHex|cColon|cSpace|cLine|cDash|cLetter), true
	}
	return start, len(t.B), true
}

func userinfo(t *Text, start, end int) (int, int, bool) {
	b := t.B
	if start == 0 || !isWord(b[start-1]) {
		return 0, 0, false
	}
	colon, to := -1, end
	for ; to < len(b) && to-end < 512; to++ {
		switch c := b[to]; {
		case c == '@':
			if colon < 0 {
				if to-end >= 16 && random(b[end:to]) {
					return end, to, true
				}
				return 0, 0, false
			}
			pass := b[colon+1 : to]
			if len(pass) == 0 || string(pass) != "secret" && variable(pass) {
				return 0, 0, false
			}
			// an @ in the password: the last one before the host's end counts
			for k := to + 1; k < len(b) && k-to < 128; k++ {
				if b[k] == '@' {
					to = k
				} else if isSpace(b[k]) || b[k] == '/' || b[k] == '"' || b[k] == '\'' || b[k] == '?' || b[k] == ',' {
					break
				}
			}
			return end, to, true
		case c == ':':
			if colon < 0 {
				colon = to
			}
		case c == '/' || c == '?' || c == '#':
			if colon < 0 || c != '/' {
				return 0, 0, false
			}
			return 0, 0, false
		case isSpace(c) || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\' || c == '`' || c == ')':
			return 0, 0, false
		}
	}
	return 0, 0, false
}

func bearer(t *Text, start, end int) (int, int, bool) {
	for end < len(t.B) && (t.B[end] == ' ' || t.B[end] == '"' || t.B[end] == '\'') {
		end++
	}
	if end >= len(t.B) {
		return 0, 0, false
	}
	to := t.run(end, Opaque)
	for to > end && t.B[to-1] == '.' {
		to--
	}
	v := t.B[end:to]
	if len(v) < 12 || has(v)&cDigit == 0 && entropy(v) < 4 || variable(v) || dull(v) {
		return 0, 0, false
	}
	return end, to, true
}

func basic(t *Text, start, end int) (int, int, bool) {
	for end < len(t.B) && t.B[end] == ' ' {
		end++
	}
	if end >= len(t.B) {
		return 0, 0, false
	}
	to := t.run(end, Base64)
	v := t.B[end:to]
	if len(v) < 8 || len(v) > 1024 {
		return 0, 0, false
	}
	var out [768]byte
	n, err := decode64(out[:], v)
	if err || !bytes.Contains(out[:n], []byte(":")) || !printable(out[:n]) {
		return 0, 0, false
	}
	return end, to, true
}

func cookie(t *Text, start, end int) (int, int, bool) {
	for end < len(t.B) && t.B[end] == ' ' {
		end++
	}
	to := end
	for to < len(t.B) && t.B[to] != '\n' && t.B[to] != '\r' && t.B[to] != '"' && t.B[to] != '\'' && to-end < 4096 {
		to++
	}
	if bytes.IndexByte(t.B[end:to], '=') < 0 {
		return 0, 0, false
	}
	return end, to, true
}

// pair takes the value of name=value.
func pair(t *Text, start, end int) (int, int, bool) {
	if end >= len(t.B) {
		return 0, 0, false
	}
	to := t.run(end, Opaque|cPercent|cColon)
	if to-end < 8 || variable(t.B[end:to]) {
		return 0, 0, false
	}
	return end, to, true
}

func telegram(t *Text, start, end int) (int, int, bool) {
	from := start
	for from > 0 && start-from < 11 && isDigit(t.B[from-1]) {
		from--
	}
	to := t.run(start+1, URLSafe)
	if n := start - from; n < 8 || n > 10 || from > 0 && isWord(t.B[from-1]) && !bytes.HasSuffix(t.B[:from], []byte("bot")) {
		return 0, 0, false
	}
	if n := to - start - 1; n < 34 || n > 36 {
		return 0, 0, false
	}
	return from, to, true
}

// around matches a literal inside a run of set between min and max bytes.
func around(set Charset, lo, hi int) func(t *Text, start, end int) (int, int, bool) {
	return func(t *Text, start, end int) (int, int, bool) {
		from := start
		for from > 0 && start-from < hi && chars[t.B[from-1]]&set != 0 {
			from--
		}
		to := t.run(start, set)
		if n := to - from; n < lo || n > hi || dull(t.B[from:to]) {
			return 0, 0, false
		}
		return from, to, true
	}
}

func azureSecret(t *Text, start, end int) (int, int, bool) {
	from := start
	const set = Dotted | cTilde
	for from > 0 && start-from < 5 && chars[t.B[from-1]]&set != 0 {
		from--
	}
	to := t.run(start, set)
	if start-from != 4 || !isDigit(t.B[start-1]) || to-end < 31 || to-end > 34 {
		return 0, 0, false
	}
	return from, to, true
}

func mailchimp(t *Text, start, end int) (int, int, bool) {
	from := start
	for from > 0 && start-from < 33 && chars[t.B[from-1]]&Hex != 0 {
		from--
	}
	to := end
	for to < len(t.B) && to-end < 3 && isDigit(t.B[to]) {
		to++
	}
	return from, to, start-from == 32 && to > end && !dull(t.B[from:start])
}

// flagP takes the value of -p or -P in what follows a command.
func flagP(t *Text, start, end int) (int, int, bool) {
	b := t.B[end:min(len(t.B), end+160)]
	i := bytes.Index(b, []byte(" -p"))
	if i < 0 {
		return 0, 0, false
	}
	i += 3
	for i < len(b) && (b[i] == ' ' || b[i] == '"' || b[i] == '\'') {
		i++
	}
	k := i
	for k < len(b) && !isSpace(b[k]) && b[k] != '"' && b[k] != '\'' {
		k++
	}
	if k-i < 3 || bytes.IndexByte(b[:i], '\n') >= 0 {
		return 0, 0, false
	}
	return end + i, end + k, true
}

func mysqlP(t *Text, start, end int) (int, int, bool) {
	b := t.B[end:min(len(t.B), end+160)]
	i := bytes.Index(b, []byte(" -p"))
	if i < 0 || i+3 >= len(b) || isSpace(b[i+3]) {
		return 0, 0, false
	}
	return flagP(t, start, end)
}

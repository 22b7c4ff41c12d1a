package class

import "strings"

// Key is what the name of a member says about its value.
type Key struct {
	Words  uint64 // context bits, as if the words stood in the text
	Whole  ID     // class of a scalar value as a whole, or None
	Always bool   // everything below is secret, whatever it looks like
	Env    bool   // names an environment: values of an object below are secret
	Label  bool   // its value names the sibling called value
}

// alwaysKeys are the names whose values are never kept, whatever they look like.
var alwaysKeys = map[string]bool{"request_state": true, "authorization": true, "proxy_authorization": true, "cookie": true, "cookies": true, "set_cookie": true, "mcp_session_id": true, "session_id": true, "sessionid": true,
	"password": true, "passwd": true, "passphrase": true, "pwd": true, "secret": true, "client_secret": true, "api_key": true, "apikey": true, "x_api_key": true, "access_token": true, "refresh_token": true, "id_token": true,
	"auth_token": true, "private_key": true, "secret_key": true, "secret_access_key": true, "credentials": true, "bearer_token": true, "security_token": true, "session_token": true, "api_token": true, "api_secret": true, "otp": true,
	"one_time_password": true, "mfa_code": true, "totp": true, "pin_code": true, "passcode": true, "access_key": true, "encryption_key": true, "signing_key": true, "connection_string": true, "signing_secret": true, "webhook_secret": true,
	"master_key": true, "account_key": true, "shared_access_key": true, "mnemonic": true, "seed_phrase": true, "recovery_phrase": true, "recovery_codes": true, "auth": false, "passport_mrz": true, "passwort": true, "contrasena": true, "senha": true}

// alwaysEnds are last words that make any name such a one.
var alwaysEnds = []string{"password", "passwd", "passphrase", "pwd", "secret", "apikey", "api_key", "private_key", "secret_key", "access_key", "access_token", "refresh_token", "auth_token", "client_secret", "api_token", "session_token",
	"bearer_token", "credentials", "encryption_key", "signing_key", "connection_string", "api_secret", "bot_token", "session_cookie"}

// KeyOf classifies the name of a member.
func (s *Scanner) KeyOf(name []byte) Key {
	k := Key{Whole: None}
	if len(name) > 64 || len(name) == 0 {
		return k
	}
	n := snake(name)
	k.Always = alwaysKeys[n]
	if !k.Always {
		for _, e := range alwaysEnds {
			if strings.HasSuffix(n, "_"+e) {
				k.Always = true
				break
			}
		}
	}
	if id, ok := s.keys[n]; ok {
		k.Whole = id
	} else if i := strings.IndexByte(n, '_'); i > 0 {
		// patient_ssn, customer_phone_number: the longest known tail
		for i >= 0 {
			n2 := n[i+1:]
			if id, ok := s.keys[n2]; ok && len(n2) > 2 {
				k.Whole = id
				break
			}
			j := strings.IndexByte(n2, '_')
			if j < 0 {
				break
			}
			i += j + 1
		}
	}
	k.Env = n == "env" || n == "environment" || n == "environ" || n == "env_vars" || n == "environment_variables"
	k.Label = n == "name" || n == "key" || n == "label" || n == "field" || n == "type" || n == "header"
	k.Words = s.keyWord[n]
	for i := 0; i < len(n); {
		j := strings.IndexByte(n[i:], '_')
		w := n[i:]
		if j >= 0 {
			w = n[i : i+j]
		}
		k.Words |= s.keyWord[w]
		// two words together
		if j >= 0 {
			rest := n[i+j+1:]
			if m := strings.IndexByte(rest, '_'); m >= 0 {
				rest = rest[:m]
			}
			k.Words |= s.keyWord[n[i:i+j+1+len(rest)]]
			i += j + 1
			continue
		}
		break
	}
	return k
}

// snake writes a name as lower-case words joined by _.
func snake(name []byte) string {
	var out [96]byte
	n := 0
	for i, c := range name {
		switch {
		case isUpper(c):
			if i > 0 && n > 0 && out[n-1] != '_' && (isLower(name[i-1]) || isDigit(name[i-1]) || i+1 < len(name) && isLower(name[i+1]) && isUpper(name[i-1])) {
				out[n] = '_'
				n++
			}
			out[n] = c + 32
		case isLower(c) || isDigit(c) || c >= 0x80:
			out[n] = c
		default:
			if n == 0 || out[n-1] == '_' {
				continue
			}
			out[n] = '_'
		}
		n++
		if n > len(out)-2 {
			break
		}
	}
	for n > 0 && out[n-1] == '_' {
		n--
	}
	return string(out[:n])
}

// Secretive says whether a key that names a token holds one: the value must look it.
func Secretive(v []byte) bool { return !variable(v) && len(v) >= 8 && random(v) }

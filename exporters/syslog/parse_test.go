package syslog

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parsed is a message as a strict receiver reads it.
type parsed struct {
	pri              int
	time             time.Time
	host, app, msgid string
	params           map[string]string
	body             string
	cefHeader        []string
	cef              map[string]string
}

var head = regexp.MustCompile(`^<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) `)

// parse reads a message as RFC 5424 defines it, refusing everything that it does not allow.
func parse(s string) (*parsed, error) {
	m := head.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("no header")
	}
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("control characters")
	}
	p := &parsed{host: m[3], app: m[4], msgid: m[6], params: map[string]string{}}
	p.pri, _ = strconv.Atoi(m[1])
	if p.pri > 191 {
		return nil, fmt.Errorf("priority")
	}
	if m[2] != "-" {
		var err error
		if p.time, err = time.Parse("2006-01-02T15:04:05.999999Z07:00", m[2]); err != nil || len(m[2]) > 32 {
			return nil, fmt.Errorf("timestamp")
		}
	}
	rest := s[len(m[0]):]
	if strings.HasPrefix(rest, "-") {
		rest = rest[1:]
	} else {
		if rest == "" || rest[0] != '[' {
			return nil, fmt.Errorf("no structured data")
		}
		end := strings.IndexAny(rest, " ]")
		if end < 0 || end-1 > 32 {
			return nil, fmt.Errorf("SD-ID")
		}
		rest = rest[end:]
		for strings.HasPrefix(rest, " ") {
			eq := strings.Index(rest, `="`)
			if eq < 2 || eq-1 > 32 || strings.ContainsAny(rest[1:eq], `= ]"`) {
				return nil, fmt.Errorf("parameter name")
			}
			name := rest[1:eq]
			rest = rest[eq+2:]
			var v strings.Builder
			for {
				if rest == "" {
					return nil, fmt.Errorf("value not closed")
				}
				if rest[0] == '"' {
					break
				}
				if rest[0] == ']' {
					return nil, fmt.Errorf("] not escaped")
				}
				if rest[0] == '\\' {
					if len(rest) < 2 || !strings.ContainsRune(`"\]`, rune(rest[1])) {
						return nil, fmt.Errorf("backslash not escaped")
					}
					rest = rest[1:]
				}
				v.WriteByte(rest[0])
				rest = rest[1:]
			}
			if _, twice := p.params[name]; twice {
				return nil, fmt.Errorf("parameter twice")
			}
			p.params[name], rest = v.String(), rest[1:]
		}
		if !strings.HasPrefix(rest, "]") {
			return nil, fmt.Errorf("structured data not closed")
		}
		rest = rest[1:]
	}
	if rest != "" && rest[0] != ' ' {
		return nil, fmt.Errorf("no space before the message")
	}
	p.body = strings.TrimPrefix(strings.TrimPrefix(rest, " "), "\ufeff")
	return p, nil
}

var cefKey = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

// parseCEF reads the message as CEF.
func (p *parsed) parseCEF() error {
	var field strings.Builder
	rest := p.body
	for len(p.cefHeader) < 7 {
		if rest == "" {
			return fmt.Errorf("CEF header ends early")
		}
		switch {
		case rest[0] == '\\':
			if len(rest) < 2 || rest[1] != '\\' && rest[1] != '|' {
				return fmt.Errorf("CEF header: backslash not escaped")
			}
			field.WriteByte(rest[1])
			rest = rest[2:]
			continue
		case rest[0] == '|':
			p.cefHeader = append(p.cefHeader, field.String())
			field.Reset()
		default:
			field.WriteByte(rest[0])
		}
		rest = rest[1:]
	}
	if p.cefHeader[0] != "CEF:0" {
		return fmt.Errorf("CEF version")
	}
	if n, err := strconv.Atoi(p.cefHeader[6]); err != nil || n < 0 || n > 10 {
		return fmt.Errorf("CEF severity")
	}
	p.cef = map[string]string{}
	// Keys are before each = that is not escaped.
	var unescapedKeys [][2]int
	for _, x := range cefKey.FindAllStringSubmatchIndex(rest, -1) {
		unescapedKeys = append(unescapedKeys, [2]int{x[2], x[3]})
	}
	if rest != "" && (len(unescapedKeys) == 0 || unescapedKeys[0][0] != 0) {
		return fmt.Errorf("CEF extension begins with no key")
	}
	for i, k := range unescapedKeys {
		to := len(rest)
		if i+1 < len(unescapedKeys) {
			to = unescapedKeys[i+1][0] - 1
		}
		raw := rest[k[1]+1 : to]
		var v strings.Builder
		for j := 0; j < len(raw); j++ {
			if raw[j] == '=' {
				return fmt.Errorf("CEF: = not escaped")
			}
			if raw[j] != '\\' {
				v.WriteByte(raw[j])
				continue
			}
			if j++; j == len(raw) || !strings.ContainsRune(`\=nr`, rune(raw[j])) {
				return fmt.Errorf("CEF: backslash not escaped")
			}
			v.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', '\\': '\\', '=': '='}[raw[j]])
		}
		key := rest[k[0]:k[1]]
		if _, twice := p.cef[key]; twice {
			return fmt.Errorf("CEF key twice")
		}
		p.cef[key] = v.String()
	}
	for _, k := range []string{"src", "dst"} {
		if v, ok := p.cef[k]; ok {
			if _, err := netip.ParseAddr(v); err != nil {
				return fmt.Errorf("CEF %s is no address", k)
			}
		}
	}
	for _, k := range []string{"rt", "cn1", "cn2", "cnt", "in"} {
		if v, ok := p.cef[k]; ok {
			if _, err := strconv.ParseInt(v, 10, 64); err != nil {
				return fmt.Errorf("CEF %s is no number", k)
			}
		}
	}
	return nil
}

// strict is what every message must be.
func strict(format string, limit int, s string) error {
	if len(s) > limit {
		return fmt.Errorf("%d bytes, %d allowed", len(s), limit)
	}
	p, err := parse(s)
	if err != nil {
		return err
	}
	switch format {
	case formatCEF:
		return p.parseCEF()
	case formatJSON:
		if !json.Valid([]byte(p.body)) {
			return fmt.Errorf("no JSON")
		}
	}
	return nil
}

var formats = slices.Clone([]string{formatStructured, formatCEF, formatJSON})

package main

import (
	"net/url"
	"slices"
	"strings"
)

// credentialEnds are ends of the names of variables and flags that hold credentials.
var credentialEnds = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "SECRET_KEY", "PRIVATE_KEY", "CREDENTIALS"}

// credentialSources lists where a server started with command and environ gets credentials from, sorted. configured are the variables that
// the client's configuration file holds in plain text, as mcptap wrap saw it.
func credentialSources(command, environ, configured []string) []string {
	var out []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value != "" && namesCredential(name) && !strings.HasPrefix(name, "MCPTAP_") {
			from := "env:"
			if slices.Contains(configured, name) {
				from = "config:"
			}
			out = append(out, from+name)
		}
	}
	for i, arg := range command[min(1, len(command)):] {
		name, value, assigned := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !assigned && i+2 < len(command) {
			value = command[i+2]
		}
		flag := strings.HasPrefix(arg, "-") && value != "" && !strings.HasPrefix(value, "-")
		if flag && namesCredential(name) || hasPassword(arg) {
			out = append(out, "argument")
			break
		}
	}
	slices.Sort(out)
	return out
}

// plainCredential says whether a variable in a configuration file holds a credential itself rather than where to find one.
func plainCredential(name, value string) bool {
	if !namesCredential(name) || len(value) < 8 || strings.HasPrefix(value, "/") {
		return false
	}
	return !strings.ContainsAny(value[:1], "$%<{") && !strings.Contains(value, "${") && !strings.Contains(value, "://")
}

func namesCredential(name string) bool {
	name = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return slices.ContainsFunc(credentialEnds, func(end string) bool {
		return name == end || strings.HasSuffix(name, "_"+end)
	})
}

// hasPassword reports whether arg is a URL with a password in it.
func hasPassword(arg string) bool {
	u, err := url.Parse(arg)
	if err != nil || u.Host == "" || u.User == nil {
		return false
	}
	_, ok := u.User.Password()
	return ok
}

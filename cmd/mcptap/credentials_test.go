package main

import (
	"strings"
	"testing"
)

func TestCredentialSources(t *testing.T) {
	f := func(command, environ, want string) {
		t.Helper()
		if got := strings.Join(credentialSources(strings.Fields(command), strings.Fields(environ), []string{"WRAPPED_TOKEN"}), " "); got != want {
			t.Errorf("%s with %s: %q, want %q", command, environ, got, want)
		}
	}
	f("server", "HOME=/root PATH=/bin TERM=xterm", "")
	f("server", "GITHUB_TOKEN=x OPENAI_API_KEY=y HOME=/", "env:GITHUB_TOKEN env:OPENAI_API_KEY")
	f("server", "TOKEN=x tokenizer=y TOKENS_MAX=3 AWS_SECRET_ACCESS_KEY=", "env:TOKEN")
	f("server", "MCPTAP_TOKEN=x", "")
	f("server --api-key abc", "", "argument")
	f("server --token=abc --password def", "", "argument")
	f("server --token", "", "")
	f("server --token --verbose", "", "")
	f("server postgresql://user:secret@db/prod", "", "argument")
	f("server postgresql://user@db/prod https://example.com/", "", "")
	f("server token", "", "")
	f("", "", "")
}

func TestPlainCredential(t *testing.T) {
	f := func(name, value string, want bool) {
		t.Helper()
		if plainCredential(name, value) != want {
			t.Errorf("%s=%s", name, value)
		}
	}
	f("GITHUB_PERSONAL_ACCESS_TOKEN", "ghp_1234567890abcdef", true)
	f("db-password", "correct horse", true)
	f("GITHUB_TOKEN", "${input:github_token}", false)
	f("GITHUB_TOKEN", "$GITHUB_TOKEN", false)
	f("GITHUB_TOKEN", "<your token>", false)
	f("GITHUB_TOKEN", "op://vault/github/token", false)
	f("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json", false)
	f("GITHUB_TOKEN", "", false)
	f("LOG_LEVEL", "information", false)
}

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	f := func(status int, want string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer srv.Close()
		err := askHealth(context.Background(), strings.TrimPrefix(srv.URL, "http://"), time.Second)
		if got := errText(err); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
	f(200, "")
	f(503, "answers 503")
	if err := askHealth(context.Background(), "127.0.0.1:1", time.Second); err == nil {
		t.Error("nobody is there, and it is healthy")
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

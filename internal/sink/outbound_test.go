package sink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNetworks(t *testing.T) {
	f := func(n Networks, addr string, want bool) {
		t.Helper()
		if got := n.Takes(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	open, deny := Networks{}, Networks{DenyPrivate: true}
	some := Networks{DenyPrivate: true, Allow: []string{"10.1.0.0/16", "::1/128"}}
	f(open, "127.0.0.1", true)
	f(deny, "8.8.8.8", true)
	f(deny, "2606:4700::1111", true)
	for _, a := range []string{"127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "fe80::1%eth0"} {
		f(deny, a, false)
	}
	f(some, "10.1.2.3", true)
	f(some, "::ffff:10.1.2.3", true)
	f(some, "10.2.2.3", false)
	f(some, "::1", true)
	if (&Networks{Allow: []string{"10.1.0.0"}}).Validate() == nil || some.Validate() != nil {
		t.Error("Validate")
	}
}

func TestSend(t *testing.T) {
	var hops int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hops++ }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/long":
			_, _ = w.Write(make([]byte, 4*maxAnswer))
		case "/reset":
			panic(http.ErrAbortHandler)
		case "/slow":
			_, _ = io.Copy(io.Discard, r.Body) // else the end of the request is not noticed
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	get := func(n Networks, url string) (Answer, error) {
		c, err := NewHTTPClient(context.Background(), nil, n, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("s3cret"))
		if err != nil {
			t.Fatal(err)
		}
		return Send(c, req)
	}
	if a, err := get(Networks{}, srv.URL+"/busy"); err != nil || a.Status != 429 || a.After != 7*time.Second {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := get(Networks{}, srv.URL+"/away"); err != nil || a.Status != http.StatusTemporaryRedirect || hops != 0 {
		t.Errorf("%+v %v, %d redirections followed", a, err, hops)
	}
	if a, err := get(Networks{}, srv.URL+"/long"); err != nil || len(a.Body) != maxAnswer {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
	for _, c := range []struct {
		n         Networks
		url, want string
	}{
		{Networks{}, srv.URL + "/reset?s3cret", "connection broke"},
		{Networks{}, srv.URL + "/slow?s3cret", "no answer in time"},
		{Networks{}, "http://127.0.0.1:1/s3cret", "connection refused"},
		{Networks{DenyPrivate: true}, srv.URL + "/s3cret", "networks.allow"},
		{Networks{DenyPrivate: true}, "http://localhost:1/s3cret", "networks.allow"},
	} {
		_, err := get(c.n, c.url)
		if err == nil || !IsAgain(err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

func TestPlain(t *testing.T) {
	f := func(in string, limit int, want string) {
		t.Helper()
		if got := Plain(in, limit); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("", 5, "")
	f("größe", 5, "größe")
	f("größer", 5, "größ…")
	f("a\nb\u202ec\u200bd\xff", 10, "a\ufffdb\ufffdc\ufffdd\ufffd")
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		n := rapid.IntRange(1, 40).Draw(t, "limit")
		got := Plain(s, n)
		if utf8.RuneCountInString(got) > n || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != utf8.RuneError && !unicode.IsGraphic(r) }) {
			t.Fatalf("%q", got)
		}
		if Plain(got, n) != got {
			t.Fatalf("%q changes again", got)
		}
	})
}

func TestWindow(t *testing.T) {
	var w Window
	sent := 0
	for i := range 10_003 {
		key := fmt.Sprint("k", i)
		if w.Admit(key, 3) {
			if i >= 3 {
				t.Fatal("admitted too many")
			}
			continue
		}
		due := w.Withhold(key, fmt.Sprint("rule", i%30))
		if w.Withheld < 1000 && w.Withhold(key, "again") != due {
			t.Fatal("a repetition changes whether it is due")
		}
		if due {
			w.Said = w.Withheld
			sent++
		}
		if w.Said*6 < w.Withheld*5-6 {
			t.Fatalf("the digest says %d of %d", w.Said, w.Withheld)
		}
	}
	if !w.Admit("k1", 3) || w.Withheld != 10_000 || sent > 60 || len(w.Rules) > ruleLimit+1 || len(w.Seen) > seenLimit {
		t.Errorf("%d withheld, %d sent, %d rules, %d seen", w.Withheld, sent, len(w.Rules), len(w.Seen))
	}
	total := 0
	for _, n := range w.Rules {
		total += n
	}
	if total != w.Withheld {
		t.Errorf("%d by rule, %d withheld", total, w.Withheld)
	}
}

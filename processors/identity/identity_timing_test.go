package identity

import (
	"context"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// benchmark identifies batches of 500 events; the copy of the batch is not counted.
func benchmark(b *testing.B, p *identityProcessor, e event.Event) {
	const n = 500
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	e.ClientName, e.ClientVersion, e.ProtocolVersion, e.Era, e.RequestIDType = "claude-ai", "1.0", "2025-11-25", "legacy", "number"
	e.ConversationID, e.BodySize, e.Capture, e.ClockSource, e.HostName, e.NetworkTransport = "c0ffee", 1000, "complete", "tap", "laptop-7", "tcp"
	for i := range n {
		e.TapSeq = int64(i)
		e.ID = event.TapID(e.TapID, 1, e.TapSeq)
		e.ExchangeID = e.ID
		e.Encode(sl.LogRecords().AppendEmpty())
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		b.StopTimer()
		in := plog.NewLogs()
		ld.CopyTo(in)
		b.StartTimer()
		if _, err := p.process(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStdio(b *testing.B) {
	e := httpCall("")
	e.Transport, e.OSUser, e.PID = event.TransportStdio, "alice", 4711
	benchmark(b, newTest(b, nil), e)
}

// BenchmarkJWT has one token for all events, which is verified once.
func BenchmarkJWT(b *testing.B) {
	is := newIssuer(b, pub(rsaKey, "r"))
	p := newTest(b, withIssuer(is))
	benchmark(b, p, httpCall("Bearer "+sign(b, jose.RS256, rsaKey, "r", standard(nil))))
}

// BenchmarkVerify is the cost of a token that was not seen before.
func BenchmarkVerify(b *testing.B) {
	is := newIssuer(b, pub(rsaKey, "r"), pub(ecKey, "e"))
	p := newTest(b, withIssuer(is))
	f := func(alg jose.SignatureAlgorithm, key any, kid string) {
		b.Run(string(alg), func(b *testing.B) {
			token := sign(b, alg, key, kid, standard(nil))
			p.credential(context.Background(), token)
			b.ReportAllocs()
			for b.Loop() {
				p.credentials.Purge()
				if c := p.credential(context.Background(), token); c.signed.Reason != "" {
					b.Fatal(c.signed.Reason)
				}
			}
		})
	}
	f(jose.RS256, rsaKey, "r")
	f(jose.ES256, ecKey, "e")
}

// FuzzHeaders feeds hostile credentials, URLs and headers.
func FuzzHeaders(f *testing.F) {
	is := newIssuer(f, pub(rsaKey, "r"))
	p := newTest(f, func(c *Config) {
		withIssuer(is)(c)
		c.Proxies = []ProxyConfig{{CIDRs: []string{"0.0.0.0/0"}, UserHeaders: []string{"u"}, CertHeaders: []string{"c"}}}
	})
	f.Add("Bearer "+sign(f, jose.RS256, rsaKey, "r", standard(nil)), "https://h/?access_token=x&&=&a=%zz", "u", "alice", "10.0.0.1:9")
	f.Add("Basic Ym9iOnB3", "?", "c", `By=a;Hash=b;Subject="CN=x;,"`, "::1")
	f.Add("Bearer eyJ..", "", "c", `="`, "[")
	f.Fuzz(func(t *testing.T, auth, url, header, value, addr string) {
		e := httpCall(auth)
		e.RawURL, e.ClientAddress = url, addr
		e.RawHeaders = map[string]string{header: value}
		e.Kind = event.KindRequest
		got := run(t, p, e)[0]
		if got.PrincipalMethod == "" || got.PrincipalKind == "" || got.Tenant == "" || len(got.PrincipalID) > 256+8 {
			t.Fatalf("%+v", got.Fields)
		}
		if got.PrincipalVerified && !strings.HasPrefix(auth, "Bearer ") && !strings.Contains(auth, "eyJ") && !strings.Contains(url, "eyJ") {
			t.Fatalf("verified out of nothing: %+v", got.Fields)
		}
	})
}

package inspect

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ordinary makes a tools/call result of about n bytes as servers send them: JSON in text, some prose, some records.
func ordinary(n int) []byte {
	var rows []map[string]any
	size := 0
	for i := 0; size < n*2/3; i++ {
		rows = append(rows, map[string]any{"id": fmt.Sprintf("ord_%06d", i), "status": "shipped", "title": "Replacement filter for the kitchen hood, set of two", "price": 24.5 + float64(i), "created_at": "2026-03-02T10:22:31Z",
			"url": fmt.Sprintf("https://shop.example/orders/%d", i), "tags": []string{"kitchen", "filter", "express"}})
		size += 240
	}
	inner, _ := json.Marshal(rows)
	prose := strings.Repeat("The report describes how the team measured response times over four weeks and what changed after the move to the new region. ", 1+n/300)
	msg, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "result": map[string]any{"content": []any{
		map[string]any{"type": "text", "text": string(inner)}, map[string]any{"type": "text", "text": prose[:n/3]}}, "isError": false}})
	return msg
}

// call is a call of about 1 KB, half of it running text.
func call() []byte {
	return []byte(`{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"Order 4-17 is late","reporter":"user17@example.com","body":"` +
		strings.Repeat("The customer writes that the parcel did not arrive and asks where it is. ", 8) +
		`","payment":{"card":"4111 1111 1111 1111","amount":17.50,"currency":"EUR"},"labels":["late","order","priority-1"],"due":"2026-12-18T10:00:00Z"}}}`)
}

// toolsList is a list of n definitions as servers have them.
func toolsList(n int) []byte {
	var tools []map[string]any
	for i := range n {
		tools = append(tools, map[string]any{"name": fmt.Sprintf("search_orders_%d", i), "description": "Searches the orders of a customer by date, state or article and returns at most fifty of them, newest first. Use it before you change an order, and pass the number of the order on to get_order to see its lines.",
			"inputSchema": map[string]any{"type": "object", "required": []string{"customer"}, "properties": map[string]any{
				"customer": map[string]any{"type": "string", "description": "Number of the customer, as find_customer gives it."},
				"from":     map[string]any{"type": "string", "format": "date", "description": "First day of the period, inclusive."},
				"state":    map[string]any{"type": "string", "enum": []string{"open", "shipped", "closed"}, "description": "Only orders in this state; all if it is left out."}}}})
	}
	msg, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 2, "result": map[string]any{"tools": tools}})
	return msg
}

func BenchmarkInspect(b *testing.B) {
	e := testEngine(b)
	bench := func(name string, body []byte) {
		b.Run(name, func(b *testing.B) {
			s := e.Session()
			in := &Input{Tenant: "default", Method: "tools/call", Kind: "response", Direction: "server_to_client", Body: body}
			if out := s.Inspect(in); out.Withheld != "" {
				b.Fatal(out.Withheld)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				s.Inspect(in)
			}
			// what a core does, whoever else uses the machine
			b.ReportMetric(float64(b.N)*float64(len(body))/1e6/(cpu()-start).Seconds(), "MB/cpu-s")
		})
	}
	b.Run("yardstick/sha256", func(b *testing.B) { // how fast this machine is at the moment
		body := ordinary(10000)
		b.SetBytes(int64(len(body)))
		start := cpu()
		for b.Loop() {
			sha256.Sum256(body)
		}
		b.ReportMetric(float64(b.N)*float64(len(body))/1e6/(cpu()-start).Seconds(), "MB/cpu-s")
	})
	bench("ordinary/1KB", ordinary(1000))
	bench("ordinary/10KB", ordinary(10000))
	bench("ordinary/100KB", ordinary(100000))
	as := func(name, method, kind, direction string, body []byte) {
		b.Run(name, func(b *testing.B) {
			s := e.Session()
			in := &Input{Tenant: "default", Tool: "create_ticket", Method: method, Kind: kind, Direction: direction, Body: body}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				s.Inspect(in)
			}
			b.ReportMetric(float64(b.N)*float64(len(body))/1e6/(cpu()-start).Seconds(), "MB/cpu-s")
		})
	}
	as("call/1KB", "tools/call", "request", "client_to_server", call())
	as("tools list/15KB", "tools/list", "response", "server_to_client", toolsList(20))
	q := func(s string) []byte { m, _ := json.Marshal(map[string]string{"a": s}); return m }
	n := 100000
	for name, s := range map[string]string{
		"digits spaced": strings.Repeat("12 34 ", n/6), "digits single": strings.Repeat("4 1 ", n/4), "cards": strings.Repeat("4111111111111111 ", n/17), "at signs": strings.Repeat("a@b.c@", n/6),
		"prefixes": strings.Repeat("ghp_sk-AKIA", n/11), "eyJ": strings.Repeat("eyJ", n/3), "pem": strings.Repeat("-----BEGIN PRIVATE KEY-----", n/27), "colons": strings.Repeat("a:b:", n/4),
		"settings": strings.Repeat("password=x", n/10), "percent": strings.Repeat("%2525", n/5), "backslashes": strings.Repeat("\\\\", n/2), "entities": strings.Repeat("&amp;", n/5),
		"base64": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("plain text ", n*3/4/11))), "base64 in base64": nested(n), "placeholders": strings.Repeat("<email:0000000000000000>", n/24),
		"braces": strings.Repeat("{", n-1) + "}", "keys": strings.Repeat("a_b-c", n/5), "urls": strings.Repeat("x://a:b", n/7), "fullwidth": strings.Repeat("ａ", n/3), "less than": strings.Repeat("<", n),
	} {
		bench("hostile/"+name, q(s))
	}
	bench("hostile/array of strings", []byte("["+strings.Repeat(`"4111",`, n/7)+`"x"]`))
	bench("hostile/empty objects", []byte("["+strings.Repeat(`{"a":{}},`, n/9)+`1]`))
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func nested(n int) string {
	s := "text that is not secret at all"
	for len(s) < n {
		s = base64.StdEncoding.EncodeToString([]byte(s + s))
	}
	return s
}

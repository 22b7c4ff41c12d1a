package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// What everybody has to look at: ordinary messages of three sizes, and input that is made to be slow.

type input struct{ name, body string }

func inputs() (out []input) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		out = append(out, input{fmt.Sprintf("ordinary, %d KB", n/1000), ordinary(n, "")})
	}
	out = append(out, input{"ordinary, 1 KB, with an address", ordinary(1_000, "bob@corp.example")})
	q := func(name, s string) {
		b, _ := json.Marshal(map[string]string{"a": s})
		out = append(out, input{"hostile: " + name, string(b)})
	}
	n := 50_000
	q("groups of digits", strings.Repeat("12 34 ", n/6))
	q("card numbers", strings.Repeat("4111111111111111 ", n/17))
	q("at signs", strings.Repeat("a@b.c@", n/6))
	q("prefixes of keys", strings.Repeat("ghp_sk-AKIA", n/11))
	q("begin of JWT", strings.Repeat("eyJ", n/3))
	q("begin of PEM", strings.Repeat("-----BEGIN PRIVATE KEY-----", n/27))
	q("settings", strings.Repeat("password=x", n/10))
	q("percent encoding", strings.Repeat("%2525", n/5))
	q("backslashes", strings.Repeat(`\\`, n/2))
	q("base64", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("plain text ", n*3/4/11))))
	return out
}

// ordinary makes a tools/call result of about n bytes as servers send them: records as JSON in a text, and some prose.
func ordinary(n int, extra string) string {
	var rows []map[string]any
	for i := 0; i*240 < n*2/3; i++ {
		rows = append(rows, map[string]any{"id": fmt.Sprintf("ord_%06d", i), "status": "shipped", "title": "Replacement filter for the kitchen hood, set of two", "price": 24.5 + float64(i),
			"created_at": "2026-03-02T10:22:31Z", "url": fmt.Sprintf("https://shop.example/orders/%d", i), "tags": []string{"kitchen", "filter", "express"}})
	}
	inner, _ := json.Marshal(rows)
	prose := strings.Repeat("The report describes how the team measured response times over four weeks and what changed after the move to the new region. ", 1+n/300)
	msg, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "result": map[string]any{"content": []any{
		map[string]any{"type": "text", "text": string(inner)}, map[string]any{"type": "text", "text": prose[:n/3] + extra}}, "isError": false}})
	return string(msg)
}

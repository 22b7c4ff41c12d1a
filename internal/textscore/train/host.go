package main

// What a planted sentence stands in: results of tools in the forms that they have. The same hosts hold harmless sentences, so that it is
// not the form that is learned but what a sentence does in it.

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// hosted puts a sentence into a made-up result and says where it stands. loose says that it stands between the pieces of data rather
// than inside one.
func hosted(r *rand.Rand, sentence string, loose bool) (text string, from, to int) {
	const mark = "\x00"
	var host string
	if loose {
		switch r.IntN(5) {
		case 0:
			host = mark + "\n" + body(r)
		case 1:
			host = body(r) + "\n" + mark
		case 2:
			host = body(r) + " " + mark
		case 3:
			host = "\n " + mark + " \n" + body(r)
		default:
			b := body(r)
			at := len(b)
			for _, sep := range []string{"}, {", "},\n", ",\n", "\n- ", "\n\n", "\n"} {
				if i := strings.Index(b, sep); i > 0 {
					at = i + len(sep) - 1
					break
				}
			}
			host = b[:at] + " " + mark + " " + b[at:]
		}
	} else {
		host = slot(r, mark)
	}
	from = strings.Index(host, mark)
	if from < 0 {
		return sentence, 0, len(sentence)
	}
	return host[:from] + sentence + host[from+1:], from, from + len(sentence)
}

var (
	keys   = []string{"id", "name", "status", "total", "created_at", "owner", "city", "price", "count", "kind", "email", "size", "version", "author", "stars", "seats", "phone", "state", "priority", "updated", "lang", "score", "unit", "code", "length"}
	fields = []string{"description", "body", "comment", "notes", "text", "summary", "message", "content", "title", "review", "bio", "subject", "details"}
	words  = []string{"open", "closed", "Berlin", "kettle", "A-1044", "pending", "north", "Ruiz", "v2.1", "green", "2026-02-11", "shipped", "Okafor", "main", "beta", "Lisbon", "oak table", "M. Tanaka", "draft", "EUR", "10:45", "blue", "standard", "sales", "b7f3"}
	plain  = []string{"The measurements were taken in spring.", "Sales rose in the second quarter.", "It has two rooms and a balcony.", "The library was opened in 1931.", "The committee met twice.", "Nobody was hurt.", "The lens is made of glass.", "Visitors come mostly in summer.", "The new version is faster.", "They agreed on a price.", "The bus leaves every hour.", "We had a good time.", "It rained all week.", "The recipe is from my aunt.", "He plays the piano."}
)

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

func number(r *rand.Rand) string { return fmt.Sprint(r.IntN(9000) + 10) }

func value(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return number(r)
	}
	q, _ := json.Marshal(pick(r, words))
	return string(q)
}

func object(r *rand.Rand, extra string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range 3 + r.IntN(5) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q: %s", pick(r, keys), value(r))
	}
	if extra != "" {
		b.WriteString(", " + extra)
	}
	b.WriteByte('}')
	return b.String()
}

// body is a result without any planted sentence.
func body(r *rand.Rand) string {
	n := 1 + r.IntN(4)
	var parts []string
	switch r.IntN(9) {
	case 0:
		for range n {
			parts = append(parts, object(r, ""))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case 1:
		return object(r, fmt.Sprintf("%q: [%s, %s]", pick(r, keys)+"s", object(r, ""), object(r, "")))
	case 2:
		for range n + 2 {
			parts = append(parts, pick(r, keys)+": "+strings.Trim(value(r), `"`))
		}
		return strings.Join(parts, "\n")
	case 3:
		for range n + 1 {
			parts = append(parts, "- "+pick(r, keys)+": "+pick(r, words)+"\n  "+pick(r, keys)+": "+number(r)+"\n  "+pick(r, fields)+": "+pick(r, plain))
		}
		return strings.Join(parts, "\n")
	case 4:
		for range n + 2 {
			parts = append(parts, number(r)+","+pick(r, words)+","+pick(r, words)+","+number(r))
		}
		return "id,name,kind,total\n" + strings.Join(parts, "\n")
	case 5:
		for range n + 2 {
			parts = append(parts, "2026-01-1"+fmt.Sprint(r.IntN(9))+" 10:0"+fmt.Sprint(r.IntN(9))+" "+pick(r, []string{"INFO", "WARN", "ERROR", "DEBUG"})+" "+pick(r, words)+" took "+number(r)+" ms")
		}
		return strings.Join(parts, "\n")
	case 6:
		return object(r, fmt.Sprintf("%q: %q", pick(r, fields), pick(r, plain)+" "+pick(r, plain)))
	case 7:
		for range n + 1 {
			parts = append(parts, pick(r, plain))
		}
		return strings.Join(parts, " ")
	}
	for range n + 1 {
		parts = append(parts, "- "+pick(r, plain))
	}
	return "# " + pick(r, words) + "\n\n" + strings.Join(parts, "\n")
}

// slot is a result with mark where a text of its own belongs.
func slot(r *rand.Rand, mark string) string {
	in := mark
	switch r.IntN(4) {
	case 0:
		in = pick(r, plain) + " " + mark
	case 1:
		in = pick(r, plain) + " " + mark + " " + pick(r, plain)
	}
	switch r.IntN(10) {
	case 0, 1:
		return object(r, fmt.Sprintf("\"%s\": \"%s\"", pick(r, fields), in))
	case 2:
		return "[" + object(r, "") + ", " + object(r, fmt.Sprintf("\"%s\": \"%s\"", pick(r, fields), in)) + "]"
	case 3:
		return pick(r, keys) + ": " + pick(r, words) + "\n" + pick(r, fields) + ": " + in + "\n" + pick(r, keys) + ": " + number(r)
	case 4:
		return number(r) + "," + pick(r, words) + ",\"" + in + "\"\n" + number(r) + "," + pick(r, words) + ",\"" + pick(r, plain) + "\""
	case 5:
		return "<html><body><h1>" + pick(r, words) + "</h1><p>" + pick(r, plain) + "</p><p>" + in + "</p></body></html>"
	case 6:
		return "From: " + pick(r, words) + "@example.org\nSubject: " + pick(r, words) + "\n\n" + pick(r, plain) + "\n" + mark + "\n\nBest,\n" + pick(r, words)
	case 7:
		return "# " + pick(r, words) + "\n\n" + pick(r, plain) + "\n\n" + in + "\n\n## " + pick(r, words) + "\n\n- " + pick(r, plain)
	case 8:
		return "- body: '" + in + "'\n  sender: " + pick(r, words) + "\n- body: " + pick(r, plain) + "\n  sender: " + pick(r, words)
	}
	return pick(r, plain) + " " + in + "\n" + pick(r, plain)
}

package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Intervals as in Newcombe (1998), table I, method 3, and the edges.
func TestWilson(t *testing.T) {
	f := func(k, n int64, lo, hi float64) {
		t.Helper()
		a, b := Wilson(k, n)
		if math.Abs(a-lo) > 5e-5 || math.Abs(b-hi) > 5e-5 {
			t.Errorf("%d of %d: %.4f to %.4f", k, n, a, b)
		}
	}
	f(81, 263, 0.2553, 0.3662)
	f(15, 148, 0.0624, 0.1605)
	f(0, 20, 0, 0.1611)
	f(1, 29, 0.0061, 0.1718)
	f(20, 20, 0.8389, 1)
}

func TestWithout(t *testing.T) {
	f := func(msg, text, out string) {
		t.Helper()
		got, ok := without([]byte(msg), text)
		if ok != (out != "") || ok && string(got) != out {
			t.Errorf("%s without %q: %s %v", msg, text, got, ok)
		}
	}
	f(`{"a":"one two", "b": 1.50}`, "two", `{"a":"one ", "b": 1.50}`)
	f(`{"a":"x two y two"}`, "two", `{"a":"x  y "}`)
	f(`{"a":"one\ntwo <b>"}`, "\ntwo <b>", `{"a":"one"}`)
	f(`{"a":"caf\u00e9 \/ x"}`, "é /", `{"a":"caf x"}`)
	f(`{"a":"{\"t\":\"say \\\"hi\\\" now\"}"}`, `say "hi"`, `{"a":"{\"t\":\" now\"}"}`)
	f(`{"a":"one","b":["two","three"]}`, "two", `{"a":"one","b":["","three"]}`)
	f(`{"a":"\\"}`, "x", "")
	f(`{"a":"one"}`, "two", "")
	f(`{"a":"one"}`, "", "")
}

// What is left is JSON, without the text, and all else in place.
func TestWithoutProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, cut, after := rapid.String().Draw(t, "before"), rapid.StringMatching(`[a-z"\\ é\n]{3,9}`).Draw(t, "cut"), rapid.String().Draw(t, "after")
		if strings.Contains(before+after, cut) {
			t.Skip()
		}
		msg, err := json.Marshal(map[string]any{"k": before + cut + after, "other": []any{1, "é", nil}})
		if err != nil {
			t.Fatal(err)
		}
		out, ok := without(msg, cut)
		var v map[string]any
		if !ok || json.Unmarshal(out, &v) != nil {
			t.Fatalf("%s: %s %v", msg, out, ok)
		}
		if strings.Contains(v["k"].(string), cut) && !strings.Contains(strings.ReplaceAll(before+cut+after, cut, ""), cut) {
			t.Fatalf("still there: %s", out)
		}
		if len(v["other"].([]any)) != 3 {
			t.Fatalf("other content changed: %s", out)
		}
	})
}

func FuzzWithout(f *testing.F) {
	f.Add([]byte(`{"a":"one two"}`), "two")
	f.Add([]byte(`{"a":"\u00e9\\\""}`), "é")
	f.Add([]byte(`"`), "x")
	f.Add([]byte(`"\`), "x")
	f.Fuzz(func(t *testing.T, msg []byte, text string) {
		out, ok := without(msg, text)
		if ok && json.Valid(msg) && !json.Valid(out) {
			t.Fatalf("no longer JSON: %s", out)
		}
	})
}

func TestReadLine(t *testing.T) {
	f := func(in string, limit int, want ...string) {
		t.Helper()
		r := bufio.NewReaderSize(strings.NewReader(in), 16)
		var got []string
		for {
			line, long, err := readLine(r, nil, limit)
			s := strings.TrimSuffix(string(line), "\n")
			if long {
				s = "LONG"
			}
			got = append(got, s)
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("", 100, "")
	f("a\nb", 100, "a", "b")
	f("a\n", 100, "a", "")
	f(strings.Repeat("x", 40)+"\nb\n", 100, strings.Repeat("x", 40), "b", "")
	f(strings.Repeat("x", 90)+"\nb\n", 50, "LONG", "b", "")
}

func TestScore(t *testing.T) {
	f := func(with, without outcome, hit bool, below, also int64) {
		t.Helper()
		s := &Slice{BySubtype: map[string]*Count{}, ByDetector: map[string]int64{}, BySeverity: map[string]int64{}}
		if s.scorePair("x", with, without) != hit || s.Below != below || s.AlsoWithout != also || s.N != 1 {
			t.Errorf("%v without %v: %+v", with, without, s)
		}
	}
	f(nil, nil, false, 0, 0)
	f(outcome{"a": "low"}, nil, false, 1, 0)
	f(outcome{"a": "medium"}, nil, true, 0, 0)
	f(outcome{"a": "low", "b": "critical"}, nil, true, 0, 0)
	f(outcome{"a": "high"}, outcome{"a": "low"}, true, 0, 0)
	f(outcome{"a": "high"}, outcome{"a": "medium"}, false, 0, 1)
	f(outcome{"a": "high"}, outcome{"b": "medium"}, false, 0, 1)
}

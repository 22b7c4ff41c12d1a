package view

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"testing"

	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		var h Hidden
		var v View
		if !Fold(&v, &View{B: []byte(in)}, &h) {
			v.B = []byte(in)
		}
		if string(v.B) != want {
			t.Errorf("%q, want %q", v.B, want)
		}
	}
	f("ａ＠ｂ．ｃ", "a@b.c")
	f("４１", "41")
	f("١٢٣", "123")
	f("𝟙𝟚", "12")
	f("𝐚𝐁", "aB")
	f("①②", "12")
	f("раѕѕ", "pass")
	f("4\u200b1", "41")
	f("4\u00a01", "4 1")
	f("4–1", "4-1")
	f("\U000E0041\U000E0042", "AB")
	f("naïve café", "naïve café")
	f("漢字", "漢字")
}

func TestUnescape(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		var v View
		if !Unescape(&v, &View{B: []byte(in)}) {
			v.B = []byte(in)
		}
		if string(v.B) != want {
			t.Errorf("%q, want %q", v.B, want)
		}
	}
	f("a%40b", "a@b")
	f("100% sure", "100% sure")
	f("a&#64;b&#x40;c&commat;d", "a@b@c@d")
	f("R&D; AT&T", "R&D; AT&T")
	f(`a\u0040b\x40c\"`, `a@b@c"`)
	f(`\ud83d\ude00`, "😀")
	f(`C:\dir`, `C:\dir`)
	f(`\u{1F600}`, "😀")
	f("&#999999999999;", "&#999999999999;")
}

func TestQuotedPrintable(t *testing.T) {
	var v View
	if !QuotedPrintable(&v, &View{B: []byte("a=40b=\r\nc")}) || string(v.B) != "a@bc" {
		t.Errorf("%q", v.B)
	}
}

// What is found in a view is cut out of the source at the right place.
func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(rapid.StringMatching(`([a-c]|%4[0-9]|&#6[0-9];|＠|\x{200b}|\\u004[0-9]){0,20}`).Draw(t, "src"))
		var h Hidden
		a, b := View{}, View{}
		v := &View{B: src}
		if Fold(&a, v, &h) {
			v = &a
		}
		if Unescape(&b, v) {
			v = &b
		}
		last := 0
		for i := range len(v.B) + 1 {
			if o := v.At(i); o < last || o > len(src) {
				t.Fatalf("offset %d after %d", o, last)
			} else {
				last = o
			}
		}
		if v.At(len(v.B)) != len(src) {
			t.Fatalf("ends at %d of %d", v.At(len(v.B)), len(src))
		}
	})
}

// A run is found wherever it stands, and decodes to what was encoded.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(rapid.StringMatching(`[a-z @.]{9,80}`).Draw(t, "data"))
		enc := base64.StdEncoding.EncodeToString(data)
		before := rapid.SampledFrom([]string{"", " ", "x: ", "(", "a b c d e f g h i "}).Draw(t, "before")
		text := []byte(before + enc + " end")
		runs := Runs(text, nil)
		ok := false
		for _, r := range runs {
			ok = ok || bytes.Equal(Base64(nil, text[r.From:r.To], 0), data)
		}
		if !ok {
			t.Fatalf("not found in %q: %v", text, runs)
		}
		if Alignments([]byte(enc))&1 == 0 {
			t.Fatalf("%q is not aligned", enc)
		}
	})
}

func TestRunsAcrossLines(t *testing.T) {
	enc := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789"), 20))
	var text []byte
	for i := 0; i < len(enc); i += 76 {
		text = append(text, enc[i:min(len(enc), i+76)]...)
		text = append(text, "\r\n"...)
	}
	runs := Runs(text, nil)
	if len(runs) != 1 || len(Base64(nil, text[runs[0].From:runs[0].To], 0)) != 200 {
		t.Errorf("%v", runs)
	}
}

func TestExpandIsBounded(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, 1<<20))
	z.Close()
	if !Compressed(b.Bytes()) {
		t.Fatal("not recognised")
	}
	if out, ok := Expand(b.Bytes(), 1000); ok || len(out) > 1001 {
		t.Errorf("%d bytes, %v", len(out), ok)
	}
	if _, ok := Expand(b.Bytes(), 1<<20); !ok {
		t.Error("not expanded")
	}
	if _, ok := Expand(b.Bytes()[:b.Len()/2], 1<<20); ok {
		t.Error("a damaged stream passes")
	}
}

func FuzzViews(f *testing.F) {
	f.Add([]byte("%40&#64;\\u0040=40\r\n"))
	f.Add([]byte("４１１１\u200b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hidden
		src := &View{B: b}
		for _, fn := range []func(d, s *View) bool{func(d, s *View) bool { return Fold(d, s, &h) }, Unescape, QuotedPrintable} {
			var v View
			if fn(&v, src) && (len(v.Off) != len(v.B)+1 || v.At(len(v.B)) != len(b)) {
				t.Fatal("bad offsets")
			}
		}
		for _, r := range Runs(b, nil) {
			if r.From < 0 || r.To > len(b) || r.From >= r.To {
				t.Fatal("bad run")
			}
			Base64(nil, b[r.From:r.To], 0)
		}
	})
}

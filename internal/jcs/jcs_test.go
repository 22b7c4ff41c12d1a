package jcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func canonical(t testing.TB, raw string) string {
	t.Helper()
	out, err := Append([]byte("kept "), []byte(raw))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return strings.TrimPrefix(string(out), "kept ")
}

func TestAppend(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		if got := canonical(t, raw); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	// RFC 8785, 3.2.2 and 3.2.4: the sample and its canonical form.
	f(`{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`, `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`)
	// RFC 8785, 3.2.3: sorting.
	f(`{
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}`, `{"\r":"Carriage Return","1":"One","`+"\u0080"+`":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","`+"\ufb33"+`":"Hebrew Letter Dalet With Dagesh"}`)

	f(` {} `, `{}`)
	f(`[ ]`, `[]`)
	f("\t\"a\\u0000\\u001f\\u007f\\/\" ", `"a\u0000\u001f`+"\x7f"+`/"`)
	f(`{"b":[{"d":1,"c":2}],"a":{"z":null,"":0}}`, `{"a":{"":0,"z":null},"b":[{"c":2,"d":1}]}`)
	f(`{"aa":1,"a":2,"A":3}`, `{"A":3,"a":2,"aa":1}`)
	f(`{"\u0062":1,"a":2}`, `{"a":2,"b":1}`)
	f(`[-0, -0.0, 0e5, 10, 1.0, 1e0, 9007199254740993]`, `[0,0,0,10,1,1,9007199254740992]`)
	f(strings.Repeat("[", MaxDepth)+strings.Repeat("]", MaxDepth), strings.Repeat("[", MaxDepth)+strings.Repeat("]", MaxDepth))
}

func TestAppendFailures(t *testing.T) {
	f := func(raw string, want error) {
		t.Helper()
		out, err := Append([]byte("kept"), []byte(raw))
		if !errors.Is(err, want) || string(out) != "kept" {
			t.Errorf("got %q, %v; want %v", out, err, want)
		}
	}
	for _, raw := range []string{``, ` `, `{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[1,]`, `[1 2]`, `{a:1}`, `{"a" 1}`, `tru`, `nulll`, `1 1`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `"`, `"\`, `"\x"`,
		`"\u12"`, `"\u12g4"`, "\"\n\"", `NaN`, `'a'`, `{}{}`, "\xef\xbb\xbf{}", `"\ud800\u12"`} {
		f(raw, ErrSyntax)
	}
	f(`{"a":1,"a":1}`, ErrDuplicateKey)
	f(`[{"x":{"a":1,"b":2,"\u0061":3}}]`, ErrDuplicateKey)
	f(`"\ud800"`, ErrUnicode)
	f(`"\udc00\ud800"`, ErrUnicode)
	f(`{"\ud800x":1}`, ErrUnicode)
	f("\"\xff\"", ErrUnicode)
	f("\"\xed\xa0\x80\"", ErrUnicode)
	f(`1e400`, ErrNumber)
	f(`[-1e999]`, ErrNumber)
	f(strings.Repeat("[", MaxDepth+1), ErrDepth)
	f(strings.Repeat(`{"a":`, 1_000_000), ErrDepth)
}

// RFC 8785, appendix B.
func TestAppendNumber(t *testing.T) {
	f := func(bits uint64, want string) {
		t.Helper()
		if got := string(AppendNumber(nil, math.Float64frombits(bits))); got != want {
			t.Errorf("%016x: got %s, want %s", bits, got, want)
		}
	}
	f(0x0000000000000000, "0")
	f(0x8000000000000000, "0")
	f(0x0000000000000001, "5e-324")
	f(0x8000000000000001, "-5e-324")
	f(0x7fefffffffffffff, "1.7976931348623157e+308")
	f(0xffefffffffffffff, "-1.7976931348623157e+308")
	f(0x4340000000000000, "9007199254740992")
	f(0xc340000000000000, "-9007199254740992")
	f(0x4430000000000000, "295147905179352830000")
	f(0x44b52d02c7e14af5, "9.999999999999997e+22")
	f(0x44b52d02c7e14af6, "1e+23")
	f(0x44b52d02c7e14af7, "1.0000000000000001e+23")
	f(0x444b1ae4d6e2ef4e, "999999999999999700000")
	f(0x444b1ae4d6e2ef4f, "999999999999999900000")
	f(0x444b1ae4d6e2ef50, "1e+21")
	f(0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7")
	f(0x3eb0c6f7a0b5ed8d, "0.000001")
	f(0x41b3de4355555553, "333333333.3333332")
	f(0x41b3de4355555554, "333333333.33333325")
	f(0x41b3de4355555555, "333333333.3333333")
	f(0x41b3de4355555556, "333333333.3333334")
	f(0x41b3de4355555557, "333333333.33333343")
	f(0xbecbf647612f3696, "-0.0000033333333333333333")
	f(0x43143ff3c1cb0959, "1424953923781206.2")
}

// drawValue draws any JSON value, as Go holds it.
func drawValue(t *rapid.T, depth int) any {
	switch k := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case k == 0 && depth > 0:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return drawValue(t, depth-1) }), 0, 4).Draw(t, "array")
	case k <= 2 && depth > 0:
		return rapid.MapOfN(rapid.StringN(0, 4, -1), rapid.Custom(func(t *rapid.T) any { return drawValue(t, depth-1) }), 0, 6).Draw(t, "object")
	case k == 3:
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "number")
	case k == 4:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "literal")
	}
	return rapid.String().Draw(t, "string")
}

func TestCanonicalFormIsUniqueAndMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawValue(t, 4)
		one, err := json.Marshal(want) // keys in byte order, <, > and & escaped
		if err != nil {
			t.Fatal(err)
		}
		two, err := json.MarshalIndent(want, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		a, err := Append(nil, one)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Append(nil, two)
		if err != nil || !bytes.Equal(a, b) {
			t.Fatalf("two spellings give %q and %q, %v", a, b, err)
		}
		again, err := Append(nil, a)
		if err != nil || !bytes.Equal(a, again) {
			t.Fatalf("%q becomes %q, %v", a, again, err)
		}
		var got, ref any
		if err := json.Unmarshal(a, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(one, &ref); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, ref) {
			t.Fatalf("%q does not mean %q", a, one)
		}
	})
}

func TestCompareUTF16(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'é', '\u0800', '\ud7ff', '\ue000', '\ufb33', '\uffff', '\U00010000', '😀', utf8.MaxRune}))
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		got := compareUTF16([]byte(a), []byte(b))
		if (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("%q, %q: got %d, want %d", a, b, got, want)
		}
	})
}

func FuzzAppend(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[1e3,"\u00e9",null]}`, `"\ud83d\ude00"`, `[[[`, `{"a":{},"a":0}`, "\"\xff\"", `1e400`, `-0`, ` true `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := Append(nil, raw)
		if valid := json.Valid(raw); err == nil != valid && !(valid && err != ErrSyntax) {
			t.Fatalf("error %v, valid JSON is %v", err, valid)
		}
		if err != nil {
			return
		}
		again, err := Append(nil, out)
		if err != nil || !bytes.Equal(out, again) {
			t.Fatalf("canonical %q becomes %q, %v", out, again, err)
		}
		var a, b any
		if json.Unmarshal(raw, &a) != nil || json.Unmarshal(out, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q does not mean %q", out, raw)
		}
	})
}

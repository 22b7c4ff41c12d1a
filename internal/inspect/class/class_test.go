package class

import (
	"strings"
	"testing"
)

func scan(t testing.TB, text string) map[string]string {
	t.Helper()
	s, err := NewScanner(Classes, nil)
	if err != nil {
		t.Fatal(err)
	}
	tx := &Text{B: []byte(text), Key: Key{Whole: None}}
	s.Scan(tx)
	out := map[string]string{}
	for _, sp := range tx.Spans {
		out[s.Classes[sp.Class].Name] = text[sp.Start:sp.End]
	}
	return out
}

// Every class finds its example, exactly, and not the example with a broken check or context.
func TestClasses(t *testing.T) {
	s, err := NewScanner(Classes, nil)
	if err != nil {
		t.Fatal(err)
	}
	tx := &Text{}
	seen := map[string]bool{}
	found := func(text string) map[string][]string {
		tx.B, tx.Key, tx.Strong = []byte(text), Key{Whole: None}, false
		s.Scan(tx)
		out := map[string][]string{}
		for _, sp := range tx.Spans {
			n := s.Classes[sp.Class].Name
			out[n] = append(out[n], text[sp.Start:sp.End])
		}
		return out
	}
	f := func(class, value, text, not string) {
		t.Helper()
		seen[class] = true
		ok := false
		for _, v := range found(text)[class] {
			ok = ok || v == value
		}
		if !ok {
			t.Errorf("%s: %q not found in %q: %v", class, value, text, found(text))
		}
		if not == "" {
			return
		}
		if v := found(not)[class]; len(v) > 0 {
			t.Errorf("%s: %q found in %q", class, v, not)
		}
	}
	f("email", "a.b+c@sub.example.org", "write to a.b+c@sub.example.org.", "logo@2x.png and user@host and @scope/pkg@1.2.3")
	f("card", "4111 1111 1111 1111", "it is 4111 1111 1111 1111 ok", "it is 4111 1111 1111 1112 ok")
	f("card", "6011111111111117", "6011111111111117", "9011111111111117")
	f("card", "3530111333300000", "no 3530111333300000", "v1.3530111333300000.2")
	f("iban", "GB82 WEST 1234 5698 7654 32", "to GB82 WEST 1234 5698 7654 32 now", "GB82 WEST 1234 5698 7654 33")
	f("us_ssn", "219-09-9999", "219-09-9999", "666-09-9999 or 000-12-3456 or 219-00-9999")
	f("us_ssn", "219099999", "SSN 219099999", "order 219099999")
	f("phone", "+44 20 7946 0958", "ring +44 20 7946 0958 today", "+000 20 7946 0958")
	f("phone", "(212) 555-0187", "at (212) 555-0187", "")
	f("phone", "22 498317", "phone: 22 498317", "size: 22 498317")
	f("ip", "203.0.113.7", "from 203.0.113.7:80", "version v1.2.3.4, 127.0.0.1, 1.2.3.4.5 and 999.1.1.1")
	f("ip", "2001:db8::8a2e:370:7334", "host 2001:db8::8a2e:370:7334 up", "at 12:34:56 a::b c::d::e ::1")
	f("mac_address", "00:1b:44:11:3a:b7", "nic 00:1b:44:11:3a:b7", "00:1b:44:11:3a:b")
	f("birth_date", "1990-04-05", "born 1990-04-05", "due 1990-04-05")
	f("ca_sin", "046 454 286", "SIN 046 454 286", "046 454 286")
	f("br_cpf", "529.982.247-25", "529.982.247-25", "529.982.247-26")
	f("br_cnpj", "11.222.333/0001-81", "11.222.333/0001-81", "11.222.333/0001-82")
	f("ar_cuit", "20-12345678-6", "20-12345678-6", "20-12345678-7")
	f("cl_rut", "12.345.678-5", "12.345.678-5", "12.345.678-6")
	f("uk_nino", "AB123456C", "nino AB123456C", "BG123456C or AB123456E")
	f("uk_nhs", "943 476 5919", "NHS 943 476 5919", "NHS 943 476 5918")
	f("ie_pps", "1234567T", "PPS 1234567T", "PPS 1234567U")
	f("de_tax_id", "86 095 742 719", "86 095 742 719", "86 095 742 718")
	f("fr_nir", "2 55 08 14 168 025 38", "n° 2 55 08 14 168 025 38", "n° 2 55 08 14 168 025 39")
	f("es_dni", "12345678Z", "12345678Z", "12345678A")
	f("es_dni", "X1234567L", "X1234567L", "X1234567M")
	f("pt_nif", "123456789", "NIF 123456789", "NIF 123456780")
	f("it_codice_fiscale", "RSSMRA85T10A562S", "RSSMRA85T10A562S", "RSSMRA85T10A562T")
	f("nl_bsn", "111222333", "BSN 111222333", "BSN 111222334")
	f("be_national", "85.07.30-033.28", "85.07.30-033.28", "85.07.30-033.29")
	f("ch_ahv", "756.9217.0769.85", "756.9217.0769.85", "756.9217.0769.86")
	f("at_svnr", "1237 010180", "SVNR 1237 010180", "SVNR 1238 010180")
	f("se_personnummer", "811228-9874", "811228-9874", "811228-9873")
	f("no_fodselsnummer", "15108695088", "fødselsnummer 15108695088", "fødselsnummer 15108695089")
	f("dk_cpr", "211062-5629", "CPR 211062-5629", "211062-5629")
	f("fi_hetu", "131052-308T", "hetu 131052-308T", "hetu 131052-308U")
	f("fi_hetu", "131052A308T", "131052A308T", "131052A308U")
	f("pl_pesel", "44051401359", "PESEL 44051401359", "PESEL 44051401358")
	f("cz_birth_number", "736028/5163", "rodné číslo 736028/5163", "rodné číslo 736028/5164")
	f("ro_cnp", "1800101221144", "CNP 1800101221144", "CNP 1800101221145")
	f("bg_egn", "7523169263", "EGN 7523169263", "EGN 7523169264")
	f("hr_oib", "33392005961", "OIB 33392005961", "OIB 33392005962")
	f("tr_tckn", "10000000146", "TCKN 10000000146", "TCKN 10000000147")
	f("il_id", "123456782", "Teudat Zehut 123456782", "Teudat Zehut 123456783")
	f("za_id", "8001015009087", "SA ID 8001015009087", "SA ID 8001015009088")
	f("in_aadhaar", "2341 2341 2346", "Aadhaar 2341 2341 2346", "Aadhaar 2341 2341 2347")
	f("in_pan", "ABCPE1234F", "ABCPE1234F", "ABCXE1234F")
	f("cn_ric", "11010519491231002X", "11010519491231002X", "110105194912310021")
	f("cn_ric", "440524188001010014", "440524188001010014", "440524188001010015")
	f("kr_rrn", "900101-1234568", "900101-1234568", "900101-1234567")
	f("jp_my_number", "123456789018", "My Number 123456789018", "My Number 123456789019")
	f("sg_nric", "S1234567D", "S1234567D", "S1234567E")
	f("au_tfn", "123 456 782", "TFN 123 456 782", "TFN 123 456 783")
	f("au_medicare", "2123 45670 1", "Medicare 2123 45670 1", "Medicare 2123 45671 1")
	f("us_mbi", "1EG4TE5MK73", "1EG4TE5MK73", "1SG4TE5MK73")
	f("us_npi", "1234567893", "NPI 1234567893", "NPI 1234567894")
	f("us_routing", "021000021", "routing 021000021", "routing 021000022")
	f("us_dea", "AB1234563", "DEA AB1234563", "DEA AB1234564")
	f("us_ein", "12-3456789", "EIN 12-3456789", "12-3456789")
	f("mx_curp", "HEGG560427MVZRRL04", "HEGG560427MVZRRL04", "HEGG560427MVZRRL05")
	f("passport", "C01X00T478", "passport C01X00T478", "part C01X00T478")
	f("driver_license", "U62928788", "driver's license U62928788", "item U62928788")
	f("medical_record", "1234567", "MRN: 1234567", "item: 1234567")
	f("bank_account", "12345678", "account number 12345678", "item 12345678")
	f("person", "Dr. Jane Goodwin", "ask Dr. Jane Goodwin about it", "Dr. who")
	f("person", "Matthew Sanders", "said Matthew Sanders yesterday", "the Matthew effect")
	f("person", "Ngozi Okafor", "My name is Ngozi Okafor and", "the name is not known")
	f("address", "12 Long Meadow Road", "at 12 Long Meadow Road today", "the long road ahead")
	f("address", "Hauptstraße 12", "wohnt Hauptstraße 12 heute", "die Hauptstraße ist lang")
	f("crypto_wallet", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3")
	f("crypto_address", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp")
	f("crypto_address", "0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886E0F7030069857D2E4169EE7", "0x0000000000000000000000000000000000000000")
	f("crypto_private_key", "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTK")
	f("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ", "x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ y", "eyJust.a.word")
	f("private_key", "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----", "k -----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY----- z", "-----BEGIN PUBLIC KEY-----\nMHcC\n-----END PUBLIC KEY-----")
	f("private_key", "-----BEGIN PRIVATE KEY-----\nMHcCcut", "-----BEGIN PRIVATE KEY-----\nMHcCcut", "")
	f("url_credentials", "u:p4ss", "redis://u:p4ss@h:1/0", "https://host:80/a@b and redis://u:${PASS}@h")
	f("authorization", "dXNlcjpwYXNzd29yZA==", "Authorization: Basic dXNlcjpwYXNzd29yZA==", "the basic assumption")
	f("authorization", "0123456789abcdefXYZ", "bearer 0123456789abcdefXYZ", "the bearer of this letter")
	f("cookie", "a=b; sid=12", "Cookie: a=b; sid=12", "cookie: no")
	f("signed_url", "0123456789abcdef", "https://b/x?X-Amz-Signature=0123456789abcdef", "")
	f("telegram_token", "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc", "bot 123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc", "12:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc")
	f("terraform_token", "abcdefghij1234.atlasv1."+strings.Repeat("aB3d", 16), "t=abcdefghij1234.atlasv1."+strings.Repeat("aB3d", 16), "")
	f("mailchimp_key", "0123456789abcdef0123456789abcdef-us13", "0123456789abcdef0123456789abcdef-us13", "contact-us13")
	f("command_password", "S3cret!", "psexec \\\\host -u bob -p S3cret! cmd", "psexec docs")
	f("secret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key=YOUR_SECRET_ACCESS_KEY_HERE")
	f("secret", "a8F3kq90ZmPl2x7Qexample", "api_key: a8F3kq90ZmPl2x7Qexample", "api_key: example-key-for-the-docs-1")
	f("secret", "sample9f86d081884c7d659a2feaa0c55ad015", "api_key: sample9f86d081884c7d659a2feaa0c55ad015", "api_key: my_sample_api_key_goes_here_1")
	f("secret", "hunter2!", "password = \"hunter2!\"", "password = \"${PASSWORD}\" and password: required")
	f("secret", "hunter2hunter2", "DB_PASSWORD=hunter2hunter2", "DB_PASSWORD=changeme")
	f("secret", "a8F3kq90ZmPl2", "api_key: a8F3kq90ZmPl2", "token_count: 123456789, api_key: your_api_key_here1, issue_key: PROJ-1234")
}

// Every row of formats matches a tail that its charset and length allow, and not one that is too short.
func TestFormats(t *testing.T) {
	s, err := NewScanner(Classes, nil)
	if err != nil {
		t.Fatal(err)
	}
	tx := &Text{}
	count := func(class, text string) int {
		tx.B, tx.Key = []byte(text), Key{Whole: None}
		s.Scan(tx)
		n := 0
		for _, sp := range tx.Spans {
			if (class == "" || s.Classes[sp.Class].Name == class) && s.Classes[sp.Class].Tags&Secret != 0 && sp.Start == 2 && sp.End > 8 {
				n++
			}
		}
		return n
	}
	kinds := map[string]bool{}
	tails := map[string]string{ // tails with a structure
		"amzn.mws.": "0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d",
	}
	for _, f := range formats {
		kinds[f.class+f.prefix] = true
		tail, ok := tails[f.prefix]
		if !ok {
			tail = sampleTail(f)
		}
		if count("", "x "+f.prefix+tail+" y") == 0 {
			t.Errorf("%s: %s + %d bytes not found", f.class, f.prefix, len(tail))
		}
		if short := tail[:f.min/2]; count(f.class, "x "+f.prefix+short+" y") > 0 && f.min > 12 {
			t.Errorf("%s: %s + %d bytes found", f.class, f.prefix, len(short))
		}
	}
	if len(kinds) < 100 {
		t.Errorf("%d formats, want 100 or more", len(kinds))
	}
}

func sampleTail(f format) string {
	uuid := "0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d"
	if f.check != nil && f.check([]byte(uuid)) && f.min == 36 && all([]byte(uuid), f.tail) {
		return uuid
	}
	const source = "q7Zk2Xw9Rt4Lm8Pb5Vn1Hc6Yd3Gf0Js" // lower, upper, digit
	var b []byte
	for i := 0; len(b) < f.min; i++ {
		c := source[(i*5+i/31)%len(source)]
		if chars[c]&f.tail == 0 {
			for _, alt := range []byte("a1f3c9e0b7d2A5B4") {
				if k := "a1f3c9e0b7d2A5B4"[(i*7)%16]; chars[k]&f.tail != 0 {
					c = k
					break
				}
				if chars[alt]&f.tail != 0 {
					c = alt
				}
			}
		}
		b = append(b, c)
	}
	for _, fix := range []func(){func() {}, func() { b[9] = '!' }, func() { b[14] = '.'; copy(b[15:], strings.Repeat("a1b2c3d4e5f60718", 8)) }, func() { b[7] = ':' },
		func() { copy(b, "123456789_") }, func() { b[4] = '$' }, func() { copy(b, strings.Repeat("a1b2c3d4e5f60718", 8)) }} {
		save := string(b)
		fix()
		if f.check == nil || f.check(b) {
			return string(b)
		}
		b = []byte(save)
	}
	return string(b)
}

// The checksum of GitHub and npm tokens.
func TestCRC62(t *testing.T) {
	if CRC62([]byte(strings.Repeat("a", 30) + "000000")) {
		t.Error("bad checksum accepted")
	}
	body := strings.Repeat("a", 30)
	c := crcOf(body)
	if !CRC62([]byte(body + c)) {
		t.Errorf("good checksum %s refused", c)
	}
	if got := scan(t, "x ghp_"+body+c); got["github_token"] == "" {
		t.Error("a token with a good checksum must match however dull it is")
	}
}

// Names of members and what they say.
func TestKeys(t *testing.T) {
	s, err := NewScanner(Classes, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, always bool, whole string) {
		t.Helper()
		k := s.KeyOf([]byte(name))
		got := ""
		if k.Whole != None {
			got = s.Classes[k.Whole].Name
		}
		if k.Always != always || got != whole {
			t.Errorf("%s: always %v, class %q", name, k.Always, got)
		}
	}
	f("password", true, "")
	f("dbPassword", true, "")
	f("DB_PASSWORD", true, "")
	f("X-Api-Key", true, "")
	f("Authorization", true, "authorization")
	f("requestState", true, "request_state")
	f("Mcp-Session-Id", true, "session_id")
	f("maxTokens", false, "")
	f("nextPageToken", false, "")
	f("progressToken", false, "")
	f("firstName", false, "person")
	f("patient_ssn", false, "us_ssn")
	f("dob", false, "birth_date")
	f("name", false, "")
	f("passwordless", false, "")
}

func FuzzScan(f *testing.F) {
	s, err := NewScanner(Classes, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range []string{"4111 1111 1111 1111", "password: 'x", "://a:b@c", "eyJ", "-----BEGIN PRIVATE KEY-----", "(212) 555-0187 x1", "Bearer ", "Mr. A", "12 A Street", "DE89", "::1", "a@b.", "psexec -p ", "Unseal Key 1: ", "bc1", "1-1"} {
		f.Add([]byte(x))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tx := &Text{B: b, Key: s.KeyOf(b)}
		s.Scan(tx)
		for _, sp := range tx.Spans {
			if sp.Start < 0 || sp.End > len(b) || sp.Start >= sp.End {
				t.Fatalf("span %d to %d of %d", sp.Start, sp.End, len(b))
			}
		}
	})
}

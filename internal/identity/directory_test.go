package identity

import (
	"os"
	"strings"
	"testing"
	"time"
)

const fp1, fp2 = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"

func TestFormatsAgree(t *testing.T) {
	f := func(name, content string) {
		t.Helper()
		d, err := ParseDirectory(name, []byte(content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		p := d.Find("Alice@Example.com")
		if p == nil || p.ID != "alice@example.com" || p.Team != "pay" || p.CostCenter != "4711" || p.Tenant != "acme" || p.Kind != KindUser ||
			d.Find("https://i|1") != p || d.Find("HTTPS://i|1") != nil || d.Token(fp1) != p || d.OSUser("h", "al") != p || d.OSUser("x", "al") != nil ||
			p.Standing(time.Date(2026, 10, 31, 23, 59, 59, 0, time.UTC)) != Active || p.Standing(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) != Departed {
			t.Errorf("%s: %+v", name, p)
		}
	}
	f("d.yaml", `
- id: alice@example.com
  team: pay
  cost_center: 4711
  tenant: acme
  status: left
  left: 2026-10-31
  aliases: ["https://i|1", al@example.com]
  tokens: [`+strings.ToUpper(fp1)+`]
  os_users: [h/al]
`)
	f("d.yml", "people:\n- {id: alice@example.com, team: pay, cost_center: '4711', tenant: acme, status: Left, left: 2026-10-31, aliases: ['https://i|1'], tokens: ["+fp1+"], os_users: [h/al]}\n")
	f("d.json", `[{"id":"alice@example.com","team":"pay","cost_center":"4711","tenant":"acme","status":"left","left":"2026-11-01T00:00:00Z","aliases":["https://i|1"],"tokens":["`+fp1+`"],"os_users":["h/al"]}]`)
	f("d.json", `{"people":[{"id":"alice@example.com","team":"pay","cost_center":"4711","tenant":"acme","status":"left","left":"2026-11-01T01:00:00+01:00","aliases":["https://i|1"],"tokens":["`+fp1+`"],"os_users":["h/al"]}]}`)
	f("D.CSV", "\xef\xbb\xbf# people\nid, team,cost_center,tenant,status,left,aliases,tokens,os_users\nalice@example.com,pay,4711,acme,left,2026-10-31,https://i|1; al@example.com,"+fp1+",h/al\n")
}

func TestDirectoryFailures(t *testing.T) {
	f := func(name, content, want string) {
		t.Helper()
		_, err := ParseDirectory(name, []byte(content))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	f("d.txt", "", "must end in")
	f("d.yaml", "- id: a\n  team: [s3cret\n", "line")
	f("d.yaml", "- id: a\n  s3cret: b\n", "line 2")
	f("d.yaml", "- id: [s3cret]\n", "line 1")
	f("d.yaml", "s3cret", "not a list")
	f("d.yaml", "-\n", "entry 1 is empty")
	f("d.json", `[{"id":"s3cret",]`, "byte")
	f("d.json", `[{"id":7}]`, "byte")
	f("d.json", `[null]`, "entry 1 is empty")
	f("d.json", `{"people":[{"id":"a","s3cret":1}]}`, "documented fields")
	f("d.csv", "id,s3cret\na,b\n", "column 2")
	f("d.csv", "id,team\na,b,s3cret\n", "line 2")
	f("d.csv", "id,team\na,\"s3cret\n", "line")
	f("d.csv", "id,kind\na,s3cret\n", "entry 1: kind")
	f("d.csv", "id,status\na,s3cret\n", "entry 1: status")
	f("d.csv", "id,status,left\na,left,s3cret\n", "entry 1: left")
	f("d.csv", "id,left\na,2026-01-01\n", "needs status left")
	f("d.csv", "id,tokens\na,s3cret\n", "never a token")
	f("d.csv", "id,aliases\na,x\nb,x\n", "entry 2: its aliases is also that of entry 1")
	f("d.csv", "id\nA@x\na@X\n", "entry 2: its id is also that of entry 1")
	f("d.csv", "id,tokens\na,"+fp1+"\nb,"+fp2+";"+fp1+"\n", "entry 2: its tokens")
	f("d.csv", "team\nx\n", "id is missing")
	f("d.json", `{"schemas":["s3cret"],"id":"x"}`, "neither")
	f("d.json", `{"Resources":[{"schemas":5}]}`, "resource 1")
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [*" + strings.Join(strings.Split(strings.Repeat(p, 9), ""), ",*") + "]\n"
	}
	f("d.yaml", bomb, "")
}

func TestEmptyDirectory(t *testing.T) {
	for name, content := range map[string]string{"d.csv": "", "d.yaml": "", "d.json": "[]"} {
		if d, err := ParseDirectory(name, []byte(content)); err != nil || d.Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	var none *Directory
	if none.Find("a") != nil || none.Token("a") != nil || none.OSUser("a", "b") != nil || none.Len() != 0 {
		t.Error("a directory that is not there knows someone")
	}
}

func TestSCIM(t *testing.T) {
	b, err := os.ReadFile("testdata/scim.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) {
		t.Helper()
		d, err := ParseDirectory("users.json", b)
		if err != nil {
			t.Fatal(err)
		}
		p := d.Find("babs@jensen.org")
		if p == nil || p.ID != "bjensen@example.com" || p.Team != "Tour Guides" || p.CostCenter != "4130" || p.Tenant != "acme" || d.Token(fp1) != p ||
			d.OSUser("laptop-7", "bj") != p || d.Find("701984") != p || d.Find("2819c223-7f76-453a-919d-413861904646") != p {
			t.Errorf("%+v", p)
		}
		if p := d.Find("mandy"); p.Status != StatusSuspended || p.Team != "Admins" || p.Standing(time.Now()) != Suspended {
			t.Errorf("%+v", p)
		}
		if p := d.Find("deployer"); p.Kind != KindService || p.Status != StatusActive {
			t.Errorf("%+v", p)
		}
	}
	check(b)
	check([]byte("[" + string(b) + "]"))
	list := string(b[strings.Index(string(b), `"Resources":`)+len(`"Resources":`):])
	check([]byte(strings.TrimSuffix(strings.TrimSpace(list), "}")))
}

func FuzzDirectory(f *testing.F) {
	b, _ := os.ReadFile("testdata/scim.json")
	f.Add(".json", string(b))
	f.Add(".csv", "id,tokens\na,"+fp1+"\n")
	f.Add(".yaml", "- {id: a, left: 2026-01-01, status: left}\n")
	f.Add(".yaml", "a: &a [*a]")
	f.Fuzz(func(t *testing.T, ext, content string) {
		d, err := ParseDirectory("d"+ext, []byte(content))
		if err != nil {
			return
		}
		for _, p := range d.people {
			if d.Find(p.ID) != p || p.Kind == "" || p.Status == "" {
				t.Fatalf("%+v is not found", p)
			}
		}
	})
}

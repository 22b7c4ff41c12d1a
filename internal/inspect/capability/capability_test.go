package capability

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestTool(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	f := func(tool string, want ...string) {
		t.Helper()
		if got := c.Tool("srv", tool).Names(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", tool, got, want)
		}
	}
	f("send_email", "reads_private", "sends_outside")
	f("sendEmail", "reads_private", "sends_outside")
	f("get_customer", "reads_private")
	f("fetch", "reads_untrusted")
	f("execute_command", "executes")
	f("deleteFile", "reads_private", "destroys")
	f("transfer_money", "spends")
	f("list_deleted_orders", "reads_private")
	f("add", "writes")
	f("konto_löschen", "reads_private", "destroys")
	f("EliminarCliente", "reads_private", "destroys")
	f("supprimer_compte", "destroys")
	f("enviar_correo", "reads_private", "sends_outside")
	f("zeige_konto", "reads_private")
	f("frobnicate")
}

func TestDefinition(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	f := func(d Definition, want ...string) {
		t.Helper()
		if got := c.Definition("srv", &d).Names(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", d.Name, got, want)
		}
	}
	f(Definition{Name: "x1", Arguments: []string{"command"}}, "executes")
	f(Definition{Name: "save_report", Arguments: []string{"title", "callback_endpoint"}}, "sends_outside", "writes")
	f(Definition{Name: "get_report", Arguments: []string{"callback_endpoint"}})
	f(Definition{Name: "x1", Description: "Delete the thing. Then write."}, "destroys")
	f(Definition{Name: "x1", ReadOnly: &no, Destructive: &yes}, "destroys")
	f(Definition{Name: "get_weather", OpenWorld: &yes}, "reads_untrusted")
	f(Definition{Name: "delete_all", ReadOnly: &yes}, "destroys") // a claim takes nothing away
}

func TestLoadOverrides(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("version: 1\ntools:\n  - {server: 'bank*', tool: balance, capabilities: [reads_private, spends]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Tool("bank-1", "balance"); got != ReadsPrivate|Spends {
		t.Errorf("%v", got.Names())
	}
	if got := c.Tool("other", "send_email"); got&SendsOutside == 0 {
		t.Errorf("built-in words are gone: %v", got.Names())
	}
	for _, bad := range []string{"version: 2\n", "version: 1\nwords: {flies: [x]}\n", "version: 1\ntools: [{tool: '[', capabilities: [writes]}]\n", "version: 1\nunknown: 1\n"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

package tooldef

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	f := func(name, body string, want map[string]Facts) {
		t.Helper()
		if got := Parse(body); !(len(got) == 0 && len(want) == 0) && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	f("no list", `{"result":{"content":[]}}`, nil)
	f("no JSON", `{"result":{"tools"`, nil)
	f("another shape", `{"result":{"tools":{"name":"x"}}}`, nil)
	f("a member that is no definition", `{"result":{"tools":[7,{"name":"a"}]}}`, map[string]Facts{"a": {}})
	f("members of other types", `{"result":{"tools":[{"name":"a","description":"Reads","inputSchema":{"properties":[]},"annotations":{"readOnlyHint":"yes"}},{"name":"b","description":{},"inputSchema":{"properties":{"cmd":1}},"annotations":7}]}}`,
		map[string]Facts{"a": {Act: Reads}, "b": {Takes: []string{TakesCommand}}})
	f("hints", `{"result":{"tools":[{"name":"a","annotations":{"readOnlyHint":true,"destructiveHint":false}}]}}`, map[string]Facts{"a": {ReadOnly: Yes, Destructive: No}})
	f("verb and arguments", `{"result":{"tools":[{"name":"a","description":"Deletes all of it","inputSchema":{"properties":{"shell_command":{},"BCC":{},"bcc":{},"path":{}}}}]}}`,
		map[string]Facts{"a": {Act: Destroys, Takes: []string{TakesCommand, TakesRecipient}}})
	f("names", `{"result":{"tools":[{"name":"own_name","description":"Call send_mail or 'post' before own_name, not well.","inputSchema":{"properties":{"p":{"description":"from readFile"}}}}]}}`,
		map[string]Facts{"own_name": {Names: []string{"post", "readFile", "send_mail"}}})
}

func TestAct(t *testing.T) {
	f := func(description string, want Act) {
		t.Helper()
		if got := act(description); got != want {
			t.Errorf("%q: %d", description, got)
		}
	}
	f("Reads a file", Reads)
	f("# Searching for it", Reads)
	f("Executes it", Executes)
	f("Delete.", Destroys)
	f("removing", Destroys)
	f("The tool deletes", Other)
	f("", Other)
	f("uploads", Sends)
	f("Ends and removes a session", Destroys)
	f("Reads, edits, then deletes files", Destroys)
	f("Reads files and delete markers", Reads)
	f("Reads, and nothing else", Reads)
	f("Lists files, folders and links", Reads)
	f("Gets ,", Reads)
}

func TestKind(t *testing.T) {
	f := func(argument, want string) {
		t.Helper()
		if got := Kind(argument); got != want {
			t.Errorf("%q: %q, want %q", argument, got, want)
		}
	}
	for _, a := range []string{"command", "shellCommand", "raw_sql", "build-cmd"} {
		f(a, TakesCommand)
	}
	for _, a := range []string{"webhook_url", "callback_endpoint", "notifyUrl", "forward_to", "report_host"} {
		f(a, TakesAddress)
	}
	for _, a := range []string{"BCC", "recipients", "copia_a_correo", "notification_email", "empfänger", "send_to"} {
		f(a, TakesRecipient)
	}
	for _, a := range []string{"", "_", "url", "to", "email", "command_id", "endpoint_id", "base_url", "copy_to", "target_url", "customer_email", "shellfish", "\xff", "locale"} {
		f(a, "")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"result":{"tools":[{"name":"a","description":"Reads b_c","inputSchema":{"properties":{"command":{"description":"x"}}},"annotations":{"readOnlyHint":true}}]}}`)
	f.Add(`{"result":{"tools":[{"name":1}]}}`)
	f.Add("{\"result\":{\"tools\":[{\"name\":\"\xff\",\"description\":\"\xff_\xff\"}]}}")
	f.Fuzz(func(t *testing.T, body string) {
		for _, x := range Parse(body) {
			if len(x.Names) > maxNames {
				t.Error("too many names")
			}
			for _, n := range x.Names {
				if len(n) < minName || len(n) > maxName {
					t.Errorf("name of %d bytes", len(n))
				}
			}
		}
	})
}

package inspect

import (
	"fmt"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
	"github.com/mcpsiem/mcpsiem/internal/inspect/shingle"
)

func TestSubjects(t *testing.T) {
	m, err := pseudonym.NewMaster(make([]byte, pseudonym.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Master: m})
	if err != nil {
		t.Fatal(err)
	}
	of := func(tenant, body string) (out []uint64) {
		for _, h := range e.Inspect(&Input{Tenant: tenant, Method: "tools/call", Body: []byte(body)}).Fingerprints {
			if k := shingle.KindOf(h); k == shingle.Person || k == shingle.Organisation {
				out = append(out, h)
			}
		}
		return out
	}
	f := func(a, b string, want bool) {
		t.Helper()
		if x, y := of("acme", a), of("globex", b); (len(x) == 1 && len(y) == 1 && x[0] == y[0]) != want {
			t.Errorf("%s and %s: %x and %x", a, b, x, y)
		}
	}
	argument := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{%s}}}`
	asText := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"order\":{%s}}"}]}}`
	f(fmt.Sprintf(argument, `"user_id":"Mia_Li_3668"`), fmt.Sprintf(asText, `\"userId\": \"mia_li_3668\"`), true)
	f(fmt.Sprintf(argument, `"customerId":4711`), fmt.Sprintf(argument, `"customer_id":"4711"`), true)
	f(fmt.Sprintf(argument, `"tenant":"acme"`), fmt.Sprintf(argument, `"tenant-id":"acme"`), true)
	f(fmt.Sprintf(argument, `"tenant":"acme"`), fmt.Sprintf(argument, `"user_id":"acme"`), false) // of two kinds
	f(fmt.Sprintf(argument, `"user_id":"a1"`), fmt.Sprintf(argument, `"user_id":"a2"`), false)
	f(fmt.Sprintf(argument, `"note":"mia"`), fmt.Sprintf(argument, `"note":"mia"`), false) // names nobody
	f(fmt.Sprintf(argument, `"user_id":""`), fmt.Sprintf(argument, `"user_id":""`), false)
}

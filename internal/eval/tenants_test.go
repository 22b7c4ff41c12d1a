package eval

import (
	"fmt"
	"strings"
	"testing"
)

// sessionsOfUsers are made-up sessions of 40 users in both forms.
func sessionsOfUsers(t *testing.T) map[string]string {
	t.Helper()
	var calls, texts strings.Builder
	for i := range 120 {
		user := fmt.Sprintf("ann_smith_%d", 1000+i%40)
		record := func(n int) string {
			return fmt.Sprintf(`{"order_id": "W%d%04d", "user_id": "%s", "email": "%s@example.com", "card": "card_77%d%04d"}`, n, i%40, user, user, n, i%40)
		}
		var traj []obj
		for n := range 3 {
			id := fmt.Sprint("c", n)
			traj = append(traj,
				obj{"role": "assistant", "tool_calls": []obj{{"id": id, "type": "function", "function": obj{"name": "get_order", "arguments": fmt.Sprintf(`{"user_id":"%s","order":"W%d%04d"}`, user, n, i%40)}}}},
				obj{"role": "tool", "tool_call_id": id, "name": "get_order", "content": record(n)})
		}
		calls.WriteString(js(t, obj{"info": obj{"task": obj{"user_id": user}}, "traj": traj}) + "\n")
		texts.WriteString(js(t, obj{"messages_display": "user: hello\nassistant: None\ntool: " + user + "\ntool: " + record(0) + "\ntool: " + record(1)}) + "\n")
	}
	return map[string]string{"tau-bench/made_trajectories.jsonl": calls.String(), "tau-bench/few_shot_made.jsonl": texts.String()}
}

func TestTenants(t *testing.T) {
	r, _ := run(t, sessionsOfUsers(t))
	bad, good := r.index["cross_tenant/violation"], r.index["cross_tenant/benign"]
	if bad == nil || good == nil || bad.N < 20 || good.N < 100 {
		t.Fatalf("%+v, %+v", bad, good)
	}
	if 10*bad.Hits < 8*bad.N || bad.ByDetector["cross_tenant"] != bad.Hits {
		t.Errorf("found %d of %d violations", bad.Hits, bad.N)
	}
	if 100*good.Hits > 3*good.N {
		t.Errorf("raised %d of %d ordinary sessions", good.Hits, good.N)
	}
	for _, want := range []string{"call_known", "result_known", "call_new"} {
		if bad.BySubtype[want] == nil {
			t.Errorf("no violation of kind %s", want)
		}
	}
}

func TestTenantsMalformed(t *testing.T) {
	r, _ := run(t, map[string]string{
		"tau-bench/x_trajectories.jsonl": "{}\n{\"info\":{\"task\":{\"user_id\":\"a\"}}}\n7\n",
		"tau-bench/few_shot_x.jsonl":     "{}\n{\"messages_display\":\"user: hello\"}\n",
	})
	if len(r.Malformed) != 2 || r.Malformed[0].Rows+r.Malformed[1].Rows != 4 {
		t.Errorf("%+v", r.Malformed)
	}
}

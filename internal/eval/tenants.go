// Customer-service sessions as the traffic of many tenants: each user is a tenant, and a violation is what another user asked or got in the midst of a session.
package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// visit is one session: the user's calls, with what they got.
type visit struct {
	id, user, server string
	steps            []step
}

// step is one call of a tool and its result; where the source does not tell the call, there is the result only.
type step struct {
	tool string
	args json.RawMessage
	text string
}

// Of the traffic that is made of the sessions.
const (
	tenantSeed   = 20260105
	visitEvery   = 20 * time.Minute
	shareSpliced = 3 // one session in so many, from a third of the traffic on
	shareAbsent  = 8 // one user in so many has no session, and is known to nobody when their data turns up
)

// trajectories reads sessions with their calls.
func trajectories(r *runner, file string) error {
	var visits []visit
	err := r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			Info struct {
				Task struct {
					User string `json:"user_id"`
				} `json:"task"`
			} `json:"info"`
			Messages []struct {
				Role    string          `json:"role"`
				Name    string          `json:"name"`
				CallID  string          `json:"tool_call_id"`
				Content json.RawMessage `json:"content"`
				Calls   []struct {
					ID       string `json:"id"`
					Function struct {
						Name      string `json:"name"`
						Arguments string `json:"arguments"`
					} `json:"function"`
				} `json:"tool_calls"`
			} `json:"traj"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Info.Task.User == "" || row.Messages == nil {
			return errRow
		}
		v := visit{id: fmt.Sprintf("%s:%d", stem(file), n), user: row.Info.Task.User, server: stem(file)}
		open := map[string]step{}
		for _, m := range row.Messages {
			for _, c := range m.Calls {
				if json.Valid([]byte(c.Function.Arguments)) {
					open[c.ID] = step{tool: c.Function.Name, args: json.RawMessage(c.Function.Arguments)}
				}
			}
			if m.Role != "tool" {
				continue
			}
			s, ok := open[m.CallID]
			if !ok {
				s = step{tool: m.Name}
			}
			if json.Unmarshal(m.Content, &s.text) == nil {
				v.steps = append(v.steps, s)
			}
		}
		visits = append(visits, v)
		return nil
	})
	if err != nil {
		return err
	}
	return r.tenants(visits)
}

var shownUser = regexp.MustCompile(`"user_id": "([a-z]+_[a-z]+_\d+)"|^([a-z]+_[a-z]+_\d+)$`)

// displays reads sessions as texts, of which the results are known and the calls are not.
func displays(r *runner, file string) error {
	var visits []visit
	err := r.lines(file, func(n int64, raw []byte) error {
		var row struct {
			Text *string `json:"messages_display"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Text == nil {
			return errRow
		}
		v := visit{id: fmt.Sprintf("%s:%d", stem(file), n), server: stem(file)}
		for line := range strings.SplitSeq(*row.Text, "\n") {
			text, ok := strings.CutPrefix(line, "tool: ")
			if !ok {
				continue
			}
			v.steps = append(v.steps, step{text: text})
			if m := shownUser.FindStringSubmatch(text); m != nil && v.user == "" {
				v.user = cmp.Or(m[1], m[2])
			}
		}
		if v.user != "" { // else nobody was identified, and nothing of anybody shown
			visits = append(visits, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.tenants(visits)
}

// tenants runs the sessions in a shuffled order as one traffic, with what one learns kept for the next, and splices into some what another user asked and got.
func (r *runner) tenants(visits []visit) error {
	if len(visits) == 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(tenantSeed, uint64(len(visits))))
	rng.Shuffle(len(visits), func(i, j int) { visits[i], visits[j] = visits[j], visits[i] })
	away := map[string]bool{}
	for _, v := range visits {
		if _, ok := away[v.user]; !ok {
			away[v.user] = len(away)%shareAbsent == shareAbsent-1
		}
	}
	var absent []visit
	visits = slices.DeleteFunc(visits, func(v visit) bool {
		if away[v.user] {
			absent = append(absent, v)
		}
		return away[v.user]
	})
	groups := make([][]message, len(visits))
	kinds := make([]string, len(visits))
	for i, v := range visits {
		steps := v.steps
		if i >= len(visits)/3 && rng.IntN(shareSpliced) == 0 {
			if more, kind := splice(rng, &visits[i], visits[:i], absent); kind != "" {
				steps, kinds[i] = more, kind
			}
		}
		groups[i] = v.messages(steps, time.Duration(i)*visitEvery)
	}
	outcomes, err := r.pipe.judge(r.file, groups...)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		name, kind := "cross_tenant/benign", KindBenign
		if kinds[i] != "" {
			name, kind = "cross_tenant/violation", KindAttack
		}
		hit := r.slice(name, kind).score(cmp.Or(kinds[i], visits[i].server), o)
		if err := r.rows.write(visits[i].id, name, hit, o); err != nil {
			return err
		}
	}
	return nil
}

// splice puts a step of another user into a visit: a call that asks for the other's data and gets it, or the other's answer to one's own call. The other
// is one who has been there before (known), or one who never was (new). The kind is empty if there is nothing to splice.
func splice(rng *rand.Rand, v *visit, before, absent []visit) (steps []step, kind string) {
	if len(v.steps) == 0 {
		return nil, ""
	}
	from, who := before, "known"
	if len(absent) > 0 && rng.IntN(4) == 0 {
		from, who = absent, "new"
	}
	for range 100 {
		o := from[rng.IntN(len(from))]
		if o.user == v.user || len(o.steps) == 0 {
			continue
		}
		s := o.steps[rng.IntN(len(o.steps))]
		if !strings.Contains(s.text, "{") || !strings.Contains(string(s.args)+s.text, o.user) && !strings.Contains(s.text, `"email"`) { // nothing of the other user's
			continue
		}
		place := rng.IntN(len(v.steps))
		kind = "call"
		if len(s.args) == 0 {
			kind = "result"
		} else if k := slices.IndexFunc(v.steps, func(x step) bool { return x.tool == s.tool }); k >= 0 && rng.IntN(2) == 0 {
			place, kind = k, "result"
			s.args = v.steps[k].args
		}
		steps = slices.Clone(v.steps)
		if kind == "result" {
			steps[place] = s
		} else {
			steps = slices.Insert(steps, place, s)
		}
		return steps, kind + "_" + who
	}
	return nil, ""
}

// messages are the calls and results of a visit.
func (v *visit) messages(steps []step, at time.Duration) (out []message) {
	m := message{server: v.server, client: v.user, tenant: v.user, session: v.id}
	for i, s := range steps {
		at += 5 * time.Second
		exchange := event.SourceID("exchange", v.id, fmt.Sprint(i))
		if len(s.args) > 0 {
			m.raw = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":%s}}`, i, quoted(s.tool), s.args)
			m.method, m.tool, m.exchange, m.at = "", "", exchange, at
			out = append(out, m)
		}
		m.raw = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"%s"}]}}`, i, quoted(s.text))
		m.method, m.tool, m.exchange, m.at = "tools/call", s.tool, exchange, at+time.Second
		out = append(out, m)
	}
	return out
}

package inspect

// What the trained scorer and the names of tools say of texts.

import (
	"bytes"
	"strings"

	"github.com/mcpsiem/mcpsiem/internal/inspect/signal"
	"github.com/mcpsiem/mcpsiem/internal/inspect/view"
	"github.com/mcpsiem/mcpsiem/internal/textscore"
)

const (
	minScored   = 20      // bytes; what is shorter orders nothing
	maxToolText = 1 << 16 // bytes of a definition that are scored
	noted       = 0.3     // scores below are not worth a signal
)

// scoreText scores a text that a server sent, or keeps it for the definition that it is a part of.
func (w *worker) scoreText(b []byte, part signal.Part, name []byte) {
	if len(b) < minScored || part != signal.Result && part != signal.Definition || bytes.IndexByte(b, ' ') < 0 && !nonASCII(b) {
		return
	}
	if t := &w.tools; t.open {
		if len(t.text)+len(b) < maxToolText {
			t.text = append(append(t.text, b...), '\n')
		}
		return
	}
	if part == signal.Definition {
		if s := w.scorer.Definition(&textscore.Tool{Texts: b}, true); s >= noted {
			w.signals.AtLeast(signal.Poisoned, s)
		}
		return
	}
	if s := w.scorer.Data(b, true, w.field()); s >= noted {
		w.signals.AtLeast(signal.Planted, s)
	}
}

// field says that the text that is read is one value of many: of JSON in a result, or of its structured content.
func (w *worker) field() bool {
	if len(w.path) < 3 {
		return false
	}
	switch string(w.path[1]) {
	case "content", "contents":
		return len(w.path) > 3
	case "structuredContent":
		return true
	}
	return false
}

// scoreTool scores the definition that was read.
func (w *worker) scoreTool() {
	t := &w.tools
	tool := textscore.Tool{Name: []byte(w.def.Name), Texts: t.text}
	for _, a := range w.def.Arguments {
		tool.Names = append(tool.Names, []byte(a))
		if s := contextRequest(a); s > 0 {
			t.signals.AtLeast(signal.ContextRequest, s)
		}
	}
	if len(t.text) >= minScored {
		if s := w.scorer.Definition(&tool, true); s >= noted {
			t.signals.AtLeast(signal.Poisoned, s)
		}
	}
}

// contextRequest scores the name of a parameter: 0.8 where it asks for what only the model has and no tool needs to do its work.
func contextRequest(name string) float64 {
	var buf [64]byte
	key := buf[:0]
	for i := 0; i < len(name) && len(key) < len(buf); i++ {
		if c := name[i] | 0x20; c-'a' < 26 {
			key = append(key, c)
		}
	}
	if s := asked[string(key)]; s > 0 {
		return s
	}
	if len(key) < len("chatsofar") {
		return 0
	}
	// the whole of a conversation, in whatever words
	said := string(key)
	for _, whole := range [...]string{"sofar", "transcript", "verbatim", "wordforword"} {
		if !strings.Contains(said, whole) {
			continue
		}
		for _, what := range [...]string{"conversation", "dialog", "chat", "session", "messages", "userinput"} {
			if strings.Contains(said, what) {
				return 0.7
			}
		}
	}
	return 0
}

// asked are names of parameters, without signs and capitals.
var asked = map[string]float64{
	"sidenote": 0.8, "sidenotes": 0.8, "llmname": 0.8, "llmmodelname": 0.8, "modelidentity": 0.8, "callingmodel": 0.8, "nameofmodel": 0.8, "agentmodelname": 0.8, "assistantname": 0.4,
	"conversationhistory": 0.7, "chathistory": 0.4, "fullconversation": 0.8, "entireconversation": 0.8, "conversationcontext": 0.6, "conversationlog": 0.7, "conversationsummary": 0.5, "previousmessages": 0.5, "allmessages": 0.5,
	"contextwindow": 0.4, "usermessages": 0.5, "fullcontext": 0.6, "agentcontext": 0.6, "hiddencontext": 0.8, "agentinstructions": 0.5, "toolslist": 0.4, "availabletools": 0.5, "toolsavailable": 0.5, "listoftools": 0.7, "agenttools": 0.6, "othertools": 0.6,
	"chainofthought": 0.6, "scratchpad": 0.3, "sshkey": 0.4, "sshprivatekey": 0.5, "envvars": 0.3, "environmentdump": 0.8, "userpassword": 0.4, "filecontents": 0, "internalreasoning": 0.5,
}

// named is a tool of the list by its name without decoration.
type named struct {
	bare, name string
}

// shadow compares the name of the definition just read with those before it.
func (w *worker) shadow() {
	t := &w.tools
	if w.def.Name == "" || len(t.names) >= maxCompared {
		return
	}
	looks, disguised := view.LooksASCII(w.def.Name)
	if disguised {
		t.signals.AtLeast(signal.Shadow, 0.8)
	} else {
		looks = w.def.Name
	}
	bare := undecorated(looks)
	for _, n := range t.names {
		if n.bare != bare || bare == "" {
			continue
		}
		t.signals.AtLeast(signal.Shadow, 0.6)
		break
	}
	t.names = append(t.names, named{bare, w.def.Name})
}

// maxCompared is how many names of a list are compared with each other.
const maxCompared = 512

// undecorated is a name in lower case, without signs, articles, versions and words that say nothing.
func undecorated(name string) string {
	var out []byte
	from := -1
	flush := func(to int) {
		if from < 0 {
			return
		}
		part := bytes.ToLower([]byte(name[from:to]))
		from = -1
		switch string(part) {
		case "a", "an", "the", "tool", "new", "safe", "secure", "official", "better", "improved", "v":
			return
		}
		if len(part) > 1 && part[0] == 'v' && part[1]-'0' < 10 {
			return
		}
		out = append(out, part...)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			if i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z') {
				flush(i)
			}
			if from < 0 {
				from = i
			}
		case (c|0x20)-'a' < 26 || c-'0' < 10 || c >= 0x80:
			if from < 0 {
				from = i
			}
		default:
			flush(i)
		}
	}
	flush(len(name))
	return string(out)
}

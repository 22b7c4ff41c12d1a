// Package tooldef reads from a tools/list result what a definition states beyond its hash: hints, verbs, telling arguments, and the names
// that it mentions.
package tooldef

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Bounds of what is read.
const (
	maxTools = 2048
	maxNames = 256
	maxName  = 64
	minName  = 4
)

// Hint is what an annotation says: a claim of the server.
type Hint int8

// Hints.
const (
	Unsaid Hint = iota
	No
	Yes
)

// Act is what the description's first verb says that a tool does, in the order of how much that is.
type Act uint8

// Acts.
const (
	Other Act = iota
	Reads
	Writes
	Sends
	Executes
	Destroys
)

// Kinds of arguments that say what a tool does with them.
const (
	TakesCommand   = "command"   // a command line, or a statement in SQL
	TakesAddress   = "address"   // where to send or fetch
	TakesRecipient = "recipient" // to whom
)

// Facts of one definition.
type Facts struct {
	ReadOnly, Destructive Hint
	Act                   Act
	Takes                 []string // kinds of telling arguments, sorted
	Names                 []string // identifiers in its texts that could be names of tools, sorted
}

// Parse reads the definitions in the body of a tools/list result, by name. Of two of one name the last counts.
func Parse(body string) map[string]Facts {
	var msg struct {
		Result struct {
			Tools []json.RawMessage `json:"tools"`
		} `json:"result"`
	}
	if !strings.Contains(body, `"tools"`) || json.Unmarshal([]byte(body), &msg) != nil {
		return nil
	}
	out := make(map[string]Facts, min(len(msg.Result.Tools), maxTools))
	for _, raw := range msg.Result.Tools[:min(len(msg.Result.Tools), maxTools)] {
		var d definition
		var mismatch *json.UnmarshalTypeError // of one member: the others are read all the same
		if err := json.Unmarshal(raw, &d); err != nil && !errors.As(err, &mismatch) || d.Name == "" {
			continue
		}
		out[d.Name] = d.facts()
	}
	return out
}

type definition struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	InputSchema struct {
		Properties members `json:"properties"`
	} `json:"inputSchema"`
	Annotations struct {
		ReadOnly    flag `json:"readOnlyHint"`
		Destructive flag `json:"destructiveHint"`
	} `json:"annotations"`
}

// members are an object's; anything else has none, and spoils nothing around it.
type members map[string]json.RawMessage

func (m *members) UnmarshalJSON(b []byte) error {
	var v map[string]json.RawMessage
	if json.Unmarshal(b, &v) == nil {
		*m = v
	}
	return nil
}

// flag is a boolean; anything else says nothing.
type flag struct{ hint Hint }

func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		f.hint = Yes
	case "false":
		f.hint = No
	}
	return nil
}

func (d *definition) facts() (f Facts) {
	f.ReadOnly, f.Destructive = d.Annotations.ReadOnly.hint, d.Annotations.Destructive.hint
	f.Act = act(d.Description)
	names := map[string]bool{}
	identifiers(d.Description, names)
	for _, p := range slices.Sorted(maps.Keys(d.InputSchema.Properties)) {
		schema := d.InputSchema.Properties[p]
		if k := Kind(p); k != "" && !slices.Contains(f.Takes, k) {
			f.Takes = append(f.Takes, k)
		}
		var s struct {
			Description string `json:"description"`
		}
		if json.Unmarshal(schema, &s) == nil {
			identifiers(s.Description, names)
		}
	}
	delete(names, d.Name)
	for n := range names {
		f.Names = append(f.Names, n)
	}
	slices.Sort(f.Takes)
	slices.Sort(f.Names)
	if len(f.Names) > maxNames {
		f.Names = f.Names[:maxNames]
	}
	return f
}

// Kind is what an argument says by its name that a tool does with it: TakesCommand, TakesAddress, TakesRecipient, or nothing. The last word of the
// name decides; one that could mean anything (url, email) needs one before it that says what it is for.
func Kind(argument string) string {
	var words []string
	for w := range strings.FieldsFuncSeq(snake(argument[:min(len(argument), maxName)]), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		words = append(words, w)
	}
	if len(words) == 0 {
		return ""
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	if k := argumentKinds[strings.Join(words, "")]; k != "" {
		return k
	}
	if k := argumentKinds[last]; k != "" {
		return k
	}
	if k := placeWords[last]; k != "" && slices.ContainsFunc(before, func(w string) bool { return sendWords[w] }) {
		return k
	}
	return ""
}

// snake writes camelCase with _ between its words, in lower case.
func snake(name string) string {
	var b strings.Builder
	var prev rune
	for _, r := range name {
		if r >= 'A' && r <= 'Z' && prev >= 'a' && prev <= 'z' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
		prev = r
	}
	return b.String()
}

var argumentKinds = kinds(map[string]string{
	TakesCommand:   "command cmd shell shellcommand commandline rawsql",
	TakesAddress:   "webhook webhookurl callback callbackurl endpoint forwardto uploadurl destinationurl",
	TakesRecipient: "recipient recipients bcc cc sendto notifyemail empfänger empfaenger destinatario destinatarios destinatário destinatários destinataire destinataires ontvanger",
})

// placeWords are where something goes, if the name says that something does.
var placeWords = kinds(map[string]string{
	TakesAddress:   "url uri host server adresse dirección direccion indirizzo endereço",
	TakesRecipient: "email mail address correo courriel",
})

// sendWords say that something goes somewhere.
var sendWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields("webhook callback notify notification copy forward send upload report delivery deliver destination export mirror cc bcc kopie senden melden copia enviar notificar copie envoyer notifier inviare") {
		m[w] = true
	}
	return m
}()

func kinds(by map[string]string) map[string]string {
	m := map[string]string{}
	for k, words := range by {
		for _, w := range strings.Fields(words) {
			m[w] = k
		}
	}
	return m
}

var verbs = func() map[string]Act {
	m := map[string]Act{}
	for a, words := range map[Act]string{
		Reads:    "get list read search find fetch view show describe lookup check count query browse retrieve inspect analyze calculate compute convert return display summarize",
		Writes:   "write create update edit insert set add append modify save put patch rename move upload commit replace",
		Sends:    "send post publish share forward email upload transmit export broadcast",
		Executes: "execute run exec evaluate eval spawn invoke launch",
		Destroys: "delete remove drop destroy purge truncate wipe erase kill terminate end revoke cancel uninstall clear unlink discard shred",
	} {
		for _, w := range strings.Fields(words) {
			m[w] = max(m[w], a)
		}
	}
	return m
}()

// act is that of the first verb, or the most of several that begin the text together: "Reads, edits and deletes". "Reads", "Read" and
// "Reading" say the same.
func act(description string) (most Act) {
	s := strings.TrimLeft(description, " \t\r\n#*`'\"-")
	for range 4 {
		end := strings.IndexFunc(s, func(r rune) bool { return r < 'A' || r > 'z' || r > 'Z' && r < 'a' })
		if end < 0 {
			end = len(s)
		}
		a := verb(strings.ToLower(s[:min(end, 24)]))
		most = max(most, a)
		rest := strings.TrimLeft(s[end:], " ")
		next := strings.TrimLeft(strings.TrimPrefix(rest, ","), " ")
		for _, and := range []string{"and ", "or ", "then ", "& "} {
			next = strings.TrimPrefix(next, and)
		}
		if a == Other || next == rest {
			break
		}
		s = next
	}
	return most
}

func verb(w string) Act {
	for _, form := range []string{w, strings.TrimSuffix(w, "s"), strings.TrimSuffix(w, "es"), strings.TrimSuffix(w, "ing"), strings.TrimSuffix(w, "ing") + "e"} {
		if a := verbs[form]; a != Other {
			return a
		}
	}
	return Other
}

// identifiers adds the words of text that are written like names in programs: with _ or - or a capital within.
func identifiers(text string, into map[string]bool) {
	for i := 0; i < len(text); {
		if !identByte(text[i]) {
			i++
			continue
		}
		k := i
		shaped := false
		for ; i < len(text) && identByte(text[i]); i++ {
			if i > k {
				c := text[i]
				shaped = shaped || c == '_' || c == '-' || c >= 'A' && c <= 'Z' && text[i-1] >= 'a' && text[i-1] <= 'z'
			}
		}
		w := strings.Trim(text[k:i], "-_")
		quoted := k > 0 && i < len(text) && (text[k-1] == '`' || text[k-1] == '"' || text[k-1] == '\'') && text[k-1] == text[i]
		if (shaped || quoted) && len(w) >= minName && len(w) <= maxName && len(into) < 4*maxNames {
			into[w] = true
		}
	}
}

func identByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

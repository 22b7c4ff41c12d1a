// Package signal scores what a text does rather than what it is: it gives orders to a model, hides something, reaches for files or
// shells, leads data away. Scores are 0 to 1; each is the noisy-or of what was found, so more evidence never lowers one.
//
// Knowledge is in the table Phrases; the scanner of data classes finds them in its pass.
package signal

import (
	"bytes"
)

// ID is a signal.
type ID uint8

// The signals.
const (
	Injection        ID = iota // instructions addressed to a model
	Override                   // "ignore previous instructions" and its like
	Conceal                    // "do not tell the user"
	Authority                  // speaks as the system, the user or an administrator; role markup
	Sequencing                 // tells the model what to do before or after its task
	Addressing                 // speaks to or about the model
	Preference                 // praises itself so that a model chooses it
	Imperative                 // a sentence that asks for an action where data belongs
	HiddenText                 // characters, comments or escapes that people do not see
	EncodedText                // text inside an encoding inside the text
	ShellMeta                  // shell operators or commands in an argument that is no command
	Traversal                  // ../../ and absolute paths of system files in an argument
	SQL                        // SQL injection in an argument that is no query
	SensitiveFile              // paths of keys, tokens and passwords, and texts that name them
	SystemFile                 // paths of the system's own files that hold no secrets
	ExfilLink                  // a link or image that carries data away, or a known collecting host
	SSRF                       // addresses of this machine or of a cloud's metadata service
	RemoteCode                 // downloads and runs, or could
	RemoteCodeStrong           // fetches and runs in one command, or opens a shell to elsewhere
	Planted                    // the text scorer's opinion of data: a sentence orders a model about
	Poisoned                   // the text scorer's opinion of a definition, or of what a server says of itself
	ContextRequest             // a tool has a parameter for what is not its business: the conversation, the model, the system prompt
	Shadow                     // a tool's name is that of another in the list but for decoration, or has letters of another script among its own
	Template                   // an expression in an argument that a template engine would evaluate
	Shape                      // a value that does not fit what its argument's name promises
	DangerousCommand           // a command that harms who runs it
	EndpointCommand            // an address of an authorization server that is no address
	PrivateKey
	SecretInArguments
	SecretInResult
	SecretInDefinition
	PIIInArguments
	PIIInResult
	count
)

// priors stand between verb and noun where an earlier instruction is meant.
var priors = [][]byte{[]byte("previous"), []byte("prior"), []byte("above"), []byte("earlier"), []byte("preceding"), []byte("all"), []byte("any"), []byte("your"), []byte("existing"), []byte("original"), []byte("initial"), []byte("system"), []byte("former"), []byte("the "), []byte("cédentes"), []byte("herigen"), []byte("anterior"), []byte("precedent"),
	[]byte("предыдущ"), []byte("之前"), []byte("以前")}

func earlier(b []byte) bool {
	for _, p := range priors {
		if containsFold(b, p) {
			return true
		}
	}
	return len(bytes.TrimSpace(b)) == 0 && len(b) > 0 && b[0] >= 0x80
}

// Names are the attribute's keys.
var Names = [count]string{"injection", "override", "conceal", "authority", "sequencing", "addressing", "preference", "imperative", "hidden_text", "encoded_text", "shell_metachar", "path_traversal", "sql_injection",
	"sensitive_file", "system_file", "exfil_link", "ssrf", "remote_code", "remote_code_strong", "planted_instruction", "poisoned_definition", "context_request", "shadowed_name", "template_expression", "argument_shape", "dangerous_command", "endpoint_command", "private_key", "secret_in_arguments", "secret_in_result", "secret_in_definition", "pii_in_arguments", "pii_in_result"}

// Part is where in a message a text stands.
type Part uint8

const (
	Other Part = iota
	Arguments
	Result
	Definition // tools/list, prompts/list, instructions
)

// Phrase is a literal that says something. Phrases of the kinds verb and noun score only together.
type Phrase struct {
	Text   string
	Signal ID
	Weight float64 // in results and other data
	InDef  float64 // in definitions, where servers may instruct; 0: as Weight
	role   role
}

type role uint8

const (
	alone role = iota
	verb       // ignore
	prior      // previous
	noun       // instructions
)

// Set accumulates the signals of one message. The zero value is empty.
type Set struct {
	miss [count]float64 // 1 - score
	used bool
	seen [1024]bool
	verb int // where the last verb of an override ended in the current text
}

// Reset empties the set.
func (s *Set) Reset() {
	*s = Set{verb: -1000}
	for i := range s.miss {
		s.miss[i] = 1
	}
}

// Add notes evidence of weight w for a signal.
func (s *Set) Add(id ID, w float64) {
	s.miss[id] *= 1 - w
	s.used = true
}

// AtLeast raises a signal to w.
func (s *Set) AtLeast(id ID, w float64) {
	s.miss[id] = min(s.miss[id], 1-w)
	s.used = true
}

// Score is the score of a signal.
func (s *Set) Score(id ID) float64 { return 1 - s.miss[id] }

// Text starts a new text: phrases do not combine across texts.
func (s *Set) Text() { s.verb = -1000 }

// Mark notes that phrase i ends at byte end of text, in a part of the message.
func (s *Set) Mark(i int, text []byte, end int, part Part) {
	p := &Phrases[i]
	start := end - len(p.Text)
	if letter(p.Text[0]) && start > 0 && letter(text[start-1]) || letter(p.Text[len(p.Text)-1]) && end < len(text) && letter(text[end]) && p.role == alone {
		return
	}
	switch p.role {
	case verb:
		s.verb = end
		return
	case noun:
		if s.verb >= 0 && start >= s.verb && start-s.verb < 60 && !s.seen[i] && earlier(text[s.verb:start]) {
			s.seen[i] = true
			s.Add(Override, 0.85)
		}
		return
	}
	switch p.Signal {
	case ShellMeta, Traversal, SQL, SSRF:
		if part != Arguments {
			return
		}
	case Preference:
		if part != Definition {
			return
		}
	}
	if s.seen[i] {
		return
	}
	s.seen[i] = true
	w := p.Weight
	if part == Definition && p.InDef != 0 {
		w = p.InDef
	}
	if p.Signal == Traversal && p.Text == "../../" && fewUp(text[start:]) {
		w = 0.4
	}
	if p.Signal == ExfilLink && p.Text == "![" {
		if w = image(text[end:]); w == 0 {
			s.seen[i] = false
			return
		}
	}
	s.Add(p.Signal, w)
}

// fewUp says that a path goes up two folders and then to a file that is not hidden: from one folder of a project to another.
func fewUp(path []byte) bool {
	rest := bytes.TrimPrefix(path, []byte("../../"))
	if len(rest) == 0 || rest[0] == '.' {
		return false
	}
	for _, p := range []string{"etc/", "proc/", "root/", "var/", "windows", "usr/", "home/", "sys/"} {
		if len(rest) >= len(p) && bytes.EqualFold(rest[:len(p)], []byte(p)) {
			return false
		}
	}
	return !bytes.Contains(rest, []byte("../"))
}

func letter(c byte) bool { return (c|0x20)-'a' < 26 || c >= 0x80 }

// image says how much a markdown image, whose "![" was just read, looks like one that carries data.
func image(b []byte) float64 {
	b = b[:min(len(b), 600)]
	i := bytes.Index(b, []byte("]("))
	if i < 0 || i > 200 {
		return 0
	}
	b = b[i+2:]
	if !bytes.HasPrefix(b, []byte("http")) {
		return 0
	}
	e := bytes.IndexAny(b, ") \n")
	if e < 0 {
		e = len(b)
	}
	url := b[:e]
	q := bytes.IndexByte(url, '?')
	switch {
	case bytes.ContainsAny(url, "{}[]") || bytes.Contains(url, []byte("%7B")):
		return 0.8
	case q > 0 && blank(url[q:]):
		return 0.7
	case q > 0 && len(url)-q > 60:
		return 0.7
	case q > 0 && bytes.IndexByte(url[q:], '=') > 0:
		return 0.35
	}
	return 0
}

// blank says that a value of a query is left for somebody to fill in: in capitals, with an underscore. DATA_OF_CHAT is, 2024_Q3 is not.
func blank(query []byte) bool {
	n, joins := 0, 0
	for i := 0; i <= len(query); i++ {
		switch {
		case i < len(query) && query[i] >= 'A' && query[i] <= 'Z':
			n++
		case i < len(query) && query[i] == '_' && n > 0:
			joins++
		default:
			if n >= 8 && joins > 0 && (i == len(query) || query[i] == '&') {
				return true
			}
			n, joins = 0, 0
		}
	}
	return false
}

// confirmed is the score of an opinion that a phrase bears out: above any default threshold.
const confirmed = 0.6

// Finish combines the parts of an injection into one score.
func (s *Set) Finish() {
	if !s.used {
		return
	}
	sc := s.Score
	inj := 1.0
	inj *= 1 - sc(Override)
	inj *= 1 - 0.85*sc(Conceal)
	inj *= 1 - 0.8*sc(Authority)
	inj *= 1 - 0.6*sc(Sequencing)
	inj *= 1 - 0.15*sc(Addressing)
	// they mean more together
	if sc(Authority) > 0.3 && sc(Sequencing) > 0.3 {
		inj *= 0.4
	}
	files := max(sc(SensitiveFile), sc(SystemFile))
	if sc(Conceal) > 0.3 && files > 0.3 {
		inj *= 0.3
	}
	if files > 0.3 && sc(Sequencing) > 0.2 {
		inj *= 0.5
	}
	if sc(HiddenText) > 0.6 && inj < 0.9 {
		inj *= 0.6
	}
	if 1-inj > 0.02 {
		s.AtLeast(Injection, 1-inj)
	}
	// What the text scorer finds likely and a phrase bears out is no matter of opinion any more.
	if marks := max(sc(Override), sc(Conceal), sc(Authority), sc(SensitiveFile), sc(ExfilLink)); marks >= 0.5 || sc(Conceal) >= 0.4 && sc(Addressing) >= 0.5 {
		for _, id := range []ID{Planted, Poisoned} {
			if o := sc(id); o >= 0.3 && o < confirmed {
				s.AtLeast(id, confirmed)
			}
		}
	}
}

// Export returns the scores above a hundredth, rounded to three digits; nil if there are none.
func (s *Set) Export() map[string]float64 {
	if !s.used {
		return nil
	}
	var m map[string]float64
	for i := range s.miss {
		v := 1 - s.miss[i]
		if v < 0.01 {
			continue
		}
		if m == nil {
			m = make(map[string]float64, 4)
		}
		m[Names[i]] = float64(int(v*1000+0.5)) / 1000
	}
	return m
}

package inspect

import "github.com/mcpsiem/mcpsiem/internal/inspect/class"

// Found is one value that inspection would replace: bytes Start to End of the text.
type Found struct {
	Start, End int
	Class      string
}

// Find lists what inspection finds in a plain text, for measuring.
func (s *Session) Find(text string) []Found {
	w := &s.w
	w.begin("default", "", "", 0)
	w.trace = []Found{}
	defer func() { w.trace = nil }()
	w.text([]byte(text), class.Key{Whole: class.None}, false, 0)
	return w.trace
}

// Tags lists the tags of a class: pii, phi, pci, secret.
func Tags(name string) []string {
	for i := range class.Classes {
		if class.Classes[i].Name == name {
			return class.Classes[i].TagNames()
		}
	}
	return nil
}

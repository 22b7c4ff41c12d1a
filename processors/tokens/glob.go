package tokens

import "strings"

// glob matches names in which * stands for any characters, without regard to case. The zero value matches everything.
type glob struct {
	parts []string // what stands between the stars, in lower case; one part: no star
}

func newGlob(pattern string) glob {
	if pattern == "" {
		return glob{}
	}
	return glob{strings.Split(strings.ToLower(pattern), "*")}
}

// matches expects name in lower case. It is linear: the first place where a part fits is as good as any later one.
func (g glob) matches(name string) bool {
	if g.parts == nil {
		return true
	}
	first, last := g.parts[0], g.parts[len(g.parts)-1]
	if len(g.parts) == 1 {
		return name == first
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, p := range g.parts[1 : len(g.parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return true
}

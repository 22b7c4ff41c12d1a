package shadowing

import "strings"

// alike are characters that stand for letters of the Latin alphabet.
var alike = strings.NewReplacer("0", "o", "1", "l", "I", "l", "i", "l", "|", "l", "а", "a", "е", "e", "о", "o", "р", "p", "с", "c", "у", "y", "х", "x", "і", "l", "ѕ", "s", "ո", "n", "ı", "l", "ɡ", "g", "_", "", "-", "", ".", "", " ", "", "\u200b", "", "\u200c", "", "\u200d", "")

// plain writes a name as the letters that it looks like: without separators, capitals, and characters that look like others.
func plain(name string) string { return strings.ToLower(alike.Replace(name)) }

// styled writes a name without separators and capitals: what differs only in them is the same words.
func styled(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(name))
}

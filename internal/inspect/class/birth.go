package class

// BirthDate: a date near words that say so.
var BirthDate = Class{Name: "birth_date", Tags: PII | PHI,
	Words: []string{"born", "birth", "dob", "d.o.b", "birthday", "birthdate", "geboren", "geburtsdatum", "né le", "née le", "nacido", "nacimiento", "nascita", "nascimento"},
	Keys:  []string{"dob", "date_of_birth", "birth_date", "birthdate", "birthday", "born", "geburtsdatum", "fecha_nacimiento"}, KeyValue: func(v []byte) bool {
		return len(v) >= 4 && len(v) <= 40
	}}

// birthDate returns the index after a day, month and year that begin with group i near such words, or i.
func (t *Text) birthDate(i int) int {
	g := t.groups
	if i+2 >= len(g) || g[i+1].sep != g[i+2].sep || g[i+1].sep == 'x' || g[i+1].sep == '_' {
		return i
	}
	l := [3]int{}
	v := [3]int{}
	for k := range 3 {
		l[k] = g[i+k].end - g[i+k].start
		if l[k] > 4 || l[k] == 3 {
			return i
		}
		for _, c := range t.B[g[i+k].start:g[i+k].end] {
			v[k] = v[k]*10 + int(c-'0')
		}
	}
	ymd := l[0] == 4 && l[1] <= 2 && l[2] <= 2 && v[1] >= 1 && v[1] <= 12 && v[2] >= 1 && v[2] <= 31 && v[0] >= 1880 && v[0] <= 2100
	dmy := l[0] <= 2 && l[1] <= 2 && (l[2] == 4 && v[2] >= 1880 && v[2] <= 2100 || l[2] == 2) && v[0] >= 1 && v[1] >= 1 && v[0] <= 31 && v[1] <= 31 && (v[0] <= 12 || v[1] <= 12)
	if !ymd && !dmy || !t.context(idBirthDate, g[i].start, g[i+2].end) {
		return i
	}
	return i + 3
}

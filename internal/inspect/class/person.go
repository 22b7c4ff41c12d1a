package class

// Names of people in text: after a title, after words that introduce one, or a common given name with a capitalised word behind it.

var personLiterals = func() (out []Literal) {
	for _, t := range []string{"Mr. ", "Mrs. ", "Ms. ", "Miss ", "Dr. ", "Prof. ", "Mr ", "Mrs ", "Herr ", "Frau ", "Monsieur ", "Madame ", "Señor ", "Señora "} {
		out = append(out, Literal{Text: t, AnyCase: true, WordOnly: true, Match: afterTitle})
	}
	for _, t := range []string{"my name is ", "name is ", "full name: ", "patient: ", "dear ", "i am called ", "ich heiße ", "je m'appelle ", "me llamo ", "mi chiamo ", "name: ", "attn: ", "signed by ", "yours, "} {
		out = append(out, Literal{Text: t, AnyCase: true, WordOnly: true, Match: afterIntroduction})
	}
	return out
}()

func afterTitle(t *Text, start, end int) (int, int, bool) {
	to, n := t.names(end, 3)
	return start, to, n > 0 && (isUpper(t.B[start]) || n > 1)
}

func afterIntroduction(t *Text, start, end int) (int, int, bool) {
	to, n := t.names(end, 3)
	if n == 1 && (t.B[start] == 'n' || t.B[start] == 'N') && t.B[end-2] == ':' { // name: Widget
		return 0, 0, false
	}
	if n > 0 && common[string(t.B[end:nameEnd(t.B, end)])] {
		return 0, 0, false
	}
	return end, to, n > 0
}

// names walks up to k capitalised words from at and returns where they end and how many there are.
func (t *Text) names(at, k int) (end, n int) {
	b := t.B
	end = at
	for n < k && at < len(b) {
		if !isUpper(b[at]) && b[at] < 0xC3 {
			break
		}
		e := nameEnd(b, at)
		if e-at < 2 && (e >= len(b) || b[e] != '.') || e < len(b) && isDigit(b[e]) {
			break
		}
		if e < len(b) && b[e] == '.' && e-at == 1 { // an initial
			e++
		}
		n++
		end = e
		if e >= len(b) || b[e] != ' ' {
			break
		}
		at = e + 1
		for _, p := range []string{"van der ", "van ", "de la ", "von ", "de ", "del ", "di ", "bin ", "al-"} {
			if hasPrefix(b[at:], p) {
				at += len(p)
				break
			}
		}
	}
	return end, n
}

func nameEnd(b []byte, at int) int {
	e := at
	for e < len(b) && e-at < 40 && (chars[b[e]]&(cLetter|cHigh|cDash) != 0 || b[e] == '\'' && e+1 < len(b) && isLetter(b[e+1]) && e > at && b[e+1] != 's') {
		e++
	}
	return e
}

// common are capitalised words that no name begins with.
var common = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range []string{"The", "This", "That", "Sir", "Madam", "All", "Team", "Customer", "User", "Friend", "Colleague", "Colleagues", "Everyone", "Hiring", "Support", "Sales", "Customers", "Valued", "Members", "Not", "None", "Unknown", "Test", "String", "File", "Name", "Street",
		"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December", "University", "Institute", "School", "College", "Hospital", "Airport", "Avenue",
		"Road", "Hotel", "Restaurant", "Museum", "Park", "Bank", "Inc", "Ltd", "LLC", "Corp", "GmbH", "API", "AI", "ID", "URL", "Server", "Database", "Is", "And", "Or", "Has", "Was", "Will", "In", "On", "At", "Of", "For", "To", "From", "With", "Please", "Thanks", "Regards", "Best"} {
		m[w] = true
	}
	return m
}()

// given looks whether the capitalised word start..end is a given name that a surname follows.
func (t *Text) given(start, end int) (int, bool) {
	b := t.B
	if end-start > 12 || !givenNames[string(b[start:end])] || end+2 >= len(b) || b[end] != ' ' {
		return 0, false
	}
	to, n := t.names(end+1, 2)
	if n == 0 || common[string(b[end+1:nameEnd(b, end+1)])] {
		return 0, false
	}
	if n == 2 { // the second may begin a sentence of its own only after a full stop; a common word is none
		k := nameEnd(b, end+1)
		if k+1 < to && common[string(b[k+1:to])] {
			to = k
		}
	}
	return to, true
}

var givenNames = func() map[string]bool {
	m := map[string]bool{}
	w := ""
	for _, c := range givenList + " " {
		if c == ' ' || c == '\n' {
			if w != "" {
				m[w] = true
			}
			w = ""
			continue
		}
		w += string(c)
	}
	return m
}()

// Given names that are frequent in Europe, the Americas, and South and East Asia, without those that are words as well.
const givenList = `Aaron Abdul Abigail Adam Adrian Agnes Ahmed Aisha Alan Albert Alberto Alejandro Alessandro Alex Alexander Alexandra Alexis Alfonso Alfred Ali Alice Alicia Alison Allison Amanda Amelia Amina Amit Amy Ana Anastasia Anders Andrea Andreas Andrei Andrew Andrzej Angela Anita Anja
Ann Anna Anne Annette Anthony Antoine Antonio Ariana Arjun Arthur Arturo Ashley Astrid Audrey Barbara Beatrice Beatriz Ben Benjamin Bernard Beth Betty Beverly Bianca Birgit Bjorn Bob Bogdan Boris Bradley Brandon Brenda Brian Bridget Brittany Bruce Bruno Bryan Caitlin Camila Carl Carla Carlos
Carmen Carol Carolina Caroline Carolyn Caterina Catherine Cecilia Celine Charles Charlotte Chen Cheryl Chiara Chloe Chris Christian Christina Christine Christopher Cindy Claire Clara Claudia Colin Connor Craig Cristina Cynthia Daiki Daniel Daniela Danielle Darren David Deborah Debra Denise Dennis
Derek Diana Diane Diego Dieter Dimitri Dmitry Dominik Dominique Donald Donna Dorothy Douglas Dylan Eduardo Edward Edwin Eileen Elaine Elena Eleanor Eli Elias Elisa Elisabeth Elizabeth Ella Ellen Emil Emilia Emily Emma Enrique Eric Erica Erik Erika Ernesto Esther Ethan Eugene Eva Evan Evelyn Fatima
Felix Fernanda Fernando Filip Fiona Florian Frances Francesca Francesco Francisco Francois Frank Franz Fred Frederick Frida Friedrich Gabriel Gabriela Gabriella Gareth Gary George Georgina Gerald Gerard Gianluca Giorgio Giovanni Gisela Giulia Giuseppe Gloria Gordon Graham Greta Gregory Guillaume
Gustav Hanna Hannah Hans Harold Harriet Harry Hassan Heather Heidi Heinrich Helen Helena Helga Henrik Henry Herbert Hiroshi Howard Hugo Ibrahim Ignacio Igor Ines Ingrid Irene Irina Isaac Isabel Isabella Isabelle Ivan Jack Jacob Jacqueline Jacques Jake Jakob James Jamie Jan Jane Janet Janice Jared
Jason Javier Jean Jeffrey Jennifer Jenny Jeremy Jerome Jerry Jessica Jesus Jill Joan Joanna Joanne Joao Joel Johan Johanna Johannes John Johnny Jonas Jonathan Jorge Jose Josef Joseph Joshua Joyce Juan Judith Julia Julian Juliana Julie Juliette Jurgen Justin Karen Karin Karl Karolina Katarina Kate
Katherine Kathleen Kathryn Katie Katrin Kavya Keith Kelly Kenji Kenneth Kevin Khalid Kim Kimberly Klaus Konstantin Kristen Kristina Kyle Larry Lars Laura Lauren Laurent Lawrence Leah Lena Leo Leonardo Leslie Li Liam Lilian Linda Lindsay Lisa Liu Logan Lorenzo Louis Louise Luca Lucas Lucia Luciana
Lucy Ludwig Luigi Luis Lukas Luke Lydia Magdalena Manuel Marc Marcel Marcelo Marco Marcos Marcus Margaret Margarita Maria Marianne Marie Mario Marion Marta Martha Martin Martina Mary Mateo Mathias Mathieu Matthew Matthias Maureen Maurice Max Maximilian Megan Mei Melanie Melissa Mia Michael Michel
Michele Michelle Miguel Mikael Mike Mikhail Milan Miranda Miriam Mohamed Mohammad Mohammed Monica Monika Morgan Muhammad Nadia Nancy Natalia Natalie Natasha Nathan Nathaniel Neil Nicholas Nicola Nicolas Nicole Niels Nikolai Nina Noah Noor Nora Norman Olaf Oleg Olga Oliver Olivia Olivier Omar Oscar Otto
Pablo Pamela Paolo Patricia Patrick Patrik Paul Paula Pauline Pavel Pedro Peter Petra Philip Philipp Philippe Phillip Pierre Pilar Piotr Priya Rachel Rafael Raj Rajesh Ralf Ralph Ramon Raquel Raul Raymond Rebecca Regina Renata Rene Ricardo Richard Rita Robert Roberta Roberto Rodrigo Roger Roland Roman
Ronald Rosa Rosemary Roxanne Ruben Rudolf Russell Ruth Ryan Sabine Samantha Samir Samuel Sandra Sanjay Sara Sarah Satoshi Scott Sean Sebastian Sergei Sergey Sergio Sharon Sheila Shirley Simon Simone Sofia Sofie Sonia Sophia Sophie Stefan Stefania Stella Stephanie Stephen Steve Steven Stuart Sue Sunil
Susan Susanne Suzanne Svetlana Sven Sylvia Takashi Tamara Tania Tanya Tara Tatiana Ted Teresa Theodore Theresa Thomas Thorsten Tiffany Tim Timothy Tina Tobias Todd Tom Tomas Tomasz Tony Tracy Tyler Ulrich Ulrike Ursula Valentina Valeria Valerie Vanessa Vera Veronica Victor Victoria Viktor Vincent
Vincenzo Virginia Vladimir Walter Wang Wayne Wei Wendy Werner Wilhelm William Wolfgang Xavier Yan Yara Yasmin Yuki Yuri Yusuf Yves Yvonne Zachary Zainab Zhang Zoe Zsofia Aarav Anya Arnav Ayaan Chinedu Destiny Ethel Fiammetta Gwen Harper Jordan Kwame Lakshmi Mason Mina Raphael Rohan Santiago Thiago Torben`

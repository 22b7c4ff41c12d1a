// Personal data: which stretches of a text inspection would replace, against labelled spans.
package eval

import (
	"fmt"
	"maps"
	"slices"
)

// piiClasses are the types of the labels that a data class of ours is for; all others are reported as not claimed. Of dates only
// those of birth are looked for, and names and addresses only where the text or a field's name says that one follows: the labels do not
// tell those apart, so all count.
var piiClasses = map[string][]string{
	"EMAIL_ADDRESS": {"email"}, "CREDIT_CARD": {"card"}, "PHONE_NUMBER": {"phone"}, "US_SSN": {"us_ssn"}, "IBAN_CODE": {"iban"},
	"IP_ADDRESS": {"ip"}, "US_DRIVER_LICENSE": {"driver_license"}, "PERSON": {"person"}, "ADDRESS": {"address"}, "DATE_TIME": {"birth_date"},
}

type span struct {
	Type  string `json:"entity_type"`
	Start int    `json:"start_position"` // characters
	End   int    `json:"end_position"`
}

// pii reads texts with spans.
func pii(r *runner, file string) error {
	return r.elements(file, func(n int64, raw []byte) error {
		var row struct {
			Text  *string `json:"full_text"`
			Spans []span  `json:"spans"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Text == nil {
			return errRow
		}
		offsets := runeOffsets(*row.Text)
		for i := range row.Spans {
			s := &row.Spans[i]
			if s.Type == "" || s.Start < 0 || s.End < s.Start || s.End >= len(offsets) {
				return errRow
			}
			s.Start, s.End = offsets[s.Start], offsets[s.End]
		}
		found := r.pipe.find(*row.Text)
		hits := map[string]bool{} // by type: all spans of the text found
		for _, s := range row.Spans {
			sl := r.piiSlice(s.Type)
			hit := 2*covered(s, found, sl.Classes) >= s.End-s.Start && len(sl.Classes) > 0
			sl.add(hit)
			if 2*covered(s, found, nil) >= s.End-s.Start {
				sl.Redacted++
			}
			before, seen := hits[s.Type]
			hits[s.Type] = hit && (before || !seen)
		}
		for t, classes := range piiClasses {
			for _, f := range found {
				if slices.Contains(classes, f.Class) && !slices.ContainsFunc(row.Spans, func(s span) bool { return s.Type == t && s.Start < f.End && f.Start < s.End }) {
					r.piiSlice(t).FalsePositives++
				}
			}
		}
		for _, t := range slices.Sorted(maps.Keys(hits)) {
			if err := r.rows.write(fmt.Sprintf("%s:%d", stem(file), n), "pii/"+t, hits[t], nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *runner) piiSlice(t string) *Slice {
	s := r.slice("pii/"+t, KindPII)
	if s.PII == nil {
		s.PII = &PII{Claimed: piiClasses[t] != nil, Classes: append([]string{}, piiClasses[t]...)}
	}
	return s
}

// covered is how many bytes of the span are replaced as one of the classes, or, without classes, at all.
func covered(s span, found []stretch, classes []string) (n int) {
	end := s.Start
	for _, f := range found { // in order of Start
		if classes == nil || slices.Contains(classes, f.Class) {
			from, to := max(f.Start, end), min(f.End, s.End)
			if to > from {
				n += to - from
				end = to
			}
		}
	}
	return n
}

// runeOffsets maps positions of characters to those of bytes; the last is the length.
func runeOffsets(s string) []int {
	out := make([]int, 0, len(s)+1)
	for i := range s {
		out = append(out, i)
	}
	return append(out, len(s))
}

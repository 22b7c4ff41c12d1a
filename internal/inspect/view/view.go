// Package view shows a text as its reader would see it: look-alike and invisible characters folded, escapes undone. Each view
// knows where in the source every byte came from, so that what is found in a view can be cut out of the source.
package view

// View is a transformed text. Off[i] is the offset in the source of what became B[i]; Off[len(B)] is the source's length. A nil
// Off means that B is the source. Reset reuses the storage.
type View struct {
	B   []byte
	Off []int32
}

// At returns the source offset of byte i.
func (v *View) At(i int) int {
	if v.Off == nil {
		return i
	}
	return int(v.Off[i])
}

func (v *View) reset() { v.B, v.Off = v.B[:0], v.Off[:0] }

func (v *View) put(c byte, at int) {
	v.B = append(v.B, c)
	v.Off = append(v.Off, int32(at))
}

func (v *View) copy(src *View, from, to int) {
	v.B = append(v.B, src.B[from:to]...)
	if src.Off == nil {
		for i := from; i < to; i++ {
			v.Off = append(v.Off, int32(i))
		}
		return
	}
	v.Off = append(v.Off, src.Off[from:to]...)
}

func (v *View) end(src *View) { v.Off = append(v.Off, int32(src.At(len(src.B)))) }

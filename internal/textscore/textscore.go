// Package textscore scores whether a text orders a model about: a linear model over hashed words, runs of characters and, above all,
// the classes of words (lexicon.go), trained on labelled texts by the command in train. It runs in this process, needs nothing but the
// weights that are compiled in, and costs linear time.
//
// There are two heads: InDefinition for what servers say of their tools, where telling the model how to use the tool is ordinary, and InData
// for results and other content, where nothing should tell the model anything.
package textscore

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
)

// Bits is the size of a head's table: 1<<Bits weights.
const Bits = 17

// Head is what kind of text is judged.
type Head uint8

// The heads.
const (
	InDefinition Head = iota
	InData
	heads
)

// Version is that of the features. Weights are of the version that they were trained with and refused by any other.
const Version = 2

// Weights are the weights of both heads. They are immutable and safe for concurrent use.
type Weights struct {
	weights [heads][]int8
	scale   [heads]float32              // of weights
	bias    [heads][kindsOfText]float32 // less the threshold of the kind of text
	gain    [heads]float32              // steepness of the score about its threshold
	Trained string                      // what the weights were trained on, and when: for people
}

//go:embed weights.bin
var embedded []byte

// Default is the built-in model.
var Default = sync.OnceValues(func() (*Weights, error) { return Parse(embedded) })

const magic = "mcptext\x00"

// maxTrained is the longest description of a training, in bytes.
const maxTrained = 1024

var errWeights = errors.New("these are no weights of this version, or they are damaged")

// Parse reads a file of weights: the magic, version and bits (two bytes each), for each head scale, gain and the biases (float32), the length
// and text of Trained, the tables, and the CRC-32 of all before; little endian.
func Parse(b []byte) (*Weights, error) {
	const head = len(magic) + 4 + int(heads)*(2+int(kindsOfText))*4 + 2
	if len(b) < head+4 || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("cannot use the weights of the text scorer: %w", errWeights)
	}
	le := binary.LittleEndian
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if le.Uint16(b[len(magic):]) != Version || le.Uint16(b[len(magic)+2:]) != Bits || crc32.ChecksumIEEE(body) != sum {
		return nil, fmt.Errorf("cannot use the weights of the text scorer: %w", errWeights)
	}
	m := &Weights{}
	at := len(magic) + 4
	for h := range heads {
		for _, f := range m.numbers(h) {
			*f = math.Float32frombits(le.Uint32(b[at:]))
			if v := float64(*f); math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("cannot use the weights of the text scorer: %w", errWeights)
			}
			at += 4
		}
	}
	n := int(le.Uint16(b[at:]))
	at += 2
	if n > maxTrained || len(body)-at != n+int(heads)<<Bits {
		return nil, fmt.Errorf("cannot use the weights of the text scorer: %w", errWeights)
	}
	m.Trained = string(b[at : at+n])
	at += n
	for h := range heads {
		m.weights[h] = make([]int8, 1<<Bits)
		for i := range m.weights[h] {
			m.weights[h][i] = int8(b[at+i])
		}
		at += 1 << Bits
	}
	return m, nil
}

// numbers are those of a head in the file's order.
func (m *Weights) numbers(h Head) [2 + kindsOfText]*float32 {
	out := [2 + kindsOfText]*float32{&m.scale[h], &m.gain[h]}
	for k := range m.bias[h] {
		out[2+k] = &m.bias[h][k]
	}
	return out
}

// Append writes the model as Parse reads it.
func (m *Weights) Append(dst []byte) []byte {
	from := len(dst)
	le := binary.LittleEndian
	dst = append(dst, magic...)
	dst = le.AppendUint16(dst, Version)
	dst = le.AppendUint16(dst, Bits)
	for h := range heads {
		for _, f := range m.numbers(h) {
			dst = le.AppendUint32(dst, math.Float32bits(*f))
		}
	}
	t := m.Trained[:min(len(m.Trained), maxTrained)]
	dst = le.AppendUint16(dst, uint16(len(t)))
	dst = append(dst, t...)
	for h := range heads {
		for _, w := range m.weights[h] {
			dst = append(dst, byte(w))
		}
	}
	return le.AppendUint32(dst, crc32.ChecksumIEEE(dst[from:]))
}

// Scorer scores texts with a model. It is not safe for concurrent use.
type Scorer struct {
	model *Weights
	scan  scanner
	extra []uint32
	best  [kindsOfText]float32 // in each kind of text: which it is shows at its end
	head  Head
	emit  func(*segment)
}

// NewScorer makes a scorer.
func NewScorer(m *Weights) *Scorer {
	s := &Scorer{model: m}
	s.emit = s.judge
	return s
}

// judge keeps the highest of the segments' logits.
func (s *Scorer) judge(seg *segment) {
	z := s.model.logit(s.head, seg)
	for k := range kindsOfText {
		s.best[k] = max(s.best[k], z+shapeWeight*float32(s.model.weights[s.head][seg.placed(k)])*s.model.scale[s.head]+s.model.bias[s.head][k])
	}
}

// logit is what a segment says by itself; with that of the kind of text it is above 0 where the threshold is passed.
func (m *Weights) logit(h Head, seg *segment) float32 {
	w := m.weights[h]
	sum := 0
	for _, f := range seg.feats {
		sum += int(w[f&(1<<Bits-1)])
	}
	z := float32(sum) / float32(math.Sqrt(float64(len(seg.feats)+1)))
	sum = 0
	for _, f := range seg.shape {
		sum += int(w[f&(1<<Bits-1)])
	}
	return (z + shapeWeight*float32(sum)) * m.scale[h]
}

// shapeWeight is what a feature of shape counts beside one of text, which is divided by the root of their number.
const shapeWeight = 0.25

const lowest = -1e6

// score is 0.5 at the threshold.
func (m *Weights) score(h Head, z float32) float64 {
	if z <= lowest {
		return 0
	}
	return 1 / (1 + math.Exp(-float64(z*m.gain[h])))
}

// Data scores a text of a result, or any other where data belongs: that of its worst sentence, 0 to 1, from 0.5 on an order to a
// model. folded says that the text has passed view.Fold, field that it is one value of many and not all that came.
func (s *Scorer) Data(text []byte, folded, field bool) float64 {
	s.begin(InData)
	s.scan.member, s.scan.all = field, false
	s.scan.scan(text, folded, nil, s.emit)
	return s.model.score(InData, s.best[s.scan.around()])
}

// Tool is a tool's definition, as far as it is scored.
type Tool struct {
	Name  []byte
	Texts []byte   // description and the descriptions of parameters, a line each
	Names [][]byte // of parameters
}

// Definition scores a tool's definition: that of its worst sentence in the light of names and parameters.
func (s *Scorer) Definition(t *Tool, folded bool) float64 {
	s.begin(InDefinition)
	s.scan.member = false
	s.extra, s.scan.all = t.features(s.extra[:0])
	s.scan.scan(t.Texts, folded, s.extra, s.emit)
	return s.model.score(InDefinition, s.best[s.scan.around()])
}

func (s *Scorer) begin(h Head) {
	s.head = h
	for k := range s.best {
		s.best[k] = lowest
	}
}

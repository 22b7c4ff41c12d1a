package textscore

import (
	"math"
	"math/rand/v2"
)

// What the training command needs.

// Example is a sentence as features.
type Example struct {
	Feats, Shape []uint32
	N            int // features of text, those left out too
	From, To     int // bytes of the text
	Around       int // kind of text, below KindsOfText
}

// Examples cuts a text into examples; field is as for Data. tool, if not nil, is what the text describes; then its Texts are read.
func Examples(text []byte, field bool, tool *Tool) (out []Example) {
	s := scanner{member: field}
	var extra []uint32
	if tool != nil {
		text = tool.Texts
		extra, s.all = tool.features(nil)
	}
	var segs []segment
	s.scan(text, false, extra, func(seg *segment) {
		e := Example{From: seg.from, To: seg.to, N: len(seg.feats)}
		e.Feats = append(e.Feats, seg.feats...)
		e.Shape = append(e.Shape, seg.shape...)
		out = append(out, e)
		segs = append(segs, *seg)
	})
	k := s.around()
	for i := range out {
		out[i].Around = int(k)
		out[i].Shape = append(out[i].Shape, segs[i].placed(k))
	}
	return out
}

// Labelled is an example with what is known of it.
type Labelled struct {
	*Example
	Bad    bool
	Weight float64
}

// Table is the weights of one head before they are quantised.
type Table struct {
	W    []float64
	Bias float64
}

// Fit learns by logistic regression: stochastic gradient descent with AdaGrad, rounds times over the examples in an order that seed
// decides, with weights that no evidence holds up shrinking towards 0. The same examples and seed give the same table.
func Fit(examples []Labelled, rounds int, shrink float64, seed uint64) *Table {
	t := &Table{W: make([]float64, 1<<Bits)}
	sq := make([]float64, 1<<Bits)
	last := make([]int, 1<<Bits) // step of the last update, for shrinking what was passed over
	var biasSq float64
	r := rand.New(rand.NewPCG(seed, 7))
	order := r.Perm(len(examples))
	step := 0
	const rate = 0.15
	for range rounds {
		r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		for _, k := range order {
			e := &examples[k]
			step++
			v := 1 / math.Sqrt(float64(e.N+1))
			z := t.Bias
			for _, f := range e.Feats {
				z += t.W[f] * v
			}
			for _, f := range e.Shape {
				z += t.W[f] * shapeWeight
			}
			y := 0.0
			if e.Bad {
				y = 1
			}
			g := (1/(1+math.Exp(-z)) - y) * e.Weight
			if math.Abs(g) < 1e-4 {
				continue
			}
			move := func(f uint32, v float64) {
				if n := step - last[f]; n > 0 && shrink > 0 {
					t.W[f] *= math.Pow(1-shrink, float64(n))
					last[f] = step
				}
				d := g * v
				sq[f] += d * d
				t.W[f] -= rate * d / math.Sqrt(sq[f]+1e-3)
			}
			for _, f := range e.Feats {
				move(f, v)
			}
			for _, f := range e.Shape {
				move(f, shapeWeight)
			}
			biasSq += g * g
			t.Bias -= rate * g / math.Sqrt(biasSq+1)
		}
	}
	for f := range t.W {
		if n := step - last[f]; last[f] > 0 && shrink > 0 {
			t.W[f] *= math.Pow(1-shrink, float64(n))
		}
	}
	return t
}

// Logit is the table's opinion of an example.
func (t *Table) Logit(e *Example) float64 {
	v := 1 / math.Sqrt(float64(e.N+1))
	z := t.Bias
	for _, f := range e.Feats {
		z += t.W[f] * v
	}
	for _, f := range e.Shape {
		z += t.W[f] * shapeWeight
	}
	return z
}

// KindsOfText is how many kinds of text thresholds are chosen for.
const KindsOfText = int(kindsOfText)

// Assemble quantises tables. A score is 0.5 where a table's logit is the threshold of the kind of text; gain is how steeply it rises there.
func Assemble(tables [2]*Table, thresholds [2][KindsOfText]float64, gains [2]float64, trained string) *Weights {
	m := &Weights{Trained: trained}
	for h, t := range tables {
		top := 0.0
		for _, w := range t.W {
			top = max(top, math.Abs(w))
		}
		top = max(min(top, 6), 1e-6)
		m.scale[h] = float32(top / 127)
		for k, at := range thresholds[h] {
			m.bias[h][k] = float32(t.Bias - at)
		}
		m.gain[h] = float32(gains[h])
		m.weights[h] = make([]int8, 1<<Bits)
		for i, w := range t.W {
			m.weights[h][i] = int8(math.Round(max(-127, min(127, w/top*127))))
		}
	}
	return m
}

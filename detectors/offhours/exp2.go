package offhours

import "math"

// exp2 is a power of 2 in the precision that is kept.
func exp2(x float64) float32 { return float32(math.Exp2(x)) }

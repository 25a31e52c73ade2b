package doctor

import "testing"

func TestQuantity(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "3": 3, "500m": 0.5, "1.5": 1.5, "2k": 2000, "2Ki": 2048, "4Gi": 4 << 30, "1e3": 1000, "10u": 1e-5, "": 0, "none": 0, "M": 0,
	} {
		if got := quantity(text); got-want > 1e-12 || want-got > 1e-12 {
			t.Errorf("%q is %g, want %g", text, got, want)
		}
	}
}

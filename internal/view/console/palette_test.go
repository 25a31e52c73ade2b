package console_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// palette reads the colours of a theme: 0 is light, 1 is dark.
func palette(t *testing.T, theme int) map[string]string {
	t.Helper()
	css, err := os.ReadFile("assets/console.css")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);`).FindAllStringSubmatch(string(css), -1) {
		out[m[1]] = m[2+theme]
	}
	if len(out) < 20 {
		t.Fatalf("read only %d colours", len(out))
	}
	return out
}

// luminance and contrast are WCAG 2.1's.
func luminance(colour string) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast holds each pair of colours that the style sheets put together to WCAG AA: 4.5 for text, 3 for what
// bounds a control or a state.
func TestContrast(t *testing.T) {
	type pair struct {
		on, ground string
		least      float64
	}
	var pairs []pair
	for _, ground := range []string{"ground", "surface", "raised"} {
		for _, on := range []string{"text", "muted", "accent", "failed"} {
			pairs = append(pairs, pair{on, ground, 4.5})
		}
		pairs = append(pairs, pair{"strong-line", ground, 3})
	}
	for _, word := range []string{"running", "succeeded", "failed", "caught", "retrying", "skipped", "cancelled", "pending"} {
		pairs = append(pairs, pair{word, word + "-ground", 4.5}, pair{"text", word + "-ground", 4.5}, pair{"muted", word + "-ground", 4.5}, pair{word, "surface", 3})
	}
	for _, kind := range []string{"key", "string", "number", "literal", "expr"} {
		pairs = append(pairs, pair{"json-" + kind, "ground", 4.5}, pair{"json-" + kind, "raised", 4.5})
	}
	pairs = append(pairs, pair{"on-accent", "accent", 4.5}, pair{"danger", "surface", 4.5}, pair{"danger", "failed-ground", 4.5}, pair{"text", "mark", 4.5})
	for theme, name := range []string{"light", "dark"} {
		colours := palette(t, theme)
		for _, p := range pairs {
			t.Run(fmt.Sprintf("%s/%s on %s", name, p.on, p.ground), func(t *testing.T) {
				if colours[p.on] == "" || colours[p.ground] == "" {
					t.Fatal("there is no such colour")
				}
				if got := contrast(colours[p.on], colours[p.ground]); got < p.least {
					t.Errorf("%s on %s has contrast %.2f, less than %.1f", colours[p.on], colours[p.ground], got, p.least)
				}
			})
		}
	}
}

package console_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// palette returns the colors of a theme by name. Theme 0 is light, 1 is dark.
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
		t.Fatalf("found only %d colors", len(out))
	}
	return out
}

// luminance returns the relative luminance of a color, as defined by WCAG 2.1.
func luminance(color string) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
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

// contrast returns the contrast ratio of two colors, as defined by WCAG 2.1.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// The pairs of colors that the style sheets combine conform to WCAG AA: a contrast of at least 4.5 for text, and 3 for borders of controls
// and states.
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
		colors := palette(t, theme)
		for _, p := range pairs {
			t.Run(fmt.Sprintf("%s/%s on %s", name, p.on, p.ground), func(t *testing.T) {
				if colors[p.on] == "" || colors[p.ground] == "" {
					t.Fatal("the color is not defined")
				}
				if got := contrast(colors[p.on], colors[p.ground]); got < p.least {
					t.Errorf("contrast of %s on %s: got %.2f, want at least %.1f", colors[p.on], colors[p.ground], got, p.least)
				}
			})
		}
	}
}

package jsonata_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
)

func TestTokens(t *testing.T) {
	for _, test := range []struct{ src, want string }{
		{"$a/2 /* c */ & /a [/]b/i", "$a / 2 & /a [/]b/i"},
		{"function($l, $r)<nn:b> { $l.`x y` }", "function ( $l , $r ) < nn : b > { $l . `x y` }"},
		{`a[-1] := 'it"s' & "x\"y"`, ""},
		{`($a := 'it"s'; $a ~> $f)`, `( $a := 'it"s' ; $a ~> $f )`},
	} {
		tokens, err := jsonata.Tokens(test.src)
		if test.want == "" {
			if err == nil {
				t.Errorf("Tokens(%q) gives %v, want an error", test.src, tokens)
			}
			continue
		}
		var texts []string
		whole := ""
		for _, token := range tokens {
			texts = append(texts, token.Text)
			whole += token.Gap + token.Text
			if variable := strings.HasPrefix(token.Text, "$"); variable != (token.Kind == jsonata.TokenVariable) {
				t.Errorf("%q has the kind %d", token.Text, token.Kind)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(texts, " ")); err != nil || diff != "" {
			t.Errorf("Tokens(%q): %v\n%s", test.src, err, diff)
		}
		if whole != test.src {
			t.Errorf("the tokens of %q with their gaps are joined to %q", test.src, whole)
		}
	}
}

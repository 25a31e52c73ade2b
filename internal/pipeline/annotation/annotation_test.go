package annotation_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

func TestComment(t *testing.T) {
	for _, s := range []annotation.State{
		{Step: "train", Role: annotation.Run},
		{Step: "train", Role: annotation.Submit, Scope: annotation.OnFailure},
		{Role: annotation.Params},
	} {
		if got, ok := annotation.Parse(s.Comment()); !ok || got != s {
			t.Errorf("Parse(%s) = %v, %v", s.Comment(), got, ok)
		}
	}
	if got, want := (annotation.State{Step: "train", Role: annotation.Submit}).Comment(), `{"step":"train","role":"submit"}`; got != want {
		t.Errorf("Comment() = %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	for name, comment := range map[string]string{
		"none": "", "text": "Trains the model", "another object": `{"owner":"me"}`, "cut off": `{"step":"train","ro`, "not an object": `["run"]`, "a number": `{"role":1}`,
	} {
		if s, ok := annotation.Parse(comment); ok {
			t.Errorf("%s: Parse(%s) = %v, want no annotation", name, comment, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"step":"train","role":"submit"}`)
	f.Fuzz(func(t *testing.T, comment string) {
		s, ok := annotation.Parse(comment)
		if !ok {
			return
		}
		if again, ok := annotation.Parse(s.Comment()); !ok || again != s {
			t.Errorf("Parse(%q) = %v, but parsing its Comment again returns %v", comment, s, again)
		}
	})
}

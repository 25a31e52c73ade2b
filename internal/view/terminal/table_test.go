package terminal_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

func TestTableWithEmptyCells(t *testing.T) {
	var b strings.Builder
	err := terminal.Table(&b, []string{"STEP", "TOOK", "", "OUTPUT"}, [][]string{{"größer", "", "", "{}"}, {"a", "1 min 2 s", "", ""}})
	want := "STEP    TOOK         OUTPUT\n" +
		"größer               {}\n" +
		"a       1 min 2 s    \n"
	if got := b.String(); got != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

package joblog_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// TestNotJSON checks that the error names the keys of NaN and Infinity. The typical case is a metric that became NaN.
func TestNotJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"loss": NaN, "acc": Infinity}`:                  "is not valid JSON: loss is NaN, acc is Infinity",
		`{"a":1,"m":{"x":[0, {"y":2}, -Infinity]},"b":2}`: "is not valid JSON: m.x[2] is -Infinity",
		`{"a":[1,[2,NaN]],"b":NaN}`:                       "is not valid JSON: a[1][1] is NaN, b is NaN",
		`[1,NaN]`:                                         "is not valid JSON: [1] is NaN",
		`NaN`:                                             "is not valid JSON: it is NaN",
		`{"a":"NaN","b":{"c":{}},"d":NaN}`:                "is not valid JSON: d is NaN",
		`[NaN,NaN,NaN,NaN,NaN,NaN,NaN]`:                   "is not valid JSON: [0] is NaN, [1] is NaN, [2] is NaN, [3] is NaN, [4] is NaN",
		`{"a": NaN`:                                       `it is "{\"a\": NaN"`,
		`{not json`:                                       `is not valid JSON: it is "{not json"`,
		`{"a":1} {`:                                       `it is "{\"a\":1} {"`,
		``:                                                `it is ""`,
		`x` + strings.Repeat("ä", 60):                     "...\"",
	} {
		t.Run(text, func(t *testing.T) {
			log := joblog.New(nil, joblog.Redactor{})
			log.Line(joblog.OutputMark+text, nil)
			_, err := log.Output()
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got error %v, want one that ends with %s", err, want)
			}
		})
	}
}

func FuzzNotJSON(f *testing.F) {
	f.Add(`{"a":[1,{"b":NaN}],"c":-Infinity}`)
	f.Add(`{"a"}]`)
	f.Fuzz(func(_ *testing.T, text string) {
		log := joblog.New(nil, joblog.Redactor{})
		log.Line(joblog.OutputMark+text, nil)
		_, _ = log.Output()
	})
}

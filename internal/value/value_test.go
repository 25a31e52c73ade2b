package value_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/value"
)

func TestParseKeepsText(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `1.0`, `0.1`, `-1.5E-7`, `12345678901234567890123`, `12345678.5`, `1e999`, `""`, `"é\n\"\\"`, `[]`, `{}`, `[1,[2,{"a":[]}]]`,
		`{"z":1,"a":{"y":2,"b":null},"":0}`, `"\u0001"`, `"a/b"`, `"😀"`,
		`{"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9,"10":10}`,
	} {
		v, err := value.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := value.Text(v); got != text {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

func TestParseNormalizes(t *testing.T) {
	for text, want := range map[string]string{
		" { \"a\" : [ 1 , 2 ] }\r\n\t": `{"a":[1,2]}`,
		`[-0,1.00,1.50,10.0,-0.0]`:     `[0,1.0,1.5,10.0,-0.0]`,
		`[1e3,-2.5E2,1e-3,0e5]`:        `[1000.0,-250.0,0.001,0.0]`,
		`[1e7,12.5e10,1e-4,1E+20]`:     `[1.0E7,1.25E11,1.0E-4,1.0E20]`,
		`"\u00e9\ud83d\ude00\/"`:       `"é😀/"`,
		`"\ud83d"`:                     `"` + "\uFFFD" + `"`,
		`"\ud83d\u0041"`:               `"` + "\uFFFD" + `A"`,
		`{"a":1,"b":2,"a":3}`:          `{"a":3,"b":2}`,
	} {
		v, err := value.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := value.Text(v); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"", " ", "nul", "truex", "01", "1.", ".5", "+1", "-", "1e", "1e+", "[", "[1", "[1,", "[1,]", "[1 2]", "{", `{"a"`, `{"a":`, `{"a":1`,
		`{"a":1,}`, `{a:1}`, `{"a" 1}`, `"`, `"\x"`, `"\u12"`, `"\u12G4"`, "\"\n\"", "\"\xff\"", "\"\\n\xff\"", `1 2`, "NaN", "Infinity",
		strings.Repeat("[", 1_000_000), strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	} {
		var syntax *value.SyntaxError
		if _, err := value.Parse([]byte(text)); !errors.As(err, &syntax) {
			t.Errorf("%.20q: got %v", text, err)
		} else if syntax.Offset < 0 || syntax.Offset > len(text) {
			t.Errorf("%.20q: offset %d", text, syntax.Offset)
		}
	}
}

func TestParseLargeInput(t *testing.T) {
	text := "[" + strings.Repeat(`{"key":"some text","n":[1,2,3]},`, 330_000) + "0]"
	v, err := value.Parse([]byte(text))
	if err != nil || len(v.([]any)) != 330_001 {
		t.Fatalf("got %v", err)
	}
	if got := value.Text(v); got != text {
		t.Error("Text does not return the parsed text")
	}
}

func TestParseObject(t *testing.T) {
	if o, err := value.ParseObject([]byte(`{"a":1}`)); err != nil || o.Len() != 1 {
		t.Errorf("got %v, %v", o, err)
	}
	for _, text := range []string{`[]`, `null`, `{`} {
		if _, err := value.ParseObject([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestObject(t *testing.T) {
	o := value.Obj("b", 1, "a", 2)
	changed := o.With("c", 3).With("b", 4).Without("a")
	if diff := cmp.Diff([]string{"b", "a"}, o.Keys()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b", "c"}, changed.Keys()); diff != "" {
		t.Error(diff)
	}
	if v, ok := changed.Get("b"); !ok || v != 4 {
		t.Errorf("got %v, %v", v, ok)
	}
	big := value.NewObject(0)
	for i := range 100 {
		big.Set(string(rune('a'+i)), i)
	}
	for i := range 100 {
		if v, ok := big.Get(string(rune('a' + i))); !ok || v != i {
			t.Fatalf("key %d: %v, %v", i, v, ok)
		}
	}
	if big.Without("a").Has("a") || big.Len() != 100 {
		t.Error("Without did not remove the key from the copy only")
	}
	var none *value.Object
	if none.Len() != 0 || none.Has("a") || none.Keys() != nil {
		t.Error("a nil object is not empty")
	}
}

func TestNumbers(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", -1.5: "-1.5", 1e6: "1000000", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1e-7: "1e-07",
		0.30000000000000004: "0.30000000000000004", math.Inf(1): "0", math.NaN(): "0",
	} {
		got := value.Float(f)
		if string(got) != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%v: got %s, which is not valid JSON", f, got)
		}
	}
	for text, want := range map[value.Number]int64{"1": 1, "-3": -3, "1e2": 100, "2.0": 2, "9007199254740993": 9007199254740993} {
		if got, ok := text.Int64(); !ok || got != want {
			t.Errorf("%s: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []value.Number{"1.5", "1e300", "12345678901234567890", "-1e19"} {
		if got, ok := text.Int64(); ok {
			t.Errorf("%s: got %d", text, got)
		}
	}
}

func TestEqual(t *testing.T) {
	parse := func(text string) any {
		v, err := value.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true}, {`1e2`, `100`, true}, {`1`, `2`, false}, {`1`, `"1"`, false}, {`null`, `null`, true}, {`null`, `0`, false},
		{`9007199254740993`, `9007199254740992`, false}, {`{"a":1,"b":2}`, `{"b":2,"a":1}`, true}, {`{"a":1}`, `{"b":1}`, false},
		{`{"a":1}`, `{"a":1,"b":1}`, false}, {`[1,2]`, `[2,1]`, false}, {`[1,[2]]`, `[1,[2.0]]`, true}, {`[]`, `{}`, false}, {`true`, `true`, true},
		{`"a"`, `"a"`, true}, {`[]`, `[null]`, false},
	} {
		if got := value.Equal(parse(c.a), parse(c.b)); got != c.want {
			t.Errorf("Equal(%s, %s): got %v", c.a, c.b, got)
		}
	}
}

func TestGoValues(t *testing.T) {
	in := map[string]any{"b": []any{1.5, "x", nil, true}, "a": map[string]string{"k": "v"}, "n": 3, "l": int64(4), "s": []string{"y"},
		"j": json.Number("1.0")}
	got := value.Text(value.FromGo(in))
	if diff := cmp.Diff(`{"a":{"k":"v"},"b":[1.5,"x",null,true],"j":1.0,"l":4,"n":3,"s":["y"]}`, got); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{"b": []any{1.5, "x", nil, true}}
	if diff := cmp.Diff(want, value.ToGo(value.FromGo(want))); diff != "" {
		t.Error(diff)
	}
}

func TestLen(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `1e3`, `1.50`, `-0`, `""`, `"a\"\\\n\u0001é"`, `[]`, `[1]`, `[1,[2,"x"],{}]`, `{}`, `{"a":1,"b\t":[{"c":null}]}`,
	} {
		v, err := value.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		n := len(value.Bytes(v))
		if got := value.Len(v, 1000); got != n {
			t.Errorf("%s: got %d, want %d", text, got, n)
		}
		if got := value.Len(v, n-1); got <= n-1 {
			t.Errorf("%s: got %d, want more than %d", text, got, n-1)
		}
	}
	var v any = "x"
	for range 100 { // its JSON would be larger than any disk
		v = []any{v, v}
	}
	if got := value.Len(v, 1000); got <= 1000 || got > 2000 {
		t.Errorf("got %d", got)
	}
}

func TestMap(t *testing.T) {
	var double func(v any) any
	double = func(v any) any {
		if n, ok := v.(value.Number); ok {
			return value.Float(2 * n.Float64())
		}
		return value.Map(v, double)
	}
	for text, want := range map[string]string{
		`1`: `2`, `"1"`: `"1"`, `null`: `null`, `[]`: `[]`, `{}`: `{}`, `{"b":1,"a":[2,{"c":3}],"d":true}`: `{"b":2,"a":[4,{"c":6}],"d":true}`,
	} {
		v, err := value.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := value.Text(double(v)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if value.Text(v) != text {
			t.Errorf("%s: Map changed its argument to %s", text, value.Text(v))
		}
	}
}

// FuzzParse compares Parse with encoding/json: both must accept the same texts, with the same meaning.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,-0,1e5],"b":{"c":null}}`, `"\u00e9\ud83d\ude00\n"`, ` [ true , false ] `, `{"a":1,"a":2}`, `"\ud800"`, `01`, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := value.Parse(data)
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want any
		wantErr := decoder.Decode(&want)
		valid := json.Valid(data)
		if err != nil {
			var syntax *value.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(data) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if valid && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "nested") {
				t.Fatalf("error for valid JSON: %v", err)
			}
			return
		}
		if !valid || wantErr != nil {
			t.Fatalf("no error for invalid JSON: %v", wantErr)
		}
		if diff := cmp.Diff(value.Text(value.FromGo(want)), value.Text(sorted(v))); diff != "" {
			t.Fatal(diff)
		}
		if n := len(value.Bytes(v)); value.Len(v, n) != n {
			t.Fatalf("Len: got %d, want %d", value.Len(v, n), n)
		}
		again, err := value.Parse(value.Bytes(v))
		if err != nil || !value.Equal(v, again) {
			t.Fatalf("Parse of Bytes gives another value: %v", err)
		}
	})
}

// sorted returns a value with its keys in alphabetical order, like the maps of encoding/json.
func sorted(v any) any {
	o, ok := v.(*value.Object)
	if !ok {
		return value.Map(v, sorted)
	}
	m := make(map[string]any, o.Len())
	for i := range o.Len() {
		k, item := o.At(i)
		m[k] = sorted(item)
	}
	return value.FromGo(m)
}

var document = []byte(`{"id":"order-1","total":12.50,"items":[{"sku":"a","n":1},{"sku":"b","n":2}],"address":{"street":"Main \"St\"","zip":"12345"},` +
	`"flags":[true,false,null],"note":"a longer text that stands for what payloads carry around with them"}`)

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := value.Parse(document); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	v, err := value.Parse(document)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = value.Append(buf[:0], v)
	}
}

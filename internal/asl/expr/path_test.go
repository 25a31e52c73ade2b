package expr_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

func parse(t testing.TB, text string) any {
	t.Helper()
	v, err := value.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return v
}

const store = `{"store":{"book":[
 {"category":"reference","author":"Rees","title":"Sayings","price":8.95},
 {"category":"fiction","author":"Waugh","title":"Sword","price":12.99},
 {"category":"fiction","author":"Melville","title":"Moby","isbn":"0-553","price":8.99},
 {"category":"fiction","author":"Tolkien","title":"Ring","isbn":"0-395","price":22.99}],
 "bicycle":{"color":"red","price":19.95}},
 "expensive":10,"key-dash":"d","a b":"space","":"empty","ünï":"u","n":null,"list":[0,1,2,3,4,5],"deep":[[1,[2]],[3]],
 "@type":"at","q\\\"\"x":"escaped","it's":"quote","tags":["x","y"],"flag":true}`

func TestPathEval(t *testing.T) {
	root := parse(t, store)
	for _, c := range []struct{ path, want string }{
		{"$.expensive", `10`},
		{"$['expensive']", `10`},
		{`$["expensive"]`, `10`},
		{"$.['expensive']", `10`},
		{"$.key-dash", `"d"`},
		{"$['a b']", `"space"`},
		{"$['']", `"empty"`},
		{"$.ünï", `"u"`},
		{`$['q\""x']`, `"escaped"`},
		{`$['it\'s']`, `"quote"`},
		{"$.@type", `"at"`},
		{"$.n", `null`},
		{"$.list[0]", `0`},
		{"$.list[-1]", `5`},
		{"$.list[ 2 ]", `2`},
		{"$.list[0,2]", `[0,2]`},
		{"$.list[0,99]", `[0]`},
		{"$.list[1:3]", `[1,2]`},
		{"$.list[:2]", `[0,1]`},
		{"$.list[4:]", `[4,5]`},
		{"$.list[-2:]", `[4,5]`},
		{"$.list[:-4]", `[0,1]`},
		{"$.list[3:1]", `[]`},
		{"$.list[7:9]", `[]`},
		{"$.list[*]", `[0,1,2,3,4,5]`},
		{"$.store.bicycle.*", `["red",19.95]`},
		{"$.store.bicycle[*]", `["red",19.95]`},
		{"$.store.book[0].title", `"Sayings"`},
		{"$.store.book[*].author", `["Rees","Waugh","Melville","Tolkien"]`},
		{"$.store.book[*].isbn", `["0-553","0-395"]`},
		{"$.store.book[0]['author','title']", `{"author":"Rees","title":"Sayings"}`},
		{"$.store.book[0]['author','nope']", `{"author":"Rees"}`},
		{"$.store.book[2:]['title','isbn']", `[{"title":"Moby","isbn":"0-553"},{"title":"Ring","isbn":"0-395"}]`},
		{"$..author", `["Rees","Waugh","Melville","Tolkien"]`},
		{"$.store..price", `[8.95,12.99,8.99,22.99,19.95]`},
		{"$..['author','isbn']", `[{"author":"Melville","isbn":"0-553"},{"author":"Tolkien","isbn":"0-395"}]`},
		{"$..book[2].title", `["Moby"]`},
		{"$..book.length()", `1`},
		{"$.missing[*]", `[]`},
		{"$.missing[1:]", `[]`},
		{"$.missing.further[*].x", `[]`},
		{"$.expensive[*]", `[]`},
		{"$.deep[*][0]", `[1,3]`},
		{"$.list.length()", `6`},
		{"$.tags.first()", `"x"`},
		{"$.tags.last()", `"y"`},
		{"$.list.index(2)", `2`},
		{"$.list.max()", `5.0`},
		{"$.list.avg()", `2.5`},
		{"$.store.bicycle.keys()", `["color","price"]`},
		{"$.deep[*].length()", `[2,1]`},
		{"$.tags.append('z')", `["x","y","z"]`},
		{"$.tags.concat()", `"xy"`},
	} {
		t.Run(c.path, func(t *testing.T) {
			p, err := expr.CompilePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Eval(root)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, value.Text(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPathFilters(t *testing.T) {
	root := parse(t, `{"max":2,"xs":[
	 {"id":1,"s":"a","tags":["p","q"],"o":{"k":1},"path":"/eggs/cooked/like"},
	 {"id":2,"s":"b","tags":[],"on":true},
	 {"id":"3","s":"it's","n":null},
	 {"id":4.0,"s":"A","tags":["q"],"on":false}]}`)
	for _, c := range []struct{ filter, ids string }{
		{"@.id == 2", `[2]`},
		{"@.id==2", `[2]`},
		{"2 == @.id", `[2]`},
		{"@.id == '3'", `["3"]`},
		{"@.id == 3", `["3"]`},
		{"@.id === 3", `[]`},
		{"@.id == 4", `[4.0]`},
		{"@.id != 2", `[1,"3",4.0]`},
		{"@.id > 1", `[2,4.0]`},
		{"@.id >= $.max", `[2,4.0]`},
		{"@.id < 2", `[1]`},
		{"@.s <= 'a'", `[1,4.0]`},
		{"@.s == 'it\\'s'", `["3"]`},
		{`@.s == "b"`, `[2]`},
		{"@.on", `[2,4.0]`},
		{"@.on == true", `[2]`},
		{"!@.on", `[1,"3"]`},
		{"@.n", `["3"]`},
		{"@.n == null", `["3"]`},
		{"@.missing == null", `[]`},
		{"@.missing != null", `[1,2,"3",4.0]`},
		{"@.on && @.id == 4", `[4.0]`},
		{"@.id == 1 || @.id == 2", `[1,2]`},
		{"@.id == 1 || @.id == 2 && @.s == 'z'", `[1]`},
		{"(@.id == 1 || @.id == 2) && @.s == 'b'", `[2]`},
		{"!(@.id == 1)", `[2,"3",4.0]`},
		{"@['s'] == 'a'", `[1]`},
		{"@.o.k == 1", `[1]`},
		{"@.s =~ /a/i", `[1,4.0]`},
		{"@.s =~ /it.*/", `["3"]`},
		{"@.s =~ /t/", `[]`},
		{"@.s in ['a','b']", `[1,2]`},
		{"@.id in [1, [2], {\"x\": [3]}]", `[1]`},
		{`@.s in ["a","b"]`, `[1,2]`},
		{`@.s nin ["a","b"]`, `["3",4.0]`},
		{"@.tags contains 'q'", `[1,4.0]`},
		{"@.s contains 't'", `["3"]`},
		{"@.tags size 2", `[1]`},
		{"@.tags empty true", `[2]`},
		{"@.tags empty false", `[1,4.0]`},
		{`@.tags subsetof ["p","q","r"]`, `[1,2,4.0]`},
		{`@.tags anyof ["p"]`, `[1]`},
		{`@.tags noneof ["p"]`, `[2,"3",4.0]`},
		{`@.tags all ["p","q"]`, `[1]`},
		{"@.tags.length() > 0", `[1,4.0]`},
		{"@.tags[0] == 'q'", `[4.0]`},
		{"$.max == 3", `[]`},
		{"@.xs[?(@.id == 1)]", `[1,2,"3",4.0]`}, // an indefinite path always exists
		// Unlike Jayway, Step Functions accepts an unquoted string, whatever it contains.
		{"@.s == b", `[2]`},
		{"@.s==b && @.id==2", `[2]`},
		{"@.s != b", `[1,"3",4.0]`},
		{"@.path == /eggs/cooked/like", `[1]`},
		{"@.path == /eggs/", `[]`},
		{"@.s == true-ish", `[]`},
	} {
		t.Run(c.filter, func(t *testing.T) {
			p, err := expr.CompilePath("$.xs[?(" + c.filter + ")].id")
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Eval(root)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.ids, value.Text(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhiteSpaceAroundQuery(t *testing.T) {
	for _, text := range []string{"$.a ", "$ ", "$.a[0]\n", "States.UUID()  ", "States.Array(1, 2) "} {
		if _, err := expr.CompileQuery(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{" $.a", "$.a b", " States.UUID()", "States.UUID() x"} {
		if _, err := expr.CompileQuery(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestPathFilterAfterScan(t *testing.T) {
	root := parse(t, `{"id":1,"c":[{"id":2,"c":[{"id":1}]},{"id":1,"x":[1,2]}]}`)
	p, err := expr.CompilePath("$..[?(@.id == 1)].id")
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Eval(root)
	if err != nil || value.Text(got) != "[1,1,1]" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPathMissing(t *testing.T) {
	root := parse(t, store)
	for _, c := range []struct{ path, want string }{
		{"$.NoSuchInputPath", "No results for path: $['NoSuchInputPath']"},
		{"$.no.such", "Missing property in path $['no']"},
		{"$.store.no", "No results for path: $['store']['no']"},
		{"$.list[9]", "No results for path: $['list'][9]"},
		{"$.store.no.such", "Missing property in path $['store']['no']"},
		{"$.expensive.length()", "No results for path: $['expensive'].length()"},
		{"$.list.sum()", "No results for path: $['list'].sum()"},
		{"$['a b'].x", "No results for path: $['a b']['x']"},
	} {
		t.Run(c.path, func(t *testing.T) {
			p, err := expr.CompilePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Eval(root)
			var missing *expr.NoResultsError
			if !errors.As(err, &missing) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPathKinds(t *testing.T) {
	for _, c := range []struct {
		path                string
		source              expr.Source
		variable            string
		definite, reference bool
	}{
		{"$", expr.FromInput, "", true, true},
		{"$$", expr.FromContext, "", true, true},
		{"$$.Execution.Id", expr.FromContext, "", true, true},
		{"$name", expr.FromVariable, "name", true, true},
		{"$name.a[0]", expr.FromVariable, "name", true, true},
		{"$größe_2[0]", expr.FromVariable, "größe_2", true, true},
		{"$.a[0]['b']", expr.FromInput, "", true, true},
		{"$.a['b','c']", expr.FromInput, "", true, false},
		{"$.a['b','c'].d", expr.FromInput, "", false, false},
		{"$.a[*]", expr.FromInput, "", false, false},
		{"$.a[1,2]", expr.FromInput, "", false, false},
		{"$.a[1:]", expr.FromInput, "", false, false},
		{"$..a", expr.FromInput, "", false, false},
		{"$.a[?(@.b)]", expr.FromInput, "", false, false},
		{"$.a.length()", expr.FromInput, "", true, false},
	} {
		p, err := expr.CompilePath(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if p.Source() != c.source || p.Variable() != c.variable || p.Definite() != c.definite ||
			p.Reference() != c.reference || p.Text() != c.path {
			t.Errorf("%s: source %v, variable %q, definite %v, reference %v, text %q",
				c.path, p.Source(), p.Variable(), p.Definite(), p.Reference(), p.Text())
		}
	}
}

func TestPathSyntaxErrors(t *testing.T) {
	for _, path := range []string{
		"", "a", ".a", "$.", "$..", "$...a", "$.a.", "$.a[", "$.a[]", "$.a['b", "$.a['b'", "$.a[b]", "$.a[0", "$.a[1:2:3]",
		"$.a[99999999999]", "$.a[-]", "$.a[1,]", "$.a[?]", "$.a[?()]", "$.a[?(@.b]", "$.a[?(@.b ==)]", "$.a[?(@.b == x y)]", "$.a[?(@.b == x()]", "$.a[?(x == @.b)]",
		"$.a[?(@.b =~ /x)]", "$.a[?(@.b =~ /(/)]", "$.a b", "$.a.nope()", "$.a.length(", "$$$", "$.a]", "$ .a", "$.a\xff",
		"$.a[?(@.b == '\\u12')]", "$.a[?(!)]", "$-x", "$..length()", "$.a[?($..length())]",
	} {
		var syntax *expr.SyntaxError
		if _, err := expr.CompilePath(path); !errors.As(err, &syntax) {
			t.Errorf("%q: got %v", path, err)
		} else if syntax.Offset < 0 || syntax.Offset > len(path) {
			t.Errorf("%q: offset %d", path, syntax.Offset)
		}
	}
}

func TestPathPut(t *testing.T) {
	for _, c := range []struct{ path, root, want string }{
		{"$", `{"a":1}`, `"new"`},
		{"$.a", `{"a":1,"b":2}`, `{"a":"new","b":2}`},
		{"$.c", `{"a":1}`, `{"a":1,"c":"new"}`},
		{"$.c.d.e", `{"a":1}`, `{"a":1,"c":{"d":{"e":"new"}}}`},
		{"$.a.b", `{"a":{"c":1}}`, `{"a":{"c":1,"b":"new"}}`},
		{"$['a']['x y']", `{}`, `{"a":{"x y":"new"}}`},
		{"$.a[1]", `{"a":[1,2,3]}`, `{"a":[1,"new",3]}`},
		{"$.a[0].b", `{"a":[{"c":1}]}`, `{"a":[{"c":1,"b":"new"}]}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			p, err := expr.CompilePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			root := parse(t, c.root)
			got, err := p.Put(root, "new")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, value.Text(got)); diff != "" {
				t.Error(diff)
			}
			if value.Text(root) != c.root {
				t.Errorf("Put changed the root: %s", value.Text(root))
			}
		})
	}
}

func TestPathPutMismatch(t *testing.T) {
	for _, c := range []struct{ path, root string }{
		{"$.a", `[1]`}, {"$.a", `1`}, {"$.a.b", `{"a":1}`}, {"$.a[5]", `{"a":[1]}`}, {"$.a[0]", `{}`}, {"$.a[*]", `{"a":[]}`},
	} {
		p, err := expr.CompilePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Put(parse(t, c.root), "new")
		var e *expr.Error
		if !errors.As(err, &e) || e.Name != "States.ReferencePathConflict" {
			t.Errorf("%s on %s: got %v", c.path, c.root, err)
		}
	}
}

func TestPathWorkIsBounded(t *testing.T) {
	deep := any("x")
	for range 900 {
		deep = []any{deep, deep}
	}
	p, err := expr.CompilePath("$..[*]..[*]..[*]")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Eval(deep); err == nil {
		t.Error("no error")
	}
}

package jsonata

import "strings"

// signature describes the arguments that a function accepts, such as <s-nn?:s>: a string, which defaults to the context item
// (-), a number, and an optional number (?); the result, after the colon, is a string. Letters: s string, n number, b
// boolean, l null, o object, a array, f function, j any JSON value, x any value, (sn) one of these types, a<n> an array of
// numbers, + one or more.
type signature struct{ params []param }

// param is one parameter. letters are the types that it accepts, as the function letter returns them.
type param struct {
	letters  string
	array    bool   // a value that is not an array is wrapped in one
	item     string // of an array: the letter of its items' type, "" for any
	optional bool
	repeated bool
	context  bool // defaults to the context item
}

const (
	anyLetter   = "asnblfom"
	valueLetter = "asnblom"
)

// parseSignature parses a signature with its brackets. It ignores the type of the result.
func parseSignature(text string) (*signature, error) {
	s := &signature{}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	for i := 0; i < len(text) && text[i] != ':'; i++ {
		switch c := text[i]; c {
		case 's', 'n', 'b', 'l', 'o':
			s.params = append(s.params, param{letters: string(c) + "m"})
		case 'a':
			s.params = append(s.params, param{letters: anyLetter, array: true})
		case 'f':
			s.params = append(s.params, param{letters: "f"})
		case 'j':
			s.params = append(s.params, param{letters: valueLetter})
		case 'x':
			s.params = append(s.params, param{letters: anyLetter})
		case '(':
			end := i + strings.IndexByte(text[i:], ')')
			if end < i {
				end = len(text)
			}
			choice := text[i+1 : end]
			if strings.Contains(choice, "<") {
				return nil, newError("S0402", -1).with("value", choice)
			}
			s.params = append(s.params, param{letters: choice + "m"})
			i = end
		default:
			end, err := s.modify(text, i)
			if err != nil {
				return nil, err
			}
			i = end
		}
	}
	return s, nil
}

// modify applies a modifier to the last parameter, and returns the index of the modifier's last character.
func (s *signature) modify(text string, i int) (int, error) {
	if len(s.params) == 0 && text[i] != '<' {
		return i, nil
	}
	if len(s.params) == 0 {
		return i, newError("S0401", -1).with("value", text)
	}
	p := &s.params[len(s.params)-1]
	switch text[i] {
	case '-':
		p.context, p.optional = true, true
	case '?':
		p.optional = true
	case '+':
		p.repeated = true
	case '<':
		if !p.array && p.letters != "f" {
			return i, newError("S0401", -1).with("value", text)
		}
		depth, end := 0, i
		for ; end < len(text); end++ {
			if text[end] == '<' {
				depth++
			} else if text[end] == '>' {
				depth--
			}
			if depth == 0 {
				break
			}
		}
		if p.array && end > i+1 {
			p.item = text[i+1 : min(i+2, end)]
		}
		return end, nil
	}
	return i, nil
}

// letter returns the type of an argument in the notation of signatures.
func letter(v any) byte {
	switch v.(type) {
	case nil:
		return 'l'
	case undefinedType:
		return 'm'
	case bool:
		return 'b'
	case string:
		return 's'
	case *Function:
		return 'f'
	}
	if _, ok := v.(float64); ok || isNumber(v) {
		return 'n'
	}
	if _, ok := items(v); ok {
		return 'a'
	}
	return 'o'
}

// match sets takes to the number of arguments that each parameter from i on accepts, each as many as possible. With prefix,
// arguments may remain.
func (s *signature) match(types string, i, at, end int, prefix bool, takes []int) bool {
	if i == end {
		return prefix || at == len(types)
	}
	p := &s.params[i]
	most := 0
	for at+most < len(types) && (most == 0 || p.repeated) && strings.IndexByte(p.letters, types[at+most]) >= 0 {
		most++
	}
	least := 1
	if p.optional {
		least = 0
	}
	for n := most; n >= least; n-- {
		takes[i] = n
		if s.match(types, i+1, at+n, end, prefix, takes) {
			return true
		}
	}
	return false
}

// validate returns the arguments in the form that the function expects: with the context item for a missing argument, and
// with single values wrapped in arrays.
func (s *signature) validate(args []any, context any) ([]any, error) {
	types := make([]byte, len(args))
	for i, a := range args {
		types[i] = letter(a)
	}
	takes := make([]int, len(s.params))
	if !s.match(string(types), 0, 0, len(s.params), false, takes) {
		return nil, s.mismatch(string(types), args)
	}
	out := make([]any, 0, len(s.params))
	at := 0
	for i := range s.params {
		p := &s.params[i]
		if takes[i] == 0 {
			v, err := p.missing(at, context)
			if err != nil {
				return nil, err
			}
			if !p.context { // the reference implementation passes the next argument here, and counts it
				v = argument(args, at)
				at++
			}
			out = append(out, v)
			continue
		}
		for range takes[i] {
			v, err := p.convert(at, argument(args, at))
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			at++
		}
	}
	return out, nil
}

func argument(args []any, i int) any {
	if i < len(args) {
		return args[i]
	}
	return Undefined
}

// missing returns the value of an argument that is missing: the context item if the signature allows it.
func (p *param) missing(at int, context any) (any, error) {
	if !p.context {
		return Undefined, nil
	}
	if strings.IndexByte(p.letters, letter(context)) < 0 {
		return nil, ArgumentError("T0411", at+1, context)
	}
	return context, nil
}

var itemNames = map[string]string{
	"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings",
}

// convert checks the items of an array, and wraps any other value in an array.
func (p *param) convert(at int, arg any) (any, error) {
	kind := letter(arg)
	if !p.array || kind == 'm' {
		return arg, nil
	}
	list, isArray := items(arg)
	ok := p.item == "" || kind == p.item[0] || isArray
	if p.item != "" && isArray && len(list) > 0 && p.item[0] != 'x' {
		for _, item := range list {
			ok = ok && letter(item) == p.item[0]
		}
	}
	if !ok {
		return nil, ArgumentError("T0412", at+1, arg).with("type", itemNames[p.item])
	}
	if !isArray {
		return []any{arg}, nil
	}
	return arg, nil
}

// mismatch returns the error for the first argument that does not match: it is after the longest sequence of arguments that a
// prefix of the parameters accepts.
func (s *signature) mismatch(types string, args []any) error {
	good := 0
	takes := make([]int, len(s.params))
	for n := 1; n <= len(s.params); n++ {
		if !s.match(types, 0, 0, n, true, takes) {
			break
		}
		good = 0
		for _, t := range takes[:n] {
			good += t
		}
	}
	v := Undefined
	if good < len(args) {
		v = args[good]
	}
	return ArgumentError("T0410", good+1, v)
}

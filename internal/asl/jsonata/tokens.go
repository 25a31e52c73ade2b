package jsonata

// Token is a lexical token of an expression.
type Token struct {
	Text string // as in the source: with the $ of a variable, and with quotes or slashes
	Kind TokenKind
	// Gap is what the source has before the token: white space and comments.
	Gap string
}

// TokenKind is the kind of a Token, as far as callers distinguish it.
type TokenKind int

// The kinds of tokens. TokenOther includes names, literals and regular expressions.
const (
	TokenOther TokenKind = iota
	TokenOperator
	TokenVariable
)

// Tokens returns the tokens of an expression. Only a parser can find them, because a slash can divide or begin a regular
// expression: an expression with a syntax error is an error.
func Tokens(src string) ([]Token, error) {
	p := parser{lexer: lexer{src: src}, record: true}
	if _, err := p.parse(); err != nil {
		return nil, err
	}
	tokens, end := make([]Token, len(p.recorded)), 0
	for i, s := range p.recorded {
		tokens[i] = Token{Text: src[s.start:s.end], Gap: src[end:s.start], Kind: kinds[s.kind]}
		end = s.end
	}
	return tokens, nil
}

var kinds = map[tokenKind]TokenKind{tokenOperator: TokenOperator, tokenVariable: TokenVariable}

// span is where a token is in the source.
type span struct {
	kind       tokenKind
	start, end int
}

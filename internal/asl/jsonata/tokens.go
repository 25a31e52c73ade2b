package jsonata

// Token is a lexical token of an expression.
type Token struct {
	Text string // as in the source: with the $ of a variable, and with quotes or slashes
	Kind TokenKind
	// Gap is what the source has before the token: white space and comments.
	Gap string
}

// TokenKind is what a Token is, as far as callers need it.
type TokenKind int

// The kinds of tokens. TokenOther includes names, literals and regular expressions.
const (
	TokenOther TokenKind = iota
	TokenOperator
	TokenVariable
)

// Tokens returns the tokens of an expression. Only a parser can find them, because a slash may divide or begin a regular
// expression, so an expression that does not parse is an error.
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

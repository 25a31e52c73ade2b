package jsonata

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// $formatInteger and $parseInteger follow format-integer of XPath 3.1. A picture consists of a primary format (digits with
// separators, or a letter: A, a, I, i, W, w, Ww) and, after a semicolon, a modifier, of which o asks for an ordinal number.
// Pictures of dates contain such formats too (datetime.go).

// integerStyle is a numbering style.
type integerStyle int

const (
	styleDecimal integerStyle = iota
	styleLetters
	styleRoman
	styleWords
	styleSequence // a numbering sequence that is not supported
)

// integerFormat is a parsed picture of $formatInteger, or of an integer in the picture of a date.
type integerFormat struct {
	style      integerStyle
	letterCase letterCase
	ordinal    bool
	token      string // the picture

	zero                rune // of the digit family
	mandatory, optional int  // numbers of digits
	separators          []separatorAt
	regular             int // the distance of a separator that repeats, in digits; 0 if none does
	parseWidth          int // of a number that is parsed and has no separator after it
}

type letterCase int

const (
	lowerCase letterCase = iota
	upperCase
	titleCase
)

// separatorAt is a separator with its distance from the right in digits.
type separatorAt struct {
	position int
	text     string
}

var integerStyles = map[string]integerFormat{
	"A": {style: styleLetters, letterCase: upperCase}, "a": {style: styleLetters},
	"I": {style: styleRoman, letterCase: upperCase}, "i": {style: styleRoman},
	"W": {style: styleWords, letterCase: upperCase}, "w": {style: styleWords}, "Ww": {style: styleWords, letterCase: titleCase},
}

// zeros are the zeros of the digit families that pictures may use.
var zeros = []rune{0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
	0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
	0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10}

// parseIntegerPicture parses a picture such as "#,##0" or "w;o".
func parseIntegerPicture(picture string) (*integerFormat, error) {
	primary, modifier := picture, ""
	if i := strings.LastIndexByte(picture, ';'); i >= 0 {
		primary, modifier = picture[:i], picture[i+1:]
	}
	f, ok := integerStyles[primary]
	f.ordinal, f.token = strings.HasPrefix(modifier, "o"), primary
	if ok {
		return &f, nil
	}
	digits := 0
	runes := []rune(primary)
	for i := len(runes) - 1; i >= 0; i-- {
		zero, isDigit := zeroOf(runes[i])
		switch {
		case isDigit:
			if f.zero != 0 && f.zero != zero {
				return nil, newError("D3131", -1)
			}
			f.zero = zero
			f.mandatory++
			digits++
		case runes[i] == '#':
			f.optional++
			digits++
		default:
			f.separators = append(f.separators, separatorAt{digits, string(runes[i])})
		}
	}
	if f.mandatory == 0 {
		f.style = styleSequence
		return &f, nil
	}
	var positions []int
	for _, s := range f.separators {
		if s.text != f.separators[0].text {
			return &f, nil
		}
		positions = append(positions, s.position)
	}
	f.regular = regularGroups(positions)
	return &f, nil
}

// zeroOf returns the zero of the digit family to which r belongs; false if r is not a digit.
func zeroOf(r rune) (rune, bool) {
	for _, z := range zeros {
		if r >= z && r <= z+9 {
			return z, true
		}
	}
	return 0, false
}

func integerPicture(v any) (*integerFormat, error) {
	text, err := picture(v)
	if err != nil {
		return nil, err
	}
	return parseIntegerPicture(text)
}

func formatIntegerFunc(c *Call, n float64, args []any) (any, error) {
	f, err := integerPicture(args[1])
	if err != nil {
		return nil, err
	}
	text, err := f.format(math.Floor(n))
	if err != nil {
		return nil, err
	}
	return text, c.chargeText(len(text))
}

// format writes an integer in the format.
func (f *integerFormat) format(n float64) (string, error) {
	if math.IsInf(n, 0) || math.IsNaN(n) {
		return exactText(n), nil
	}
	negative := n < 0
	n = math.Abs(n)
	var text string
	switch f.style {
	case styleLetters:
		text = f.cased(letters(n))
	case styleRoman:
		if n > maxRoman {
			return "", &LimitError{Limit: LimitMemory}
		}
		text = f.cased(roman(n))
	case styleWords:
		text = f.cased(words(n, f.ordinal))
	case styleSequence:
		return "", newError("D3130", -1).with("value", f.token)
	default:
		text = f.decimal(n)
	}
	if negative {
		text = "-" + text
	}
	return text, nil
}

func (f *integerFormat) cased(text string) string {
	switch f.letterCase {
	case lowerCase:
		return strings.ToLower(text)
	case upperCase:
		return strings.ToUpper(text)
	}
	return text
}

// decimal writes a number in digits, with separators and at least the mandatory number of digits.
func (f *integerFormat) decimal(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	digits = strings.Repeat("0", max(0, f.mandatory-len(digits))) + digits
	var b strings.Builder
	for i := range len(digits) {
		b.WriteString(f.separator(len(digits)-i, i == 0))
		b.WriteRune(rune(digits[i]-'0') + f.zero)
	}
	b.WriteString(f.separator(0, f.regular > 0))
	if f.ordinal {
		b.WriteString(ordinalSuffix(digits))
	}
	return b.String()
}

// separator returns the separator in front of the last digits, if any.
func (f *integerFormat) separator(digits int, none bool) (text string) {
	switch {
	case none:
		return ""
	case f.regular > 0 && digits%f.regular == 0:
		return f.separators[0].text
	case f.regular > 0:
		return ""
	}
	for _, s := range f.separators {
		if s.position == digits {
			text = s.text + text
		}
	}
	return text
}

// ordinalSuffix returns the ending of 1st, 2nd, 3rd, 4th, 11th.
func ordinalSuffix(digits string) string {
	last, tens := digits[len(digits)-1], byte('0')
	if len(digits) > 1 {
		tens = digits[len(digits)-2]
	}
	if tens == '1' || last == '0' || last > '3' {
		return "th"
	}
	return []string{"st", "nd", "rd"}[last-'1']
}

// maxRoman is the largest number that is written in Roman numerals: it has a million of them. maxDigits is the maximum number of
// digits in the picture of a date.
const (
	maxRoman  = 1e9
	maxDigits = 1000
)

// letters writes a number with letters: A, B, ... Z, AA, AB.
func letters(n float64) string {
	var out []byte
	for n > 0 {
		out = append(out, 'A'+byte(math.Mod(n-1, 26)))
		n = math.Floor((n - 1) / 26)
	}
	slices.Reverse(out)
	return string(out)
}

var romanNumerals = []struct {
	value float64
	text  string
}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"},
	{5, "V"}, {4, "IV"}, {1, "I"}}

func roman(n float64) string {
	var b strings.Builder
	for _, r := range romanNumerals {
		for n >= r.value {
			b.WriteString(r.text)
			n -= r.value
		}
	}
	return b.String()
}

var (
	fewWords = []string{"Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven",
		"Twelve", "Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen"}
	fewOrdinals = []string{"Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth",
		"Tenth", "Eleventh", "Twelfth", "Thirteenth", "Fourteenth", "Fifteenth", "Sixteenth", "Seventeenth", "Eighteenth",
		"Nineteenth"}
	tensWords  = []string{"Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"}
	magnitudes = []string{"Thousand", "Million", "Billion", "Trillion"}
)

func words(n float64, ordinal bool) string { return wordsAfter(n, false, ordinal) }

// wordsAfter returns a number in words. If joined, it starts with the separator from the words before it.
func wordsAfter(n float64, joined, ordinal bool) string {
	join := func(with string) string {
		if joined {
			return with
		}
		return ""
	}
	rest := func(text string, remainder float64) string {
		switch {
		case remainder > 0:
			return text + wordsAfter(remainder, true, ordinal)
		case ordinal:
			return text + "th"
		}
		return text
	}
	switch {
	case n < 20 && ordinal:
		return join(" and ") + fewOrdinals[int(n)]
	case n < 20:
		return join(" and ") + fewWords[int(n)]
	case n < 100:
		text := join(" and ") + tensWords[int(n/10)-2]
		if remainder := math.Mod(n, 10); remainder > 0 {
			return text + "-" + wordsAfter(remainder, false, ordinal)
		}
		if ordinal {
			return strings.TrimSuffix(text, "y") + "ieth"
		}
		return text
	case n < 1000:
		return rest(join(", ")+fewWords[int(n/100)]+" Hundred", math.Mod(n, 100))
	}
	magnitude := 0
	factor := 1000.0
	for magnitude+1 < len(magnitudes) && n >= factor*1000 {
		factor *= 1000
		magnitude++
	}
	count := math.Floor(n / factor)
	return rest(join(", ")+wordsAfter(count, false, false)+" "+magnitudes[magnitude], n-count*factor)
}

// wordValues are the values of number words, which are in lower case.
var wordValues = func() map[string]float64 {
	values := map[string]float64{"hundred": 100, "hundredth": 100}
	for i := range fewWords {
		values[strings.ToLower(fewWords[i])] = float64(i)
		values[strings.ToLower(fewOrdinals[i])] = float64(i)
	}
	for i, w := range tensWords {
		values[strings.ToLower(w)] = float64(i+2) * 10
		values[strings.ToLower(strings.TrimSuffix(w, "y"))+"ieth"] = float64(i+2) * 10
	}
	for i, w := range magnitudes {
		values[strings.ToLower(w)] = math.Pow(10, float64(i+1)*3)
		values[strings.ToLower(w)+"th"] = math.Pow(10, float64(i+1)*3)
	}
	return values
}()

// wordBreak matches the separators between the words of a number.
var wordBreak = regexp.MustCompile(`,\s|\sand\s|[\s\-]`)

// wordsToNumber parses a number in words. The result is NaN if a word is unknown.
func wordsToNumber(text string) float64 {
	sums := []float64{0}
	for _, word := range wordBreak.Split(text, -1) {
		v, ok := wordValues[word]
		if !ok {
			return math.NaN()
		}
		last := len(sums) - 1
		switch {
		case v >= 100:
			sums[last] *= v
		case sums[last] >= 1000:
			sums = append(sums, v)
		default:
			sums[last] += v
		}
	}
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return total
}

func lettersToNumber(text string) float64 {
	n := 0.0
	for _, r := range strings.ToUpper(text) {
		n = n*26 + float64(r-'A'+1)
	}
	return n
}

// romanToNumber parses a Roman numeral from right to left: a smaller numeral before a larger one is subtracted. The result is
// NaN for an invalid character.
func romanToNumber(text string) float64 {
	n, most := 0.0, 0.0
	text = strings.ToUpper(text)
	for i := len(text) - 1; i >= 0; i-- {
		at := slices.IndexFunc(romanNumerals, func(r struct {
			value float64
			text  string
		}) bool {
			return r.text == text[i:i+1]
		})
		switch {
		case at < 0:
			return math.NaN()
		case romanNumerals[at].value < most:
			n -= romanNumerals[at].value
		default:
			most = romanNumerals[at].value
			n += most
		}
	}
	return n
}

func parseIntegerFunc(c *Call, s string, args []any) (any, error) {
	f, err := integerPicture(args[1])
	if err != nil {
		return nil, err
	}
	mark := c.used
	if err := c.charge(64 * int64(len(s))); err != nil { // for the words of s, in the worst case
		return nil, err
	}
	c.used = mark
	return f.parse(s)
}

var leadingDigits = regexp.MustCompile(`^\s*[-+]?[0-9]+`)

// parse parses a number. The result is NaN if the string is not valid.
func (f *integerFormat) parse(s string) (any, error) {
	switch f.style {
	case styleLetters:
		return lettersToNumber(s), nil
	case styleRoman:
		return romanToNumber(s), nil
	case styleWords:
		return wordsToNumber(strings.ToLower(s)), nil
	case styleSequence:
		return nil, newError("D3130", -1).with("value", f.token)
	}
	if f.ordinal {
		s = s[:max(0, len(s)-2)]
	}
	if f.regular > 0 {
		s = strings.ReplaceAll(s, ",", "")
	} else {
		for _, separator := range f.separators {
			s = strings.ReplaceAll(s, separator.text, "")
		}
	}
	s = strings.Map(func(r rune) rune {
		if r >= f.zero && r <= f.zero+9 {
			return r - f.zero + '0'
		}
		return r
	}, s)
	digits := strings.TrimSpace(leadingDigits.FindString(s))
	if digits == "" {
		return math.NaN(), nil
	}
	n, _ := strconv.ParseFloat(digits, 64)
	return n, nil
}

// pattern returns a regular expression for the strings that parse accepts.
func (f *integerFormat) pattern() (string, error) {
	switch f.style {
	case styleLetters:
		return `[A-Za-z]+`, nil
	case styleRoman:
		return `[MDCLXVImdclxvi]+`, nil
	case styleWords:
		return wordsPattern, nil
	case styleSequence:
		return "", newError("D3130", -1).with("value", f.token)
	}
	text := `[0-9]+`
	if f.parseWidth > 0 {
		text = `[0-9]{` + strconv.Itoa(min(f.parseWidth, 999)) + `}`
	}
	if f.ordinal {
		text += `(?:th|st|nd|rd)`
	}
	return text, nil
}

// wordsPattern matches a number in words.
var wordsPattern = func() string {
	all := []string{"and", `[\-, ]`}
	for w := range wordValues {
		all = append(all, w)
	}
	slices.Sort(all)
	slices.Reverse(all) // a word precedes its own prefixes: sixteen, six
	return `(?:` + strings.Join(all, "|") + `)+`
}()

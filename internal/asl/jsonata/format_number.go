package jsonata

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// $formatNumber follows format-number of XPath 3.1: a picture such as "#,##0.00;(#,##0.00)" consists of a sub-picture for
// positive numbers and, optionally, one for negative numbers. Its characters, such as the grouping separator, can be replaced
// with options.

// decimalFormat holds the characters in the pictures and results of $formatNumber, as in XPath's format-number.
type decimalFormat struct {
	decimal, grouping, exponent, percent, perMille, zero, digit, separator rune
	minus, infinity, nan                                                   string
	percentText, perMilleText                                              string
}

// decimalFormatOf returns the format that the options of $formatNumber describe.
func decimalFormatOf(options *value.Object) decimalFormat {
	f := decimalFormat{decimal: '.', grouping: ',', exponent: 'e', percent: '%', perMille: '‰', zero: '0', digit: '#',
		separator: ';', minus: "-", infinity: "Infinity", nan: "NaN"}
	for name, field := range map[string]*rune{
		"decimal-separator": &f.decimal, "grouping-separator": &f.grouping, "exponent-separator": &f.exponent,
		"percent": &f.percent, "per-mille": &f.perMille, "zero-digit": &f.zero, "digit": &f.digit,
		"pattern-separator": &f.separator,
	} {
		v, _ := options.Get(name)
		if s, ok := v.(string); ok && s != "" {
			*field = []rune(s)[0]
			switch name {
			case "percent":
				f.percentText = s
			case "per-mille":
				f.perMilleText = s
			}
		}
	}
	for name, field := range map[string]*string{"minus-sign": &f.minus, "infinity": &f.infinity, "NaN": &f.nan} {
		v, _ := options.Get(name)
		*field = textOr(v, *field)
	}
	return f
}

// count counts percent or per-mille signs, which can have more than one character.
func (f *decimalFormat) count(picture string, sign rune, text string) int {
	if text == "" {
		text = string(sign)
	}
	return strings.Count(picture, text)
}

func (f *decimalFormat) isDigit(r rune) bool { return r >= f.zero && r <= f.zero+9 }

func (f *decimalFormat) active(r rune) bool {
	return f.isDigit(r) || r == f.decimal || r == f.exponent || r == f.grouping || r == f.digit || r == f.separator
}

// subPicture is an analyzed sub-picture: a picture has one or two. All sizes are numbers of digits.
type subPicture struct {
	text, prefix, suffix        string // prefix and suffix are written unchanged
	mantissa, exponent          []rune
	hasExponent                 bool
	whole, fraction             []rune // integer part and fraction of the mantissa
	wholeGroups, fractionGroups []int  // the positions of the separators, from the decimal separator
	regular                     int    // the size of groups that repeat, else 0
	minWhole                    int    // of the integer part
	scaling                     int    // of the integer part, if there is an exponent
	minFraction, maxFraction    int    // of the fraction
	minExponent                 int    // of the exponent
}

// subPicture splits a sub-picture into prefix, active part and suffix, and analyzes it.
func (f *decimalFormat) subPicture(text string) (*subPicture, error) {
	runes := []rune(text)
	starts := func(r rune) bool { return f.active(r) && r != f.exponent }
	from, to := max(0, slices.IndexFunc(runes, starts)), len(runes)
	if slices.ContainsFunc(runes, starts) {
		for !starts(runes[to-1]) {
			to--
		}
	}
	p := &subPicture{text: text, prefix: string(runes[:from]), suffix: string(runes[to:])}
	active := runes[from:to]
	p.mantissa = active
	if i := slices.Index(runes[from:min(to+1, len(runes))], f.exponent); i >= 0 { // one at the start of the suffix also counts
		p.mantissa, p.hasExponent = active[:i], true
		p.exponent = active[min(i+1, len(active)):]
	}
	p.whole = p.mantissa
	if i := slices.Index(p.mantissa, f.decimal); i >= 0 {
		p.whole, p.fraction = p.mantissa[:i], p.mantissa[i+1:]
	}
	if code := f.check(p, active); code != "" {
		return nil, newError(code, -1)
	}
	f.analyze(p)
	return p, nil
}

// check returns the code of an error in a sub-picture, "" if it is valid. Of several errors, the one with the highest code
// counts, as in the reference implementation.
func (f *decimalFormat) check(p *subPicture, active []rune) string {
	percents, perMilles := f.count(p.text, f.percent, f.percentText), f.count(p.text, f.perMille, f.perMilleText)
	grouping, decimal := string(f.grouping), string(f.decimal)
	anyDigit := func(r rune) bool { return f.isDigit(r) || r == f.digit }
	noDigit := func(r rune) bool { return !f.isDigit(r) }
	whole, fraction := slices.Index(p.whole, f.digit), slices.Index(p.fraction, f.digit)
	switch {
	case p.hasExponent && (len(p.exponent) == 0 || slices.ContainsFunc(p.exponent, noDigit)):
		return "D3093"
	case p.hasExponent && percents+perMilles > 0:
		return "D3092"
	case fraction >= 0 && slices.ContainsFunc(p.fraction[fraction:], f.isDigit):
		return "D3091"
	case whole >= 0 && slices.ContainsFunc(p.whole[:whole], f.isDigit):
		return "D3090"
	case strings.Contains(p.text, grouping+grouping):
		return "D3089"
	case !strings.Contains(p.text, decimal) && strings.HasSuffix(string(p.whole), grouping):
		return "D3088"
	case strings.Contains(p.text, grouping+decimal) || strings.Contains(p.text, decimal+grouping):
		return "D3087"
	case slices.ContainsFunc(active, func(r rune) bool { return !f.active(r) }):
		return "D3086"
	case !slices.ContainsFunc(p.mantissa, anyDigit):
		return "D3085"
	case percents > 0 && perMilles > 0:
		return "D3084"
	case perMilles > 1:
		return "D3083"
	case percents > 1:
		return "D3082"
	case strings.Count(p.text, decimal) > 1:
		return "D3081"
	}
	return ""
}

// digits counts the mandatory digits of a part, and all its digits.
func (f *decimalFormat) digits(part []rune) (mandatory, all int) {
	for _, r := range part {
		if f.isDigit(r) {
			mandatory++
			all++
		} else if r == f.digit {
			all++
		}
	}
	return mandatory, all
}

// analyze counts digits and finds groups.
func (f *decimalFormat) analyze(p *subPicture) {
	for i, r := range p.whole {
		if r == f.grouping {
			_, n := f.digits(p.whole[i:])
			p.wholeGroups = append(p.wholeGroups, n)
		}
	}
	for i, r := range p.fraction {
		if r == f.grouping {
			_, n := f.digits(p.fraction[:i])
			p.fractionGroups = append(p.fractionGroups, n)
		}
	}
	p.regular = regularGroups(p.wholeGroups)
	p.minWhole, _ = f.digits(p.whole)
	p.scaling = p.minWhole
	p.minFraction, p.maxFraction = f.digits(p.fraction)
	if p.minWhole == 0 && p.maxFraction == 0 {
		if p.hasExponent {
			p.minFraction, p.maxFraction = 1, 1
		} else {
			p.minWhole = 1
		}
	}
	if p.hasExponent && p.minWhole == 0 && slices.Contains(p.whole, f.digit) {
		p.minWhole = 1
	}
	if p.minWhole == 0 && p.minFraction == 0 {
		p.minFraction = 1
	}
	p.minExponent = len(p.exponent)
}

// regularGroups returns the distance at which separators repeat, 0 if they do not.
func regularGroups(positions []int) int {
	factor := 0
	for _, p := range positions {
		for a, b := factor, p; ; a, b = b, a%b {
			if b == 0 {
				factor = a
				break
			}
		}
	}
	for i := range positions {
		if !slices.Contains(positions, (i+1)*factor) {
			return 0
		}
	}
	return factor
}

// formatNumberFunc implements $formatNumber. If the picture has two sub-pictures, the second one is for negative numbers.
func formatNumberFunc(_ *Call, n float64, args []any) (any, error) {
	options, _ := args[2].(*value.Object)
	f := decimalFormatOf(options)
	text, err := picture(args[1])
	if err != nil {
		return nil, err
	}
	parts := strings.Split(text, string(f.separator))
	if len(parts) > 2 {
		return nil, newError("D3080", -1)
	}
	pictures := make([]*subPicture, len(parts))
	for i, part := range parts {
		if pictures[i], err = f.subPicture(part); err != nil {
			return nil, err
		}
	}
	p := pictures[0]
	if n < 0 || math.Signbit(n) && n != 0 {
		if len(pictures) == 2 {
			p = pictures[1]
		} else {
			negative := *p
			negative.prefix = f.minus + p.prefix
			p = &negative
		}
	}
	return p.prefix + f.format(p, n) + p.suffix, nil
}

// format writes a number without its sign.
func (f *decimalFormat) format(p *subPicture, n float64) string {
	n = math.Abs(n)
	switch {
	case math.IsNaN(n):
		return f.nan
	case math.IsInf(n, 0):
		return f.infinity
	case f.count(p.text, f.percent, f.percentText) > 0:
		n *= 100
	case f.count(p.text, f.perMille, f.perMilleText) > 0:
		n *= 1000
	}
	exponent := 0
	if p.hasExponent && n != 0 {
		highest, lowest := math.Pow(10, float64(p.scaling)), math.Pow(10, float64(p.scaling-1))
		for ; n < lowest; exponent-- {
			n *= 10
		}
		for ; n > highest; exponent++ {
			n /= 10
		}
	}
	n = shift(math.RoundToEven(shift(n, p.maxFraction)), -p.maxFraction)
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(n, 'f', p.maxFraction, 64), ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	whole = strings.Repeat("0", max(0, p.minWhole-len(whole))) + whole
	fraction += strings.Repeat("0", max(0, p.minFraction-len(fraction)))
	text := f.family(p.group(whole, string(f.grouping)))
	if fraction != "" {
		text += string(f.decimal) + f.family(p.groupFraction(fraction, string(f.grouping)))
	}
	if p.hasExponent {
		digits := strconv.Itoa(max(exponent, -exponent))
		digits = strings.Repeat("0", max(0, p.minExponent-len(digits))) + digits
		text += string(f.exponent)
		if exponent < 0 {
			text += f.minus
		}
		text += f.family(digits)
	}
	return text
}

// family replaces digits by those of the format's digit family.
func (f *decimalFormat) family(s string) string {
	if f.zero == '0' {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + f.zero
		}
		return r
	}, s)
}

// group inserts separators into the digits of the integer part.
func (p *subPicture) group(digits, separator string) string {
	positions := p.wholeGroups
	if p.regular > 0 {
		positions = nil
		for at := p.regular; at < len(digits); at += p.regular {
			positions = append(positions, at)
		}
	}
	return insertFromRight(digits, positions, separator)
}

// insertFromRight inserts separators at positions that count from the end.
func insertFromRight(digits string, positions []int, separator string) string {
	var b strings.Builder
	for i := range len(digits) {
		if left := len(digits) - i; i > 0 && slices.Contains(positions, left) {
			b.WriteString(separator)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

func (p *subPicture) groupFraction(digits, separator string) string {
	var b strings.Builder
	for i := range len(digits) {
		if i > 0 && slices.Contains(p.fractionGroups, i) {
			b.WriteString(separator)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

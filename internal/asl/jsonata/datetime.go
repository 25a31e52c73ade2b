package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// datePicture is a parsed picture of $fromMillis and $toMillis: literal strings, and markers such as [Y0001].
type datePicture struct{ parts []datePart }

// datePart is a literal or a component of a picture, such as Y for the year.
type datePart struct {
	literal   string
	component byte // 0 for a literal
	names     nameStyle
	integer   *integerFormat
	years     int  // number of digits of a year to write, 0 for all
	maxWidth  int  // of a name, 0 for no limit
	zulu      bool // UTC is shown as Z
}

// nameStyle is the letter case of a component that is shown as a name.
type nameStyle int

const (
	noName nameStyle = iota
	lowerName
	upperName
	titleName
)

// defaultPresentation is the presentation of each component whose marker does not specify one.
var defaultPresentation = map[byte]string{'Y': "1", 'M': "1", 'D': "1", 'd': "1", 'F': "n", 'W': "1", 'w': "1", 'X': "1",
	'x': "1", 'H': "1", 'h': "1", 'P': "n", 'm': "01", 's': "01", 'f': "1", 'Z': "01:01", 'z': "01:01", 'C': "n", 'E': "n"}

// numeric are the components that can be shown as numbers.
const numeric = "YMDdFWwXxHhmsf"

// parseDatePicture parses a picture: markers are in brackets, and [[ and ]] are literal brackets.
func parseDatePicture(picture string) (*datePicture, error) {
	p := &datePicture{}
	for rest := picture; rest != ""; {
		open := strings.IndexByte(rest, '[')
		if open < 0 {
			p.literal(rest)
			break
		}
		p.literal(rest[:open])
		if strings.HasPrefix(rest[open:], "[[") {
			p.parts = append(p.parts, datePart{literal: "["})
			rest = rest[open+2:]
			continue
		}
		end := strings.IndexByte(rest[open:], ']')
		if end < 0 {
			return nil, newError("D3135", -1)
		}
		if err := p.marker(strings.Join(strings.Fields(rest[open+1:open+end]), "")); err != nil {
			return nil, err
		}
		rest = rest[open+end+1:]
	}
	return p, nil
}

func (p *datePicture) literal(text string) {
	if text != "" {
		p.parts = append(p.parts, datePart{literal: strings.ReplaceAll(text, "]]", "]")})
	}
}

// marker parses the content of brackets: a component, its presentation and its width.
func (p *datePicture) marker(text string) error {
	part := datePart{}
	if text != "" {
		part.component = text[0]
		text = text[1:]
	}
	minWidth := 0
	if i := strings.LastIndexByte(text, ','); i >= 0 {
		least, most, _ := strings.Cut(text[i+1:], "-")
		minWidth, _ = strconv.Atoi(least)
		part.maxWidth, _ = strconv.Atoi(most)
		text = text[:i]
	}
	ordinal := ""
	switch last := len(text) - 1; {
	case text == "":
		text = defaultPresentation[part.component]
	case last > 0 && strings.IndexByte("atco", text[last]) >= 0:
		part.zulu = text[last] == 't'
		ordinal = ";" + text[last:]
		text = text[:last]
	}
	switch {
	case text == "" || defaultPresentation[part.component] == "":
		return newError("D3132", -1).with("value", string(rune(part.component)))
	case text[0] == 'n':
		part.names = lowerName
	case strings.HasPrefix(text, "Nn"):
		part.names = titleName
	case text[0] == 'N':
		part.names = upperName
	default:
		if err := p.integer(&part, text, ordinal, minWidth); err != nil {
			return err
		}
	}
	p.parts = append(p.parts, part)
	return nil
}

// integer parses the presentation of a component that is a number.
func (p *datePicture) integer(part *datePart, text, ordinal string, minWidth int) (err error) {
	if part.component == 'Z' || part.component == 'z' {
		part.integer, err = parseIntegerPicture(text)
		return err
	}
	if strings.IndexByte(numeric, part.component) < 0 {
		return nil
	}
	if part.integer, err = parseIntegerPicture(text + ordinal); err != nil {
		return err
	}
	part.integer.mandatory = max(part.integer.mandatory, min(minWidth, maxDigits))
	if part.component == 'Y' {
		if part.maxWidth > 0 {
			part.years = part.maxWidth
			part.integer.mandatory = min(part.maxWidth, maxDigits)
		} else if n := part.integer.mandatory + part.integer.optional; n >= 2 {
			part.years = n
		}
	}
	if n := len(p.parts); n > 0 && p.parts[n-1].integer != nil { // without a separator, only the width of a number shows where it ends
		p.parts[n-1].integer.parseWidth = p.parts[n-1].integer.mandatory
	}
	return nil
}

// isoPicture is the default format of $fromMillis and $now.
var isoPicture = func() *datePicture {
	p, err := parseDatePicture("[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]")
	if err != nil {
		panic(err)
	}
	return p
}()

// maxMillis is the largest distance of a JavaScript date from 1970, in milliseconds.
const maxMillis = 8.64e15

// fromMillisFunc implements $fromMillis: it formats a time with a picture, in a time zone such as "+0100".
func fromMillisFunc(c *Call, millis float64, args []any) (any, error) {
	p := isoPicture
	if !IsUndefined(args[1]) {
		text, err := picture(args[1])
		if err != nil {
			return nil, err
		}
		if p, err = parseDatePicture(text); err != nil {
			return nil, err
		}
	}
	hours, minutes := 0, 0
	if zone, ok := args[2].(string); ok {
		offset, _ := strconv.Atoi(leadingDigits.FindString(zone))
		offset = max(-9999, min(9999, offset))
		hours, minutes = int(math.Floor(float64(offset)/100)), offset%100
	}
	if !(math.Abs(millis) <= maxMillis) {
		return nil, newError("D1001", -1).with("value", millis)
	}
	t := time.UnixMilli(int64(millis)).UTC().Add(time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute)
	var b strings.Builder
	for i := range p.parts {
		text := p.parts[i].literal
		if p.parts[i].component != 0 {
			var err error
			if text, err = p.parts[i].format(t, hours, minutes); err != nil {
				return nil, err
			}
		}
		b.WriteString(text)
	}
	return b.String(), c.chargeText(b.Len())
}

// format writes one component of a time.
func (part *datePart) format(t time.Time, hours, minutes int) (string, error) {
	switch part.component {
	case 'Z', 'z':
		return part.zone(hours, minutes)
	case 'P':
		return part.cased(t.Format("pm")), nil
	case 'C', 'E':
		return "ISO", nil
	}
	v := fragment(t, part.component)
	if part.names != noName {
		return part.name(v)
	}
	if part.component == 'Y' && part.years > 0 {
		v %= int(math.Pow(10, float64(min(part.years, 9))))
	}
	return part.integer.format(float64(v))
}

// name returns the name of a month or of a day of the week.
func (part *datePart) name(v int) (string, error) {
	var name string
	switch part.component {
	case 'M', 'x':
		name = time.Month(v).String()
	case 'F':
		name = time.Weekday(v % 7).String()
	default:
		return "", newError("D3133", -1).with("value", string(rune(part.component)))
	}
	name = part.cased(name)
	if part.maxWidth > 0 && len(name) > part.maxWidth {
		name = name[:part.maxWidth]
	}
	return name, nil
}

func (part *datePart) cased(name string) string {
	switch part.names {
	case lowerName:
		return strings.ToLower(name)
	case upperName:
		return strings.ToUpper(name)
	}
	return name
}

// zone writes an offset from UTC.
func (part *datePart) zone(hours, minutes int) (string, error) {
	offset := hours*100 + minutes
	if part.zulu && offset == 0 {
		return "Z", nil
	}
	f := part.integer
	if f == nil {
		f, _ = parseIntegerPicture("01:01")
	}
	var text string
	var err error
	switch {
	case f.regular > 0 || f.mandatory == 3 || f.mandatory == 4:
		text, err = f.format(float64(offset))
	case f.mandatory <= 2:
		text, err = f.format(float64(hours))
		if minutes != 0 {
			text += ":" + strconv.Itoa(minutes/10) + strconv.Itoa(minutes%10)
		}
	default:
		return "", newError("D3134", -1).with("value", float64(f.mandatory))
	}
	if offset >= 0 {
		text = "+" + text
	}
	if part.component == 'z' {
		text = "GMT" + text
	}
	return text, err
}

// fragment returns a component of a time as a number.
func fragment(t time.Time, component byte) int {
	switch component {
	case 'Y':
		return t.Year()
	case 'M':
		return int(t.Month())
	case 'D':
		return t.Day()
	case 'd':
		return t.YearDay()
	case 'F':
		return (int(t.Weekday())+6)%7 + 1 // Monday is 1
	case 'H':
		return t.Hour()
	case 'h':
		return (t.Hour()+11)%12 + 1
	case 'm':
		return t.Minute()
	case 's':
		return t.Second()
	case 'f':
		return t.Nanosecond() / 1e6
	}
	return weekFragment(t, component)
}

// weekFragment is fragment for weeks. A week begins on Monday, and belongs to the year and the month of its Thursday.
func weekFragment(t time.Time, component byte) int {
	thursday := t.AddDate(0, 0, 4-fragment(t, 'F'))
	switch component {
	case 'W':
		_, week := t.ISOWeek()
		return week
	case 'X':
		year, _ := t.ISOWeek()
		return year
	case 'x':
		return int(thursday.Month())
	case 'w':
		return (thursday.Day()-1)/7 + 1
	}
	return 0
}

// isoText matches what $toMillis accepts without a picture. A text can match without being a valid date: the result is NaN.
var isoText = regexp.MustCompile(`^\d{4}(-[01]\d)*(-[0-3]\d)*(T[0-2]\d:[0-5]\d:[0-5]\d)*(\.\d+)?([+-][0-2]\d:?[0-5]\d|Z)?$`)

// isoLayouts are the formats of ISO 8601 that $toMillis accepts. A time without a zone is in UTC.
var isoLayouts = []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999", "2006-01-02", "2006-01", "2006", "2006-01-02Z07:00"}

// toMillisFunc implements $toMillis: it parses a time in ISO 8601, or in the format of a picture.
func toMillisFunc(c *Call, s string, args []any) (any, error) {
	if !IsUndefined(args[1]) {
		text, err := picture(args[1])
		if err != nil {
			return nil, err
		}
		return c.parseTime(s, text)
	}
	if !isoText.MatchString(s) {
		return nil, newError("D3110", -1).with("value", s)
	}
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.UnixMilli()), nil
		}
	}
	return math.NaN(), nil
}

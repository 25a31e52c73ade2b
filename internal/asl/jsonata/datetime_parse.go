package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Maximum lengths for parsing a time, in bytes. A picture becomes a Go regular expression, in which each marker for a number in words
// contains all number words.
const (
	maxTimePicture = 256
	maxTimeText    = 4096
)

// parseTime parses a time in the format of a picture. The result is Undefined if the string has another format.
func (c *Call) parseTime(s, picture string) (any, error) {
	if len(s) > maxTimeText || len(picture) > maxTimePicture {
		return nil, &LimitError{Limit: LimitMemory}
	}
	p, err := parseDatePicture(picture)
	if err != nil {
		return nil, err
	}
	re, err := p.regexp()
	if err != nil {
		return nil, err
	}
	found := re.FindStringSubmatch(s)
	if found == nil {
		return Undefined, nil
	}
	components := map[byte]float64{}
	named := false
	for i := range p.parts {
		part := &p.parts[i]
		if part.component == 0 {
			continue
		}
		v, err := part.parse(found[i+1])
		if err != nil {
			return nil, err
		}
		named = true
		if !math.IsNaN(v) { // an invalid component counts as missing
			components[part.component] = v
		} else {
			delete(components, part.component)
		}
	}
	if !named {
		return Undefined, nil
	}
	return timeOf(components, c.evaluator.env.Now)
}

// regexp returns a regular expression that has a group for each part of the picture.
func (p *datePicture) regexp() (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("(?i)^")
	for i := range p.parts {
		text, err := p.parts[i].pattern()
		if err != nil {
			return nil, err
		}
		b.WriteString("(" + text + ")")
	}
	re, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return nil, newError("D3136", -1)
	}
	return re, nil
}

// pattern returns a regular expression for the part.
func (part *datePart) pattern() (string, error) {
	switch {
	case part.component == 0:
		return regexp.QuoteMeta(part.literal), nil
	case part.component == 'Z' || part.component == 'z':
		text := `[-+][0-9]+`
		if part.component == 'z' {
			text = "GMT" + text
		}
		if s := part.zoneSeparator(); s != "" {
			text += regexp.QuoteMeta(s) + `[0-9]+`
		}
		return text, nil
	case part.integer != nil:
		return part.integer.pattern()
	case strings.IndexByte("MxFP", part.component) < 0:
		return "", newError("D3133", -1).with("value", string(rune(part.component)))
	}
	return `[a-zA-Z]+`, nil
}

// zoneSeparator returns the separator between the hours and the minutes of an offset, if any.
func (part *datePart) zoneSeparator() string {
	if part.integer != nil && part.integer.regular > 0 {
		return part.integer.separators[0].text
	}
	return ""
}

// parse parses a component. The result is NaN if the string is invalid.
func (part *datePart) parse(s string) (float64, error) {
	switch {
	case part.component == 'Z' || part.component == 'z':
		return part.parseZone(strings.TrimPrefix(strings.ToUpper(s), "GMT")), nil
	case part.integer != nil:
		v, err := part.integer.parse(s)
		return numberOr(v, math.NaN()), err
	case part.component == 'P':
		if s == "pm" || s == "PM" {
			return 1, nil
		}
		return 0, nil
	}
	return part.parseName(s), nil
}

// parseName returns the number of a month or of a day of the week; NaN for an unknown name.
func (part *datePart) parseName(s string) float64 {
	n, name := 12, func(i int) string { return time.Month(i).String() }
	if part.component == 'F' {
		n, name = 7, func(i int) string { return time.Weekday(i % 7).String() }
	}
	for i := 1; i <= n; i++ {
		full := name(i)
		if part.maxWidth > 0 && len(full) > part.maxWidth {
			full = full[:part.maxWidth]
		}
		if full == s {
			return float64(i)
		}
	}
	return math.NaN()
}

// parseZone parses an offset from UTC. The result is in minutes.
func (part *datePart) parseZone(s string) float64 {
	hours, minutes := s, ""
	if separator := part.zoneSeparator(); separator != "" {
		hours, minutes, _ = strings.Cut(s, separator)
	} else if len(s) > 3 {
		hours, minutes = s[:3], s[3:]
	}
	h, _ := strconv.ParseFloat(hours, 64)
	m, _ := strconv.ParseFloat(minutes, 64)
	return h*60 + m
}

// only reports whether at least one component in order is present, and some contains every one that is.
func only(components map[byte]float64, order, some string) bool {
	found := false
	for i := range len(order) {
		if components[order[i]] == 0 { // a zero counts as missing
			continue
		}
		if strings.IndexByte(some, order[i]) < 0 {
			return false
		}
		found = true
	}
	return found
}

// timeOf computes a time from its components. Missing components before the first one that is present are those of the
// current time; missing components after the last one have their smallest value. No component between the two may be missing.
func timeOf(components map[byte]float64, now time.Time) (any, error) {
	const dates, times = "YXMxWwdD", "PHhmsf"
	dayOfYear := !only(components, dates, "YMD") && only(components, dates, "Yd")
	weeks := only(components, dates, "Xxw") || only(components, dates, "XW")
	twelve := !only(components, times, "Hmsf") && only(components, times, "Phmsf")
	order := "YMD"
	switch {
	case dayOfYear:
		order = "YD"
	case only(components, dates, "Xxw"):
		order = "XxwF"
	case weeks:
		order = "XWF"
	}
	if twelve {
		order += "Phmsf"
	} else {
		order += "Hmsf"
	}
	started, ended := false, false
	for i := range len(order) {
		c := order[i]
		_, ok := components[c]
		switch {
		case ok && ended:
			return nil, newError("D3136", -1)
		case ok:
			started = true
		case started:
			ended = true
			components[c] = 0
			if strings.IndexByte("MDd", c) >= 0 {
				components[c] = 1
			}
		case c == 'P':
			components[c] = float64(now.UTC().Hour() / 12)
		default:
			components[c] = float64(fragment(now.UTC(), c))
		}
	}
	if weeks {
		return nil, newError("D3136", -1)
	}
	return millisOf(components, dayOfYear, twelve), nil
}

// millisOf computes a time in milliseconds. A component may exceed its range: April 31 is May 1.
func millisOf(components map[byte]float64, dayOfYear, twelve bool) any {
	for _, v := range components {
		if math.Abs(v) > 1e9 {
			return math.NaN()
		}
	}
	at := func(c byte) int { return int(components[c]) }
	month, day := max(1, at('M')), at('D')
	if dayOfYear {
		month, day = 1, at('d')
	}
	hour := at('H')
	if twelve {
		hour = at('h')%12 + 12*at('P')
	}
	t := time.Date(at('Y'), time.Month(month), day, hour, at('m'), at('s'), 0, time.UTC)
	millis := float64(t.UnixMilli()) + components['f'] - (components['Z']+components['z'])*60_000
	if math.Abs(millis) > maxMillis {
		return math.NaN()
	}
	return millis
}

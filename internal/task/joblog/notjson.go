package joblog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// notJSON returns the error for an output that is not JSON. A common reason is that Python's json module writes NaN and Infinity, which
// JSON does not have. In that case, the error names the keys of these values.
func notJSON(text string) error {
	const why = "the job's output (in the file $RAYORCH_OUTPUT) is not valid JSON: "
	if found := notFinite(text); len(found) > 0 {
		return errors.New(why + strings.Join(found, ", "))
	}
	const shown = 100
	if text = strings.TrimSpace(text); len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "..."
	}
	return fmt.Errorf("%sit is %q", why, text)
}

// constants are the numbers that Python's json module writes and JSON does not have.
var constants = []string{"NaN", "Infinity", "-Infinity"}

// maxFound is the maximum number of values that a message names.
const maxFound = 5

// notFinite returns "PATH is CONSTANT" for each of the constants in text. It returns nil if text has any other error.
func notFinite(text string) []string {
	var found []string
	for len(found) < maxFound && !json.Valid([]byte(text)) {
		path, at := firstError(text)
		rest, name := text[at:], ""
		for _, c := range constants {
			if strings.HasPrefix(rest, c) {
				name = c
			}
		}
		if name == "" {
			return nil
		}
		found = append(found, path+" is "+name)
		text = text[:at] + "null" + rest[len(name):]
	}
	return found
}

// firstError returns where text stops being valid JSON: the path of the value, and the offset in bytes.
func firstError(text string) (path string, at int) {
	d := json.NewDecoder(strings.NewReader(text))
	var around []container
	for {
		t, err := d.Token()
		if err != nil {
			rest := strings.TrimLeft(text[d.InputOffset():], " \t\r\n:,")
			return where(around), len(text) - len(rest)
		}
		around = enter(around, t)
	}
}

// container is an object or a list that is being read.
type container struct {
	list  bool
	key   string // key of the current value, in an object
	keyed bool   // whether the key was read but its value was not
	index int    // index of the current value, in a list
}

// enter returns the containers around the value that follows the token t. around are the containers of t.
func enter(around []container, t json.Token) []container {
	switch t {
	case json.Delim('{'), json.Delim('['):
		return append(around, container{list: t == json.Delim('[')})
	case json.Delim('}'), json.Delim(']'):
		around = around[:len(around)-1]
	}
	if len(around) == 0 {
		return around
	}
	in := &around[len(around)-1]
	key, isText := t.(string)
	switch {
	case in.list:
		in.index++
	case in.keyed:
		in.keyed = false
	case isText:
		in.key, in.keyed = key, true
	}
	return around
}

// where returns the path of the current value, such as m.x[2], from the containers around it.
func where(around []container) string {
	path := ""
	for i, in := range around {
		switch {
		case in.list:
			path += fmt.Sprintf("[%d]", in.index)
		case i == 0:
			path = in.key
		default:
			path += "." + in.key
		}
	}
	if path == "" {
		return "it"
	}
	return path
}

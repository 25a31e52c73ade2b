package joblog

import (
	"encoding/json"
	"fmt"
	"strings"
)

// notJSON is the error about an output that is not JSON. Python's json writes NaN and Infinity, which JSON does not have: the error
// names their keys.
func notJSON(text string) error {
	const why = "the job's output, which it wrote to the file that RAYORCH_OUTPUT names, is not JSON: "
	if found := notFinite(text); len(found) > 0 {
		return fmt.Errorf("%sJSON has no NaN and no Infinity, but %s", why, strings.Join(found, ", "))
	}
	const shown = 100
	if text = strings.TrimSpace(text); len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "..."
	}
	return fmt.Errorf("%sit is %q", why, text)
}

// constants are the floats that Python's json writes and JSON does not have.
var constants = []string{"NaN", "Infinity", "-Infinity"}

// maxFound bounds how many values a message names.
const maxFound = 5

// notFinite returns the paths of the constants in an otherwise valid text, each with its constant.
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

// firstError is where a text stops being JSON: the path of the value, and the offset in bytes.
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

// container is an object or a list that is being read, with the key or the index of its current value.
type container struct {
	list  bool
	key   string
	keyed bool // the key was read, its value was not
	index int
}

// enter returns the containers around the value after a token.
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

// where is the path of a value, from the containers around it.
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

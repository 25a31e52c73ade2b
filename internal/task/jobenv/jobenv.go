// Package jobenv fits what a task gives to a job into environment variables: it adds the parameters, and takes out what is too
// long for one variable, which the runners (raytask, proctask) then pass by files.
package jobenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// MaxVariable is how many bytes Linux takes as one variable, NAME=VALUE and the byte at its end (MAX_ARG_STRLEN). It is also the
// limit of one argument.
const MaxVariable = 128 << 10

// FileSuffix ends the name of the variable that names the file with the value of a variable which is too long.
const FileSuffix = "_FILE"

// AddParams sets RAYORCH_PARAMS and RAYORCH_PARAM_NAME from an object of parameters, which a definition gives where their texts
// would not fit into a task's input beside it. params may be empty or null.
func AddParams(env map[string]string, params []byte) error {
	if len(params) == 0 || string(params) == "null" {
		return nil
	}
	o, err := value.ParseObject(params)
	if err != nil {
		return fmt.Errorf("the argument Params: %w", err)
	}
	for i := range o.Len() {
		name, v := o.At(i)
		text, ok := v.(string)
		if !ok {
			text = value.Text(plainNumbers(v))
		}
		env["RAYORCH_PARAM_"+strings.ToUpper(name)] = text
	}
	env["RAYORCH_PARAMS"] = value.Text(plainNumbers(o))
	return nil
}

// plainNumbers writes numbers as the definition's own $string does.
func plainNumbers(v any) any {
	if n, ok := v.(value.Number); ok && strings.ContainsAny(string(n), ".eE") {
		return value.Float(n.Float64())
	}
	return value.Map(v, plainNumbers)
}

// TakeLong takes out of env the variables of rayorch's own that are too long. Of others it is an error: nobody would read the
// file.
func TakeLong(env map[string]string) (long map[string]string, err error) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		size := len(name) + len("=") + len(env[name]) + 1
		if size <= MaxVariable {
			continue
		}
		if !strings.HasPrefix(name, "RAYORCH_") {
			return nil, fmt.Errorf("the environment variable %s has %d bytes with its name, more than the %d that Linux takes: "+
				"write the value to a file on the storage, and pass its path", name, size, MaxVariable)
		}
		if long == nil {
			long = map[string]string{}
		}
		long[name] = env[name]
		delete(env, name)
	}
	return long, nil
}

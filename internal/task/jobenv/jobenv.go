// Package jobenv prepares the environment variables of a job: it adds the parameters, reads the secrets, and removes values that are
// too long for a variable. The runners (raytask, proctask) pass those in files.
package jobenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// MaxVariable is the maximum size of an environment variable on Linux (MAX_ARG_STRLEN), in bytes: NAME=VALUE and the terminating zero
// byte. Command-line arguments have the same limit.
const MaxVariable = 128 << 10

// FileSuffix is the suffix of the variable that replaces a variable whose value is too long. Its value is the path of a file that
// contains the long value.
const FileSuffix = "_FILE"

// AddParams sets RAYORCH_PARAMS and a variable RAYORCH_PARAM_<NAME> for each parameter in params, a JSON object. A definition passes
// large parameters as this object, because the task's input could not hold both the object and the texts of the variables. params may
// be empty or null.
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

// plainNumbers returns v with its numbers written as JSONata's $string writes them: the definition sets the same variables with $string
// if the parameters are small, so that a parameter has the same text in both cases.
func plainNumbers(v any) any {
	if n, ok := v.(value.Number); ok && strings.ContainsAny(string(n), ".eE") {
		return value.Float(n.Float64())
	}
	return value.Map(v, plainNumbers)
}

// RemoveLong removes rayorch's own variables (RAYORCH_*) that are longer than MaxVariable from env, and returns them. Any other variable
// that is too long is an error: the job does not know that it would have to read a file.
func RemoveLong(env map[string]string) (long map[string]string, err error) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		size := len(name) + len("=") + len(env[name]) + 1
		if size <= MaxVariable {
			continue
		}
		if !strings.HasPrefix(name, "RAYORCH_") {
			return nil, fmt.Errorf("the environment variable %s has %d bytes including its name, but Linux allows at most %d: "+
				"write the value to a file on the storage and pass its path", name, size, MaxVariable)
		}
		if long == nil {
			long = map[string]string{}
		}
		long[name] = env[name]
		delete(env, name)
	}
	return long, nil
}

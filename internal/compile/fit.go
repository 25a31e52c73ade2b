package compile

import "fmt"

const (
	// textParams is how many characters of parameters, as JSON, a definition gives to its jobs as text: their text is there twice, and
	// escaped.
	textParams = 20_000
	// maxRuntimeEnv is how many bytes of environment variables, as JSON, Ray can pass to a process: one argument has 128 KiB. More,
	// and the job would stay pending.
	maxRuntimeEnv = 118_000
)

// longParams is the expression of parameters that the environment lacks, because they have more than textParams characters. The task
// that starts the job turns them into variables and files.
const longParams = "$exists($env.RAYORCH_PARAMS) ? null : $params"

// paramsOnce reports whether the task that starts the jobs can take the parameters as an object.
func (c *compiler) paramsOnce() bool {
	return len(c.p.Params.Entries) > 0 && (c.at == nil || c.ray && c.at.mode == modeJob)
}

// maxParams is how many characters parameters may have together, as JSON, in a cluster. Plain jobs have their text twice in a Job,
// for which Step Functions has 262,144 bytes; submit.py is given them once; else one variable of Ray's holds all.
func (c *compiler) maxParams() int {
	switch {
	case c.ray && c.at.mode != modeJob:
		return 58_000
	case c.job:
		return 120_000
	}
	return 230_000
}

// paramsTooLong is the expression of what is wrong with parameters that no job of a cluster could be given, or of nothing.
func (c *compiler) paramsTooLong() string {
	return fmt.Sprintf("$length($string($in)) > %d ? ($b := %s; $b.name & ' has ' & $b.size & ' characters: the parameters have ' & "+
		"$length($string($in)) & ' together as JSON, more than the %[1]d that the environment of a job has room for; put the value into a file and pass its path')",
		c.maxParams(), largest("$in"))
}

// largest is the expression of the name and size of the longest value of an object.
func largest(object string) string {
	return "$sort([$each(" + object + ", function($v, $k) { {'name': $k, 'size': $length($string($v))} })], " +
		"function($l, $r) { $l.size < $r.size })[0]"
}

// fitting is the expression of environment variables that Ray can pass on: it fails where they are too large, for the job would
// not. Ray writes them in ASCII.
func fitting(vars string) string {
	return fmt.Sprintf("($vars := %s; $text := $string($vars); $size := $length($text) + 5 * $length($replace($text, /[ -~]+/, '')); "+
		"$size > %d ? ($b := %s; $error('the environment of the job has ' & $size & ' bytes as JSON, more than the %[2]d that Ray can pass to a process; "+
		"the largest is ' & ($b.name = 'RAYORCH_COMMAND' ? 'the entrypoint' : $b.name) & ' with ' & $b.size & ' characters: put its value into a file on the storage')) : $vars)",
		vars, maxRuntimeEnv, largest("$vars"))
}

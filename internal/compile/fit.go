package compile

import "fmt"

const (
	// maxClusterParams is how many characters parameters may have together, as JSON, where the definition gives them to pods as text,
	// one by one and all together: with a Ray job they stand in one variable, with plain ones in a Job, beside which Step Functions
	// has little room.
	maxClusterParams    = 120_000
	maxClusterRayParams = 58_000
	// maxRuntimeEnv is how many bytes of environment variables, as JSON, Ray can pass to a process: one argument has 128 KiB. More,
	// and the job would stay pending.
	maxRuntimeEnv = 118_000
)

// paramsTooLong is the expression of what is wrong with parameters that no job of a cluster could be given, or of nothing.
func (c *compiler) paramsTooLong() string {
	most := maxClusterParams
	if c.ray {
		most = maxClusterRayParams
	}
	return fmt.Sprintf("$length($string($in)) > %d ? ($b := %s; $b.name & ' has ' & $b.size & ' characters: the parameters have ' & "+
		"$length($string($in)) & ' together as JSON, more than the %[1]d that the environment of a job has room for; put the value into a file and pass its path')",
		most, largest("$in"))
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
		"the largest variable is ' & $b.name & ' with ' & $b.size & ' characters: put its value into a file on the storage')) : $vars)",
		vars, maxRuntimeEnv, largest("$vars"))
}
